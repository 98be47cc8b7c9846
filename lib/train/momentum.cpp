#include "vlm/train/momentum.h"

#include <ATen/TensorOperators.h>
#include <c10/core/GradMode.h>

#include <set>

#include "vlm/core/error.h"

namespace vlm {

void momentum_update(const std::vector<MomentumPair>& pairs, double m) {
  if (!(m >= 0 && m <= 1)) fail("the momentum of a momentum network lies in 0 .. 1, not ", m);
  for (const auto& [online, momentum] : pairs) {
    if (online.sizes() != momentum.sizes()) fail("a momentum network follows tensors of its own shape: ", momentum.sizes(), " after ", online.sizes());
  }
  at::NoGradGuard no_grad;
  std::set<const void*> seen;
  for (const auto& [online, momentum] : pairs) {
    if (!seen.insert(momentum.const_data_ptr()).second) continue;
    if (m == 0) {
      momentum.detach().copy_(online.detach());
    } else {
      momentum.detach().mul_(m).add_(online.detach(), 1 - m);
    }
  }
}

double distillation_share(double alpha, int64_t step, int64_t steps_per_epoch) {
  if (steps_per_epoch < 1 || step >= steps_per_epoch) return alpha;
  return alpha * static_cast<double>(step) / static_cast<double>(steps_per_epoch);
}

void momentum_copy(const std::vector<MomentumPair>& pairs) { momentum_update(pairs, 0); }

}  // namespace vlm
