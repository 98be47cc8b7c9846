#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>

namespace vlm {

using at::Tensor;
/// Tensors by name, as weight files hold them.
using TensorMap = std::map<std::string, Tensor>;

}  // namespace vlm
