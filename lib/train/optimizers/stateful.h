#pragma once
/// What all optimisers share: state by kind and parameter, stretches of flattened parameters, working precision.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "vlm/train/optimizer.h"

namespace vlm {

class StatefulOptimizer : public Optimizer {
 public:
  bool elementwise() const override { return elementwise_; }
  TensorMap state() const override;
  void load_state(const TensorMap& state) override;

 protected:
  /// A parameter in the middle of a step. Computation is in float32 (float64 for float64 parameters), whatever type the
  /// parameter has.
  struct Update {
    size_t index;
    double lr, weight_decay;
    Tensor value;     ///< the parameter or its stretch, changed in place
    Tensor gradient;  ///< of the same shape, contiguous; not to be changed
  };

  /// Throws if a stretch lies outside its parameter, a parameter is no contiguous floating-point tensor, a name occurs twice,
  /// or a stretch is given where `elementwise` is false.
  StatefulOptimizer(std::vector<OptimizedParameter> parameters, const std::string& name, bool elementwise);

  /// Zeros for every parameter (or stretch) in its shape, kept as "KIND.NAME". The list stays where it is.
  std::vector<Tensor>& add_moment(const std::string& kind);
  /// State of another shape; `make` may return an undefined tensor for a parameter that has none.
  std::vector<Tensor>& add_state(const std::string& kind, const std::function<Tensor(const OptimizedParameter&)>& make);
  /// "step.NAME": a float32 scalar on the CPU (`beside_parameter`: on its device).
  std::vector<Tensor>& add_steps(bool beside_parameter = false);

  /// False for a parameter without a gradient or an empty stretch.
  bool has_update(size_t index) const;
  Update open(size_t index, double lr) const;
  /// Writes a value of another type back into its parameter.
  void close(const Update& update) const;
  /// open(), body, close() for every parameter that has an update.
  void for_each_update(double lr, const std::function<void(const Update&)>& body) const;

  static bool is_stretch(const OptimizedParameter& parameter) { return parameter.end >= 0; }

 private:
  struct Kind {
    std::vector<Tensor> tensors;
    bool parameter_shaped;
  };
  Tensor stretch_of(const OptimizedParameter& parameter, const Tensor& whole) const;
  std::map<std::string, Kind> state_;
  bool elementwise_;
};

/// Adds 1 to a step count and returns it.
double next_step(Tensor& step);

}  // namespace vlm
