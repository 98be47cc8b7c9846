#pragma once
/// What a training step minimises: a batch in, named losses out. The trainer knows objectives, not models.

#include <memory>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/registry.h"
#include "vlm/data/loader.h"
#include "vlm/models/interfaces.h"

namespace vlm {

/// One term of the loss, a differentiable scalar that already carries its weight.
struct LossTerm {
  std::string name;
  Tensor value;
};

class Objective {
 public:
  virtual ~Objective() = default;
  /// The terms for a batch; what is minimised is their sum. The model is in training mode.
  virtual std::vector<LossTerm> losses(const Batch& batch) = 0;
  /// Numbers worth logging beside the losses ("logit_scale").
  virtual std::vector<std::pair<std::string, double>> metrics() const { return {}; }
};

/// Makes an objective for a model from the keys of its part of the recipe. Throws if the model lacks what it needs.
using ObjectiveFactory = std::unique_ptr<Objective> (*)(Model& model, const Config& options);
/// The objectives that recipes can name; a new one is one line in objective.cpp.
const Registry<ObjectiveFactory>& objectives();

}  // namespace vlm
