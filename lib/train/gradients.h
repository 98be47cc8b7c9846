#pragma once
/// Gradients between the backward pass and the step.

#include <vector>

#include "vlm/models/interfaces.h"

namespace vlm {

/// The norm of all elements of all tensors: `order` is 2, or infinity for the largest absolute value. 0 for no elements.
double joint_norm(const std::vector<Tensor>& tensors, double order = 2);

/// Scales the gradients of all parameters together so that their joint norm is at most `max_norm` (by max_norm / (norm + 1e-6),
/// at most 1). `order` is 2, or infinity for the largest absolute value. Returns the norm before; max_norm <= 0 only measures.
double clip_gradients(const std::vector<NamedTensor>& parameters, double max_norm, double order = 2);

/// The parameters hold no gradients afterwards.
void clear_gradients(const std::vector<NamedTensor>& parameters);

}  // namespace vlm
