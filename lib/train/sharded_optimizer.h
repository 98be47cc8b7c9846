#pragma once
/// An optimiser whose state is shared out over ranks (ZeRO stage 1, arXiv 1910.02054): each rank updates its share of the
/// parameters with the averaged gradients, and sends the new values to all others.

#include <memory>
#include <vector>

#include "vlm/train/communicator.h"
#include "vlm/train/optimizer.h"

namespace vlm {

/// Elementwise optimisers share all parameters as one flat stretch of numbers; the others, parameter by parameter. On one
/// rank it is the optimiser itself. The result of a step is the unshared one's, but for the last bit of the few elements at the
/// ends of a share, which vector instructions leave to others.
std::unique_ptr<Optimizer> make_sharded_optimizer(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options,
                                                  Communicator& communicator);

}  // namespace vlm
