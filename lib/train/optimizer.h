#pragma once
/// Optimisers behind one interface (specs: efficiency, 9). Which parameters get which learning rate and decay is said by
/// train/parameter_groups.h, the learning rate of a step by train/schedule.h.

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/registry.h"
#include "vlm/io/tensor_map.h"
#include "vlm/models/interfaces.h"

namespace vlm {

/// A parameter, or the stretch of it that this process updates (ZeRO-1, arXiv 1910.02054), with what it is updated by.
struct OptimizedParameter {
  std::string name;
  Tensor parameter;      ///< the leaf; its gradient is read when a step is made
  double lr_scale = 1;   ///< times the learning rate of the step
  double step_scale = 1; ///< times this, too, as long as the schedule says so (Optimizer::scale_steps)
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
  /// The step_scale of each parameter for the steps to come, by its lr_scale.
  virtual void scale_steps(const std::function<double(double lr_scale)>& scale) {
    for (auto& p : parameters_) p.step_scale = scale(p.lr_scale);
  }

 protected:
  explicit Optimizer(std::vector<OptimizedParameter> parameters) : parameters_(std::move(parameters)) {}
  std::vector<OptimizedParameter> parameters_;
};

/// Adafactor (Shazeer and Stern, arXiv 1804.04235) in the forms that are in use.
struct AdafactorOptions {
  std::string form = "fairseq";
  double eps1 = -1;               ///< added to squared gradients (torch: lower bound of their mean); -1: 1e-30 (torch: 1.2e-7)
  double eps2 = 1e-3;             ///< lower bound of a parameter's root mean square, where steps are relative to it
  double clip_threshold = 1;      ///< largest root mean square of an update
  double decay_rate = 0.8;        ///< the second moment decays by 1 - t^-decay_rate
  double beta2_cap = 0.999;       ///< big_vision: at most this
  double momentum = 0;            ///< decay of a first moment; 0: none is kept
  bool scale_parameter = false;   ///< fairseq: steps relative to the parameter's root mean square
  bool relative_step = false;     ///< fairseq: 1/sqrt(t) in place of the learning rate
  bool warmup_init = false;       ///< fairseq: relative steps begin at 1e-6 t
  int64_t min_dim_size_to_factor = 16;  ///< big_vision: smaller tensors keep whole second moments
  bool unscaled_wd = false;       ///< big_vision: weight decay is not multiplied by the learning rate

  void fields(Fields& f) {
    f.field("form", form, "fairseq, fairseq_exact (its learning rate compounds, as in the reference), torch or big_vision");
    f.field("eps1", eps1, "added to squared gradients (torch: lower bound); -1: as the form has it");
    f.field("eps2", eps2, "lower bound of a parameter's root mean square");
    f.field("clip_threshold", clip_threshold, "largest root mean square of an update");
    f.field("decay_rate", decay_rate, "the second moment decays by 1 - t^-decay_rate");
    f.field("beta2_cap", beta2_cap, "big_vision: largest decay of the second moment");
    f.field("momentum", momentum, "decay of a first moment; 0: none is kept");
    f.field("scale_parameter", scale_parameter, "fairseq: steps relative to the parameter's root mean square");
    f.field("relative_step", relative_step, "fairseq: 1/sqrt(t) in place of the learning rate");
    f.field("warmup_init", warmup_init, "fairseq: relative steps begin at 1e-6 t");
    f.field("min_dim_size_to_factor", min_dim_size_to_factor, "big_vision: smaller tensors keep whole second moments");
    f.field("unscaled_wd", unscaled_wd, "big_vision: weight decay is not multiplied by the learning rate");
  }
};

/// Which optimiser, and its numbers; each reads those that its formula has. Weight decay and learning rates are the
/// parameters' own (OptimizedParameter).
struct OptimizerOptions {
  std::string name = "adamw";
  double beta1 = 0.9, beta2 = 0.98, eps = 1e-6;
  bool amsgrad = false;
  double momentum = 0.9, dampening = 0;  ///< sgd
  bool nesterov = false;                 ///< sgd
  bool bias_correction = true;           ///< lamb, as what follows
  bool grad_averaging = true;
  bool trust_clip = false;
  bool always_adapt = false;
  bool decoupled_decay = false;
  double max_grad_norm = 1;
  AdafactorOptions adafactor = {};

  void fields(Fields& f) {
    f.field("name", name, "adamw, adam, adam_fairseq, sgd, lamb, lion or adafactor");
    f.field("beta1", beta1, "decay of the first moment");
    f.field("beta2", beta2, "decay of the second moment (lion: of the momentum)");
    f.field("eps", eps, "added to the root of the second moment");
    f.field("amsgrad", amsgrad, "adamw, adam, adam_fairseq: the largest second moment so far in place of the present one");
    f.field("momentum", momentum, "sgd: decay of the momentum; 0: none");
    f.field("dampening", dampening, "sgd: new gradients enter the momentum times 1 - dampening");
    f.field("nesterov", nesterov, "sgd: look one momentum step ahead");
    f.field("bias_correction", bias_correction, "lamb: moments are divided by 1 - beta^t");
    f.field("grad_averaging", grad_averaging, "lamb: gradients enter the first moment times 1 - beta1");
    f.field("trust_clip", trust_clip, "lamb: trust ratios of at most 1");
    f.field("always_adapt", always_adapt, "lamb: trust ratios for parameters without decay, too");
    f.field("decoupled_decay", decoupled_decay, "lamb: decay outside the trust ratio");
    f.field("max_grad_norm", max_grad_norm, "lamb: largest joint norm of the gradients; 0: any");
    f.field("adafactor", adafactor, "numbers of adafactor");
  }
};

using OptimizerFactory = std::function<std::unique_ptr<Optimizer>(std::vector<OptimizedParameter>, const OptimizerOptions&)>;
/// Optimisers by name.
Registry<OptimizerFactory>& optimizers();

/// The optimiser that `options` names. Throws a usage error for an unknown name or numbers that make no sense, and an Error
/// for a stretch of a parameter where the optimiser needs whole tensors.
std::unique_ptr<Optimizer> make_optimizer(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options);

}  // namespace vlm
