#pragma once
/// The model of a run: made anew or taken from a folder, with its tokenizer and preprocessing, and what of it is trained.

#include <c10/core/Device.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "vlm/data/transforms.h"
#include "vlm/io/tensor_map.h"
#include "vlm/models/interfaces.h"
#include "vlm/text/tokenizer.h"
#include "vlm/train/recipe.h"

namespace vlm {

struct ModelSetup {
  std::shared_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::filesystem::path tokenizer_path;   ///< file or folder it was read from
  std::vector<NamedTensor> trained;       ///< parameters that are not frozen; the others need no gradient
  PreprocessOptions preprocess;
  std::optional<AdapterInfo> adapter;     ///< what model.tuning trains, to be written in place of the model
};

/// Throws an Error or a usage error that names the key of the recipe that does not fit.
ModelSetup set_up_model(const Recipe& recipe, const c10::Device& device = c10::kCPU);

/// While this lives, the weights of a model on a GPU are copies on the CPU: evaluation works on files and single pictures
/// there. Nothing for a model on the CPU.
class WeightsOnCpu {
 public:
  explicit WeightsOnCpu(const Model& model);
  ~WeightsOnCpu();
  WeightsOnCpu(const WeightsOnCpu&) = delete;
  WeightsOnCpu& operator=(const WeightsOnCpu&) = delete;

 private:
  std::vector<std::pair<Tensor, Tensor>> moved_;  ///< the tensor, and its data on the GPU
};

/// Copies weights into a model, wherever it is. Throws if one is missing or has another shape.
void fill_weights(const Model& model, const TensorMap& weights);

}  // namespace vlm
