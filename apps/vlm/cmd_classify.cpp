#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>
#include <c10/core/InferenceMode.h>

#include <cstdio>

#include "command.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/eval/zero_shot.h"
#include "vlm/infer/instruction_tasks.h"

namespace vlm::apps {

namespace classify {

struct Options {
  ModelFlags model;
  std::vector<std::string> pictures;
  std::string classes, classnames, templates, out;
  std::vector<std::string> prompts;
  int64_t top = 3;
};

/// What a model says of some pictures: a row of probabilities for each, and how they came about.
struct Judged {
  std::vector<std::string> pictures;
  Tensor probabilities;  ///< [N, C]; undefined: no picture could be read
  const char* activation = "softmax";
};

Judged by_two_towers(const DualEncoderPipeline& pipeline, const std::vector<std::string>& classes, const std::vector<std::string>& prompts, const ReadPicture& read,
                     const PictureFailed& failed) {
  const Tensor classifier = zero_shot_classifier(classes, prompts, [&](const auto& texts) { return pipeline.embed_texts(texts); });
  Judged out;
  const Tensor vectors = pipeline.embed_stream(read, out.pictures, failed);
  // SigLIP's loss judges every pair of picture and text alone, CLIP's a picture among texts.
  const bool sigmoid = pipeline.encoder().logit_bias().defined();
  if (sigmoid) out.activation = "sigmoid";
  if (!vectors.defined()) return out;
  const Tensor logits = pipeline.logits(vectors, classifier.t());                             // [N, C]
  out.probabilities = sigmoid ? at::sigmoid(logits) : at::softmax(logits, 1);
  return out;
}

/// The names of the classes are the only answers that may come out; their probabilities sum to 1.
Judged by_instruction(const TextPipeline& pipeline, const std::vector<std::string>& classes, const ReadPicture& read, const PictureFailed& failed) {
  const InstructionPipeline& model = pipeline.instructions("classify");
  PictureStream stream = pipeline.stream(read, failed);
  Judged out;
  std::vector<Tensor> rows;
  PictureBatch batch;
  while (stream.next(batch)) {
    rows.push_back(instruct::classify(model, batch.pixels, classes).exp());
    out.pictures.insert(out.pictures.end(), batch.names.begin(), batch.names.end());
  }
  if (!rows.empty()) out.probabilities = at::cat(rows);
  return out;
}

void run(const Options& options) {
  std::vector<std::string> classes = options.classnames.empty() ? split(options.classes, ",") : read_lines(options.classnames);
  for (auto& name : classes) {
    name.erase(0, name.find_first_not_of(' '));
    name.erase(name.find_last_not_of(' ') + 1);
    if (name.empty()) fail_usage("there is an empty class name; write --classes \"cat, dog\" or --classnames FILE with one name a line");
  }
  auto prompts = options.templates.empty() ? options.prompts : read_lines(options.templates);
  for (const auto& prompt : prompts) {
    if (prompt.find("{}") == std::string::npos) fail_usage("the template '", prompt, "' has no {} for the class name");
  }
  const auto files = expand_pictures(options.pictures);
  set_threads(options.model.threads);
  const PipelineOptions loading = options.model.pipeline_options();
  ModelParts parts = load_parts(options.model.model, loading);
  const c10::InferenceMode inference;
  size_t failed = 0;
  const PictureFailed skip = [&](const std::string& name, const std::string& reason) {
    ++failed;
    log_warning(name, ": ", reason);
  };
  const ReadPicture read = read_files(files, skip);
  Judged judged;
  if (dynamic_cast<Instructed*>(parts.model.get())) {
    if (!prompts.empty()) fail_usage("templates are for models with two towers; this ", parts.model->family(), " model is asked and answers with a class");
    judged = by_instruction(TextPipeline::of(std::move(parts), loading), classes, read, skip);
  } else {
    if (prompts.empty()) prompts = {"a photo of a {}."};
    judged = by_two_towers(DualEncoderPipeline::of(std::move(parts), loading), classes, prompts, read, skip);
  }
  const int64_t top = std::min<int64_t>(options.top, static_cast<int64_t>(classes.size()));
  JsonLines results(options.out);
  auto json = nlohmann::ordered_json::array();
  std::vector<std::vector<std::string>> table = {{"picture", "class", concat("probability (", judged.activation, ")")}};
  if (judged.probabilities.defined()) {
    const auto [best, index] = judged.probabilities.topk(top, 1);
    for (int64_t i = 0; i < best.size(0); ++i) {
      const std::string& picture = judged.pictures[static_cast<size_t>(i)];
      nlohmann::ordered_json entry = {{"picture", picture}, {"activation", judged.activation}, {"classes", nlohmann::ordered_json::array()}};
      for (int64_t k = 0; k < top; ++k) {
        const std::string& name = classes[static_cast<size_t>(index[i][k].item<int64_t>())];
        const double probability = best[i][k].item<double>();
        entry["classes"].push_back({{"class", name}, {"probability", probability}});
        table.push_back({k == 0 ? picture : "", name, percent(probability)});
      }
      results.write(entry);
      json.push_back(std::move(entry));
    }
  }
  results.close();
  if (options.model.json) {
    print_json(json);
  } else if (table.size() > 1) {
    print_table(table);
  }
  if (failed > 0) throw Exit{1};
}

}  // namespace classify

void add_classify(CLI::App& app) {
  auto options = std::make_shared<classify::Options>();
  CLI::App* command = add_command(app, "classify", "Name what pictures show, among classes that you list (zero-shot; OFA: the most probable answer)",
                                  "vlm classify --model clip-vit-b32 --classes 'cat, dog, bird' photos/*.jpg", [options] { classify::run(*options); });
  options->model.add_to(*command);
  options->model.add_image_size_to(*command);
  options->model.add_imagenet_mean_to(*command);
  command->add_option("pictures", options->pictures, "Pictures, folders or patterns")->required();
  auto* classes = command->add_option("--classes,--labels", options->classes, "Class names, separated by commas");
  auto* classnames = command->add_option("--classnames", options->classnames, "File with one class name a line")->excludes(classes);
  command->add_option("--template", options->prompts, "Text around a class name, which goes in place of {} (may be given several times; default: a photo of a {}.)")
      ->allow_extra_args(false);
  command->add_option("--templates", options->templates, "File with one such text a line");
  command->add_option("--out", options->out, "Also write one JSON line a picture to this file");
  command->add_option("--top", options->top, "Classes shown for each picture")->capture_default_str()->check(at_least_one);
  command->callback([options, classes, classnames] {
    if (classes->count() + classnames->count() == 0) fail_usage("name the classes: --classes 'cat, dog' or --classnames FILE");
    classify::run(*options);
  });
}

}  // namespace vlm::apps
