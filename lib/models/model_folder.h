#pragma once
/// Model folders, in the layouts that released models have (specs: clip, 8). The tokenizer and the picture preprocessing of
/// a folder are read by text/tokenizer.h and data/transforms.h; infer/pipeline.h puts the three together.
///
///   open_clip: open_clip_config.json, open_clip_model.safetensors
///   hf:        config.json, model.safetensors (or its shards), preprocessor_config.json (ALBEF: a config.json with model_type
///              "albef", or a checkpoint as it was released, bare or with config.yaml beside it: models/albef/folder.h)
///   fairseq:   a checkpoint with its arguments (OFA); or, as written here, fairseq_args.json and model.safetensors
///   mplug:     config.yaml, the file that its bert_config names, pytorch_model.bin (models/mplug/folder.h); written here in hf's
///
/// Weights may be in any container that io/weights.h reads; models/model_source.h finds them.

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vlm/models/interfaces.h"
#include "vlm/models/model_source.h"
#include "vlm/models/state.h"

namespace vlm {

struct ModelLoadOptions {
  bool strict = true;  ///< refuse weights that are missing, unexpected or misshapen
  std::string arch{};  ///< of a bare weight file, as "ViT-B-32" (models/architectures.h)
  bool average = true; ///< of a fairseq checkpoint: the moving average of the weights, where there is one
  std::filesystem::path adapter{};  ///< tuned parameters that go on top (models/tuning.h)
};

struct LoadedModel {
  std::unique_ptr<Model> model;
  std::string layout;          ///< "open_clip", "hf", "fairseq" or "mplug"
  std::filesystem::path weights;
  std::filesystem::path folder;   ///< with tokenizer and preprocessing; empty for a bare weight file and for fairseq's layout
  std::string open_clip_config;   ///< where there is no folder: JSON with model_cfg (fairseq: none) and preprocess_cfg
  LoadReport report;           ///< clean unless loaded without `strict`
};

/// `path`: a model folder, a weight file, or a folder of tuned parameters (models/tuning.h), which names its base. Throws an Error
/// that names the file, and what does not fit.
LoadedModel load_model(const std::filesystem::path& path, const ModelLoadOptions& options = {});

/// A new model of a family with initial weights drawn from `seed`. `config` holds the keys of the family's configuration; of ofa
/// those of HF's config.json, with `size` (tiny … huge) for what it leaves out, and fairseq's where HF has none.
std::unique_ptr<Model> make_model(const std::string& family, const class Config& config, uint64_t seed);

/// The tensors of another model of the family as `model` has them, where the family's tasks call them differently (ALBEF,
/// mPLUG).
TensorMap weights_for(const Model& model, const TensorMap& weights);

/// The layout that a model is saved in: "open_clip" for clip, siglip and coca, "hf" for blip, albef and mplug, for ofa "hf", as the public code opens
/// it, or "fairseq" where HF's layout cannot say what the model is.
std::string layout_for(const Model& model);
/// Writes configuration and weights in open_clip's layout. `preprocess_cfg` is stored beside the architecture.
void save_open_clip_folder(const std::filesystem::path& folder, const Model& model, const nlohmann::ordered_json& preprocess_cfg);
/// Writes configuration and weights in fairseq's layout (OFA): arguments and preprocessing in fairseq_args.json. Throws if the
/// layout cannot express the model.
void save_fairseq_folder(const std::filesystem::path& folder, const Model& model, const nlohmann::ordered_json& preprocess_cfg);
/// Writes configuration and weights in HF's layout; without a preprocessor_config.json where that is empty. Throws if the layout
/// cannot express the model.
void save_hf_folder(const std::filesystem::path& folder, const Model& model, const nlohmann::ordered_json& preprocessor_config);

/// The model's tensors by name.
TensorMap weights_of(const Model& model);

}  // namespace vlm
