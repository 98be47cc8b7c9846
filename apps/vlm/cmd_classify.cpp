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

namespace vlm::apps {

namespace classify {

struct Options {
  ModelFlags model;
  std::vector<std::string> pictures;
  std::string classes, classnames, templates;
  std::vector<std::string> prompts = {"a photo of a {}."};
  int64_t top = 3;
};

void run(const Options& options) {
  std::vector<std::string> classes = options.classnames.empty() ? split(options.classes, ",") : read_lines(options.classnames);
  for (auto& name : classes) {
    name.erase(0, name.find_first_not_of(' '));
    name.erase(name.find_last_not_of(' ') + 1);
    if (name.empty()) fail_usage("there is an empty class name; write --classes \"cat, dog\" or --classnames FILE with one name a line");
  }
  const auto prompts = options.templates.empty() ? options.prompts : read_lines(options.templates);
  for (const auto& prompt : prompts) {
    if (prompt.find("{}") == std::string::npos) fail_usage("the template '", prompt, "' has no {} for the class name");
  }
  const auto files = expand_pictures(options.pictures);
  const DualEncoderPipeline pipeline = options.model.load();
  const c10::InferenceMode inference;
  const Tensor classifier = zero_shot_classifier(classes, prompts, [&](const auto& texts) { return pipeline.embed_texts(texts); });

  size_t at = 0, failed = 0;
  std::vector<std::string> kept;
  const Tensor vectors = pipeline.embed_stream(
      [&](Picture& picture) {
        if (at == files.size()) return false;
        picture = Picture::from_file(files[at++]);
        return true;
      },
      kept,
      [&](const std::string& name, const std::string& reason) {
        ++failed;
        log_warning(name, ": ", reason);
      });
  const int64_t top = std::min<int64_t>(options.top, static_cast<int64_t>(classes.size()));
  auto json = nlohmann::ordered_json::array();
  // SigLIP's loss judges every pair of picture and text alone, CLIP's a picture among texts.
  const bool sigmoid = pipeline.encoder().logit_bias().defined();
  const char* const activation = sigmoid ? "sigmoid" : "softmax";
  std::vector<std::vector<std::string>> table = {{"picture", "class", concat("probability (", activation, ")")}};
  if (vectors.defined()) {
    const Tensor logits = pipeline.logits(vectors, classifier.t());                           // [N, C]
    const Tensor probabilities = sigmoid ? at::sigmoid(logits) : at::softmax(logits, 1);
    const auto [best, index] = probabilities.topk(top, 1);
    for (int64_t i = 0; i < vectors.size(0); ++i) {
      nlohmann::ordered_json entry = {{"picture", kept[static_cast<size_t>(i)]}, {"activation", activation}, {"classes", nlohmann::ordered_json::array()}};
      for (int64_t k = 0; k < top; ++k) {
        const std::string& name = classes[static_cast<size_t>(index[i][k].item<int64_t>())];
        const double probability = best[i][k].item<double>();
        entry["classes"].push_back({{"class", name}, {"probability", probability}});
        table.push_back({k == 0 ? kept[static_cast<size_t>(i)] : "", name, percent(probability)});
      }
      json.push_back(std::move(entry));
    }
  }
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
  CLI::App* command = add_command(app, "classify", "Name what pictures show, among classes that you list (zero-shot)",
                                  "vlm classify --model clip-vit-b32 --classes 'cat, dog, bird' photos/*.jpg", [options] { classify::run(*options); });
  options->model.add_to(*command);
  command->add_option("pictures", options->pictures, "Pictures, folders or patterns")->required();
  auto* classes = command->add_option("--classes,--labels", options->classes, "Class names, separated by commas");
  auto* classnames = command->add_option("--classnames", options->classnames, "File with one class name a line")->excludes(classes);
  command->add_option("--template", options->prompts, "Text around a class name, which goes in place of {} (may be given several times)")->allow_extra_args(false)->capture_default_str();
  command->add_option("--templates", options->templates, "File with one such text a line");
  command->add_option("--top", options->top, "Classes shown for each picture")->capture_default_str()->check(at_least_one);
  command->callback([options, classes, classnames] {
    if (classes->count() + classnames->count() == 0) fail_usage("name the classes: --classes 'cat, dog' or --classnames FILE");
    classify::run(*options);
  });
}

}  // namespace vlm::apps
