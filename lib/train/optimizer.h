#pragma once
/// Optimisers behind one interface, and which parameters get which learning rate and decay (specs: efficiency, 9).

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/io/tensor_map.h"
#include "vlm/models/interfaces.h"

namespace vlm {

/// A parameter, or the stretch of it that this process updates (ZeRO-1, arXiv 1910.02054), with what it is updated by.
struct OptimizedParameter {
  std::string name;
  Tensor parameter;      ///< the leaf; its gradient is read when a step is made
  double lr_scale = 1;   ///< times the learning rate of the step
  double weight_decay = 0;
  int64_t begin = 0;     ///< [begin, end) of the flattened parameter …
  int64_t end = -1;      ///< … -1: all of it, in its own shape
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  /// One step with the gradients that the parameters hold, at learning rate `lr`. Parameters without a gradient are left
  /// alone.
  virtual void step(double lr) = 0;
  /// True if every element is updated from its own gradient and state alone, so that stretches of a tensor can be updated
  /// by different processes.
  virtual bool elementwise() const = 0;
  /// Moments and step counts under "KIND.NAME" ("exp_avg.visual.proj", "step.visual.proj"); views, not copies.
  virtual TensorMap state() const = 0;
  /// `state` holds whole tensors, of which a stretch takes its own part. Throws if one is missing or has another number of
  /// elements.
  virtual void load_state(const TensorMap& state) = 0;
  const std::vector<OptimizedParameter>& parameters() const { return parameters_; }

 protected:
  explicit Optimizer(std::vector<OptimizedParameter> parameters) : parameters_(std::move(parameters)) {}
  std::vector<OptimizedParameter> parameters_;
};

}  // namespace vlm
