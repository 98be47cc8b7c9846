#pragma once
/// Models from one released layout to another: configuration, weights, tokenizer and preprocessing (specs: clip, 2.9,
/// 3, 5.3, 8; ofa, 2.7).

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vlm {

struct ConvertOptions {
  std::string to{};         ///< open_clip, hf, fairseq (ofa), albef, mplug, or safetensors: the container only, names as they are
  std::string arch{};       ///< of a bare weight file, as "ViT-B-32" (models/architectures.h)
  std::string config{};     ///< of a bare weight file: a config.json or open_clip_config.json in its place
  std::string tokenizer{};  ///< file or folder; empty: beside the weights
  bool force = false;       ///< replace what is there
  bool average = true;      ///< of a fairseq checkpoint: the moving average of the weights (EMA), where there is one
};

struct ConvertReport {
  std::string family;    ///< "clip", "coca", "siglip", "blip", "ofa", "albef", "mplug"; empty where only the container changed
  std::string from, to;  ///< layouts
  int64_t tensors = 0;
  std::vector<std::filesystem::path> written;
  std::vector<std::string> notes;  ///< what the reader should know: what could not be kept, what is missing
};

/// `source`: a model folder, or a weight file. `target`: a folder; with `to` safetensors and a source that is a file, a
/// file. Nothing is written before everything has been translated. Throws a usage error if the target is there already and
/// `force` is off, and an Error that says what the other layout cannot express.
ConvertReport convert_model(const std::filesystem::path& source, const std::filesystem::path& target,
                            const ConvertOptions& options);

}  // namespace vlm
