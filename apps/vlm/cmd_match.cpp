#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/sigmoid.h>
#include <c10/core/InferenceMode.h>

#include "command.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace match {

void run(PictureTask task) {
  task.take_text("name a picture and a text: vlm match --model DIR photo.jpg \"a cat on a sofa\"");
  const auto& texts = task.texts;
  const auto files = task.files();
  const TextPipeline pipeline = task.model.load_text();
  Model& model = pipeline.model();
  const bool matches = pipeline.matches();
  auto* encoder = dynamic_cast<DualEncoder*>(&model);
  if (!matches && !encoder) require<Matcher>(model, "match texts with pictures", "it has neither a matching head nor two towers");
  const c10::InferenceMode inference;
  Tensor text_vectors;
  if (encoder) text_vectors = pipeline.embed_texts(texts);  // [T, E]
  const bool sigmoid = encoder && encoder->logit_bias().defined();
  JsonLines results(task.out);
  size_t failed = 0;
  const PictureFailed skip = [&](const std::string& name, const std::string& reason) {
    ++failed;
    log_warning(name, ": ", reason);
  };
  auto json = nlohmann::ordered_json::array();
  std::vector<std::vector<std::string>> table = {{"picture", "text"}};
  if (matches || sigmoid) table[0].push_back("match");
  if (encoder) table[0].push_back("cosine");
  PictureStream stream = pipeline.stream(read_files(files, skip), skip);
  PictureBatch batch;
  while (stream.next(batch)) {
    Tensor cosines;
    if (encoder) cosines = at::matmul(encoder->embed_images(batch.pixels), text_vectors.t());  // [B, T]
    for (size_t t = 0; t < texts.size(); ++t) {
      std::vector<double> probability;
      if (matches) probability = pipeline.match(batch.pixels, std::vector<std::string>(batch.names.size(), texts[t]));
      for (size_t i = 0; i < batch.names.size(); ++i) {
        nlohmann::ordered_json entry = {{"picture", batch.names[i]}, {"text", texts[t]}};
        std::vector<std::string> row = {batch.names[i], texts[t]};
        const double cosine = encoder ? cosines[static_cast<int64_t>(i)][static_cast<int64_t>(t)].item<double>() : 0;
        if (matches || sigmoid) {
          const double value = matches ? probability[i]
                                       : at::sigmoid(encoder->logit_scale() * cosine + encoder->logit_bias()).item<double>();
          entry["match"] = value;
          row.push_back(percent(value));
        }
        if (encoder) {
          entry["cosine"] = cosine;
          row.emplace_back(rounded(cosine, 4));
        }
        results.write(entry);
        json.push_back(std::move(entry));
        table.push_back(std::move(row));
      }
    }
  }
  results.close();
  if (task.model.json) {
    print_json(json);
  } else if (table.size() > 1) {
    print_table(table);
  }
  if (failed > 0) throw Exit{1};
}

}  // namespace match

void add_match(CLI::App& app) {
  auto task = std::make_shared<PictureTask>();
  CLI::App* command = add_command(app, "match", "How well a text fits a picture: matching probability (OFA, BLIP, mPLUG, SigLIP) and cosine (two towers)",
                                  "vlm match --model blip-itm-base-coco photo.jpg \"a cat on a sofa\"", [task] { match::run(*task); });
  task->add_to(*command, "Pictures, folders or patterns; the last argument is the text", 32);
  task->add_text_to(*command, "text", "A text");
}

}  // namespace vlm::apps
