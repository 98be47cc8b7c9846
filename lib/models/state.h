#pragma once
/// Weights into models: everything that is missing, unexpected or misshapen is reported, and refused unless told otherwise.

#include <string>
#include <vector>

#include "vlm/io/tensor_map.h"
#include "vlm/models/interfaces.h"

namespace vlm {

struct LoadReport {
  std::vector<std::string> missing;     ///< the model has them, the file has not
  std::vector<std::string> unexpected;  ///< the file has them, the model has not
  std::vector<std::string> misshapen;   ///< "name: the file has [a, b], the model needs [c, d]"

  bool clean() const { return missing.empty() && unexpected.empty() && misshapen.empty(); }
  /// Lines of text that name up to ten of each kind.
  std::string text() const;
};

/// `weights` with the counters of batch norm (num_batches_tracked), which change no result and which some files lack, as `state` has
/// them: left out, or begun at 0.
TensorMap with_counters_of(const std::vector<NamedTensor>& state, TensorMap weights);

/// Fills `state` from `weights`. Tensors of the same type are taken over without a copy. With `strict`, anything in the
/// report is an Error that begins with `where`; without it, what fits is loaded and the rest reported.
LoadReport load_state(const std::vector<NamedTensor>& state, const TensorMap& weights, const std::string& where, bool strict = true);

}  // namespace vlm
