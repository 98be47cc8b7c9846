#pragma once
/// What files of OFA carry beside a model's own weights (specs: ofa, 2.7).

#include "vlm/io/tensor_map.h"

namespace vlm {

/// Without it: tied copies of the word embeddings (an Error if one differs, as the model would not be the file's), derived position
/// tables and version numbers.
TensorMap without_derived_ofa(const TensorMap& weights);
/// With the copies that the reference implementations expect.
TensorMap with_tied_ofa(const TensorMap& weights);
/// The tensors of a file, in either layout's names, as `model` holds them: nothing derived, no tied copies, counters of batch norm as
/// the model has them (with_counters_of()).
TensorMap ofa_weights_for(const class OfaModel& model, const TensorMap& weights);

}  // namespace vlm
