#include "vlm/models/names/bert_names.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace bert_names {

constexpr const char* head = "cls.predictions.";
constexpr const char* position_table = "embeddings.position_embeddings.weight";
constexpr const char* position_ids = "embeddings.position_ids";

std::string without_end(const std::string& name, const std::string& end) { return name.substr(0, name.size() - end.size()); }

/// What a tensor of the second pair of names is a copy of; empty for any other name.
std::string original_of(const std::string& name) {
  const std::string weight = concat(head, "decoder.weight"), bias = concat(head, "decoder.bias");
  if (ends_with(name, weight)) return without_end(name, weight) + "bert.embeddings.word_embeddings.weight";
  if (ends_with(name, bias)) return without_end(name, bias) + head + "bias";
  return "";
}

}  // namespace bert_names

TensorMap without_derived_bert(const TensorMap& weights) {
  using namespace bert_names;
  TensorMap out;
  for (const auto& [name, tensor] : weights) {
    if (ends_with(name, position_ids)) continue;
    const std::string original = original_of(name);
    if (original.empty()) {
      out.emplace(name, tensor);
      continue;
    }
    const auto own = weights.find(original);
    if (own == weights.end()) {
      out.emplace(original, tensor);
    } else if (own->second.sizes() != tensor.sizes() || !at::equal(own->second, tensor.to(own->second.scalar_type()))) {
      fail(name, " is not the same as ", original, "; an output layer of its own is not supported");
    }
  }
  return out;
}

TensorMap with_derived_bert(const TensorMap& weights) {
  using namespace bert_names;
  TensorMap out = weights;
  for (const auto& [name, tensor] : weights) {
    if (ends_with(name, position_table)) out.emplace(without_end(name, position_table) + position_ids, at::arange(tensor.size(0)).unsqueeze(0));
    const std::string bias = concat(head, "bias");
    if (!ends_with(name, bias)) continue;
    const std::string prefix = without_end(name, bias);
    out.emplace(prefix + head + "decoder.bias", tensor);
    const auto table = weights.find(prefix + "bert.embeddings.word_embeddings.weight");
    if (table != weights.end()) out.emplace(prefix + head + "decoder.weight", table->second);
  }
  return out;
}

}  // namespace vlm
