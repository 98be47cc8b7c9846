#pragma once
/// Tables of tensor names in two layouts, applied both ways.
///
/// A pattern is a name in which `#` stands for a block's number, `?` for a part of a fused tensor, and a `*` at the end for
/// the rest ("weight", "bias"). The first rule that fits counts.

#include <span>
#include <string>

#include "vlm/io/tensor_map.h"

namespace vlm {

enum class NameAction {
  same,
  transposed,    ///< `left` is [in, out], `right` [out, in]
  leading_axis,  ///< `left` is [1, …], `right` […]
  left_fused,    ///< `left` holds what `right` has as three tensors, ? = q, k, v, one below the other on axis 0
  right_fused,   ///< `right` holds what `left` has as two, ? = q (a third of the rows) and kv
};

struct NameRule {
  const char* left;
  const char* right;
  NameAction action = NameAction::same;
};

enum class UnknownNames {
  keep,    ///< as they are, so that the loader reports them
  refuse,  ///< an Error that names the tensor
};

/// Throws if parts of a fused tensor are missing, if its rows cannot be divided, or if two tensors get the same name.
TensorMap left_to_right(const TensorMap& weights, std::span<const NameRule> rules, UnknownNames unknown);
TensorMap right_to_left(const TensorMap& weights, std::span<const NameRule> rules, UnknownNames unknown);

}  // namespace vlm
