#include "vlm/infer/convert_ofa.h"

#include <ATen/ops/full.h>

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/data/transforms.h"
#include "vlm/infer/preprocess_files.h"
#include "vlm/infer/tokenizer_files.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/torch_writer.h"
#include "vlm/models/fairseq_checkpoint.h"
#include "vlm/models/names/layouts.h"
#include "vlm/models/ofa/config.h"
#include "vlm/models/ofa/tied.h"

namespace vlm {

namespace fs = std::filesystem;

namespace ofa_conversion {

using Json = nlohmann::ordered_json;

/// What a layout says in its own words is kept where it stays that layout's.
Json config_for(const OfaConfig& config, const ModelSource& source, const std::string& to) {
  Json out = to == "hf" ? config.to_hf() : config.to_fairseq();
  if (source.layout != to) return out;
  Json given = parse_json<Json>(source.config);
  given.erase("preprocess_cfg");
  for (const auto& [key, value] : out.items()) given[key] = value;
  return given;
}

bool says_preprocess(const ModelSource& source) { return !source.folder.empty() && fs::exists(source.folder / "preprocessor_config.json"); }

PreprocessOptions preprocess_of(const ModelSource& source, const OfaConfig& config) {
  if (says_preprocess(source)) return load_preprocess(source.folder);
  const int64_t usual = config.patch_image_size > 0 ? config.patch_image_size : config.width >= 768 ? 480 : 384;
  Json args = source.layout == "fairseq" ? parse_json<Json>(source.config) : Json::object();
  return read_open_clip_preprocess(args.contains("preprocess_cfg") ? args["preprocess_cfg"] : fairseq_preprocess_cfg(args, usual));
}

/// What fairseq's own code looks for in a checkpoint before it takes the model out of it.
std::vector<TorchEntry> checkpoint(const Json& args, const TensorMap& model) {
  Json history = {{"criterion_name", "AdjustLabelSmoothedCrossEntropyCriterion"}, {"optimizer_name", "Adam"},
                  {"lr_scheduler_state", {{"best", nullptr}}}, {"num_updates", 0}};
  Json extra = {{"train_iterator", {{"epoch", 1}, {"iterations_in_epoch", 0}}}, {"val_loss", nullptr}};
  std::vector<TorchEntry> out(6);
  out[0] = {.key = "args", .plain = args, .is_namespace = true};
  out[1] = {.key = "cfg"};
  out[2] = {.key = "model", .tensors = model};
  out[3] = {.key = "optimizer_history", .plain = Json::array({history})};
  out[4] = {.key = "extra_state", .plain = extra};
  out[5] = {.key = "last_optimizer_state"};
  return out;
}

}  // namespace ofa_conversion

ConvertReport convert_ofa(const ModelSource& source, const fs::path& target, const ConvertOptions& options) {
  using namespace ofa_conversion;
  const OfaConfig config = source.layout == "fairseq" ? OfaConfig::from_fairseq(source.config, source.config_name)
                                                      : OfaConfig::from_hf(source.config, source.config_name);
  ConvertReport report;
  report.family = "ofa";
  report.from = source.layout;
  report.to = options.to;
  // All of it is translated before the first file is written.
  Json written = with_context(source.config_name, [&] { return config_for(config, source, options.to); });
  TensorMap weights = with_context(source.weights.string(), [&] {
    const TensorMap plain = without_derived_ofa(source.tensors);
    return convert_names(with_tied_ofa(plain), has_hf_names(plain) ? "hf" : "fairseq", options.to);
  });
  const PreprocessOptions preprocess = ofa_conversion::preprocess_of(source, config);
  const fs::path beside = source.weights.parent_path().empty() ? fs::path(".") : source.weights.parent_path();
  const auto tokenizer = tokenizer_files_for(options.tokenizer.empty() ? (source.folder.empty() ? beside : source.folder) : fs::path(options.tokenizer),
                                             options.to, config.max_source_positions);
  if (!config.usual_ids()) report.notes.push_back("begin, padding, end and unknown are not the ids 0 to 3 that the public code of OFA expects; vlm reads them");
  if (tokenizer.empty()) report.notes.push_back("no tokenizer was found beside the weights; name one with --tokenizer FILE");
  bool byte_bpe = false;
  for (const auto& file : tokenizer) byte_bpe = byte_bpe || file.name == "vocab.json" || file.name == "encoder.json";
  if (!tokenizer.empty() && !byte_bpe) report.notes.push_back("the tokenizer is none that the public code of OFA knows; vlm reads it");

  // Commands choose a size by themselves where no file says which it was trained with.
  const bool sized = config.patch_image_size > 0 || says_preprocess(source);
  if (sized && preprocess.size.front() == preprocess.size.back()) written["patch_image_size"] = preprocess.size.front();

  report.tensors = static_cast<int64_t>(weights.size());
  const auto text = [&](const std::string& name, const std::string& content) {
    write_file_atomically(target / name, content);
    report.written.push_back(target / name);
  };
  if (options.to == "hf") {
    write_safetensors(target / "model.safetensors", weights);
    report.written.push_back(target / "model.safetensors");
    text("config.json", written.dump(2) + "\n");
    if (sized || preprocess.mean != instructed_preprocess().mean) text("preprocessor_config.json", to_hf_preprocessor(preprocess, "ofa", report.notes).dump(2) + "\n");
    // With --force: what another layout left would be read in place of this.
    fs::remove(target / "open_clip_config.json");
  } else {
    const bool usual = preprocess.mean == instructed_preprocess().mean || preprocess.mean == imagenet_mean;
    if (!usual || preprocess.resize_mode != "squash") {
      report.notes.push_back("fairseq's arguments cannot say how the pictures were prepared: as for released models is what will be read");
    }
    written["imagenet_default_mean_and_std"] = preprocess.mean == imagenet_mean;
    for (const char* stack : {"encoder", "decoder"}) weights[concat(stack, ".version")] = at::full({1}, 3.0);
    report.tensors += 2;
    write_torch_checkpoint(target / "checkpoint.pt", checkpoint(written, weights));
    report.written.push_back(target / "checkpoint.pt");
    for (const char* name : {"config.json", "open_clip_config.json", fairseq_args_file}) fs::remove(target / name);
  }
  for (const auto& file : tokenizer) text(file.name, file.content);
  return report;
}

}  // namespace vlm
