#include "vlm/models/ofa/tied.h"

#include <ATen/ops/equal.h>

#include "vlm/core/error.h"
#include "vlm/models/names/ofa_names.h"
#include "vlm/models/ofa/ofa.h"
#include "vlm/models/state.h"

namespace vlm {

namespace ofa_tied {

constexpr const char* table = "encoder.embed_tokens.weight";
constexpr const char* copies[] = {"decoder.embed_tokens.weight", "decoder.output_projection.weight"};

bool derived(const std::string& name) {
  for (const char* stack : {"encoder.", "decoder."}) {
    for (const char* buffer : {"token_rp_bucket", "image_rp_bucket", "image_position_idx", "version"}) {
      if (name == concat(stack, buffer)) return true;
    }
  }
  return false;
}

}  // namespace ofa_tied

TensorMap without_derived_ofa(const TensorMap& weights) {
  TensorMap out;
  for (const auto& [name, tensor] : weights) {
    if (!ofa_tied::derived(name)) out.emplace(name, tensor);
  }
  for (const char* name : ofa_tied::copies) {
    const auto copy = out.find(name);
    if (copy == out.end()) continue;
    const auto own = out.find(ofa_tied::table);
    if (own == out.end()) {
      out.emplace(ofa_tied::table, copy->second);
    } else if (own->second.sizes() != copy->second.sizes() || !at::equal(own->second, copy->second.to(own->second.scalar_type()))) {
      fail(name, " is not the same as ", ofa_tied::table, "; an output layer or a table of words of its own is not supported");
    }
    out.erase(name);
  }
  return out;
}

TensorMap with_tied_ofa(const TensorMap& weights) {
  TensorMap out = weights;
  const auto own = weights.find(ofa_tied::table);
  if (own == weights.end()) return out;
  for (const char* name : ofa_tied::copies) out.emplace(name, own->second);
  return out;
}

TensorMap ofa_weights_for(const OfaModel& model, const TensorMap& weights) {
  return with_counters_of(model.state(), without_derived_ofa(is_fairseq_ofa(weights) ? ofa_to_hf(weights) : weights));
}

}  // namespace vlm
