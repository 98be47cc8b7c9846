#pragma once
/// What files of models with a BERT carry beside a model's own weights: the output layer that is tied to the table of words under a
/// second pair of names (cls.predictions.decoder), and the numbers of positions (specs: alignment, 1.2 and 11).

#include "vlm/io/tensor_map.h"

namespace vlm {

/// Without it. A tied tensor that a file has under its second name alone is taken from there; an Error where the two differ, as the
/// model would not be the file's.
TensorMap without_derived_bert(const TensorMap& weights);
/// With it, as the public code writes it.
TensorMap with_derived_bert(const TensorMap& weights);

}  // namespace vlm
