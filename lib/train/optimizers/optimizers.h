#pragma once
/// The optimisers that train/optimizer.h names. p: parameter, g: gradient, m and v: first and second moment, t: the
/// parameter's steps from 1, bc1 = 1 - beta1^t, bc2 = 1 - beta2^t, wd: the parameter's weight decay, lr: the step's rate times the
/// parameter's lr_scale.

#include <memory>
#include <vector>

#include "vlm/train/optimizer.h"

namespace vlm {

/// Loshchilov and Hutter, arXiv 1711.05101: p (1 - lr wd), then p - lr (m / bc1) / (√v / √bc2 + eps), on LibTorch's fused kernel.
std::unique_ptr<Optimizer> make_adamw(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options);
/// Kingma and Ba, arXiv 1412.6980: the same with g + wd p in place of the decay of p.
std::unique_ptr<Optimizer> make_adam(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options);
/// As fairseq's trainer has it: p (1 - lr wd), then p - lr √bc2 / bc1 m / (√v + eps); eps is not scaled by the correction.
std::unique_ptr<Optimizer> make_adam_fairseq(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options);
/// g + wd p enters the momentum m = momentum m + (1 - dampening) g (m = g at first); p - lr m, or p - lr (g + momentum m)
/// with Nesterov's momentum.
std::unique_ptr<Optimizer> make_sgd(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options);
/// Chen et al., arXiv 2302.06675: p (1 - lr wd), then p - lr sign(beta1 m + (1 - beta1) g), then m = beta2 m + (1 - beta2) g.
std::unique_ptr<Optimizer> make_lion(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options);
/// You et al., arXiv 1904.00962, in timm's form: u = (m / bc1) / (√v / √bc2 + eps) + wd p; p - lr |p| / |u| u, the ratio only
/// where there is decay (or always_adapt). Gradients are clipped together before. Needs whole tensors.
std::unique_ptr<Optimizer> make_lamb(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options);
/// Shazeer and Stern, arXiv 1804.04235. Needs whole tensors.
///
/// `fairseq_exact` keeps a learning rate for each group of equal (lr_scale, wd), into which every update writes the rate it
/// used, as the reference does; a step with a rate of NaN goes on with what the last one left there.
std::unique_ptr<Optimizer> make_adafactor(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options);

}  // namespace vlm
