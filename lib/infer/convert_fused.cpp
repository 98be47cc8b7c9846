#include "vlm/infer/convert_fused.h"

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/infer/pipeline.h"
#include "vlm/infer/preprocess_files.h"
#include "vlm/infer/tokenizer_files.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/torch_writer.h"
#include "vlm/models/albef/config.h"
#include "vlm/models/generator.h"
#include "vlm/models/model_folder.h"
#include "vlm/models/names/albef_names.h"
#include "vlm/models/names/bert_names.h"
#include "vlm/models/names/mplug_names.h"

namespace vlm {

namespace fs = std::filesystem;

namespace fused_conversion {

using Json = nlohmann::ordered_json;

constexpr const char *bert_file = "config_bert.json", *yaml_file = "config.yaml",
                     *preprocess_file = "preprocessor_config.json";

/// A pickle as the public code opens it: torch.load(file)["model"].
TensorMap public_weights(const std::string& family, const Model& model) {
  const TensorMap weights = weights_of(model);
  return family == "mplug" ? with_derived_bert(weights)
                           : with_second_albef_names(AlbefConfig::from_json(model.config().dump(), "the model"), weights);
}

/// Keys of a run without which the public code does not start, as it was published; what the model says itself stays.
Json run_config(const std::string& family, Json config) {
  config["bert_config"] = bert_file;
  if (family != "albef") return config;
  config["distill"] = config.value("momentum_copies", true);
  config["momentum"] = 0.995;
  config["alpha"] = 0.4;
  config["mlm_probability"] = 0.15;
  config["k_test"] = 128;
  return config;
}

}  // namespace fused_conversion

std::string fused_family(const ModelSource& source) {
  return is_albef(source.tensors) ? "albef" : is_mplug(source.tensors) ? "mplug" : "";
}

ConvertReport convert_fused(const fs::path& source, const fs::path& target, const ConvertOptions& options) {
  using namespace fused_conversion;
  if (!options.config.empty())
    fail_usage("--config is for layouts whose weights do not say what they are; lay the configuration beside ",
               source.string());
  const LoadedModel loaded = load_model(source);
  const Model& model = *loaded.model;
  ConvertReport report;
  report.family = model.family();
  report.from = !loaded.folder.empty() && fs::exists(loaded.folder / "config.json") ? "hf" : report.family;
  report.to = options.to;
  if (report.to == "mplug" && fs::exists(target / "model.safetensors")) {
    fail_usage((target / "model.safetensors").string(),
               " would be read in place of the pytorch_model.bin beside it; name another folder, or take it away");
  }
  PreprocessOptions preprocess = find_preprocess(loaded);
  if (const auto* of_pictures = dynamic_cast<const PictureModel*>(&model)) {
    const auto [height, width] = of_pictures->picture_size();
    preprocess.size = height == width ? std::vector<int64_t>{height} : std::vector<int64_t>{height, width};
  }
  const Json preprocess_json = to_hf_preprocessor(preprocess, report.family, report.notes);
  const fs::path parent = loaded.weights.parent_path().empty() ? fs::path(".") : loaded.weights.parent_path();
  const auto tokenizer = tokenizer_files_for(!options.tokenizer.empty() ? fs::path(options.tokenizer)
                                             : loaded.folder.empty()    ? parent
                                                                        : loaded.folder,
                                             "hf", 512);
  if (tokenizer.empty()) report.notes.push_back("no tokenizer was found beside the weights; name one with --tokenizer FILE");

  const auto wrote = [&](const std::string& name) { report.written.push_back(target / name); };
  const auto text = [&](const std::string& name, const std::string& content) {
    write_file_atomically(target / name, content);
    wrote(name);
  };
  const TensorMap weights = public_weights(report.family, model);
  report.tensors = static_cast<int64_t>(weights.size());
  if (options.to == "hf") {
    save_hf_folder(target, model, preprocess_json);
    for (const char* name : {"model.safetensors", "config.json", preprocess_file}) wrote(name);
  } else {
    const char* file = report.family == "albef" ? "checkpoint_best.pth" : "pytorch_model.bin";
    write_torch_checkpoint(target / file, {{.key = "model", .tensors = weights}});
    wrote(file);
    const Json config = model.config();
    text(bert_file, config.at("bert_config").dump(2) + "\n");
    text(yaml_file, run_config(report.family, config).dump(2) + "\n");
    text(preprocess_file, preprocess_json.dump(2) + "\n");
    // With --force: what another layout left would be read in place of this.
    fs::remove(target / "config.json");
  }
  fs::remove(target / "open_clip_config.json");
  for (const auto& each : tokenizer) text(each.name, each.content);
  return report;
}

}  // namespace vlm
