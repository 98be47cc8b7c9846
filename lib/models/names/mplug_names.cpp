#include "vlm/models/names/mplug_names.h"

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/names/bert_names.h"

namespace vlm {

namespace mplug_names {

constexpr const char* patches = "visual_encoder.visual.conv1.weight";

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

std::string without(std::string text, const std::string& part) {
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at)) text.erase(at, part.size());
  return text;
}

}  // namespace mplug_names

std::string mplug_name(const std::string& name, MplugNames rule) {
  using namespace mplug_names;
  switch (rule) {
    case MplugNames::finetune:
      if ((contains(name, "fusion") || contains(name, "bert")) && !contains(name, "decode")) return without(without(name, "fusion."), "bert.");
      return name;
    case MplugNames::grounding:
      if (contains(name, "_m.")) return "";
      if (starts_with(name, "text_encoder.bert")) return without(name, "bert.");
      if (contains(name, "fusion_encoder.fusion")) return without(name, "fusion.");
      return name;
    case MplugNames::modelscope: break;
  }
  return without(name, "model.");
}

bool is_mplug(const TensorMap& weights) {
  return weights.count(mplug_names::patches) > 0 ||
         std::any_of(weights.begin(), weights.end(), [](const auto& entry) { return mplug_name(entry.first, MplugNames::modelscope) == mplug_names::patches; });
}

TensorMap mplug_finetuned_names(const TensorMap& weights) {
  const bool packaged = weights.count(mplug_names::patches) == 0;
  TensorMap plain;
  for (const auto& [name, tensor] : weights) {
    const std::string own = packaged ? mplug_name(name, MplugNames::modelscope) : name;
    if (!plain.emplace(own, tensor).second) fail("two tensors have the name '", own, "' once every 'model.' is taken off");
  }
  TensorMap out;
  for (const auto& [name, tensor] : without_derived_bert(plain)) {
    const std::string own = mplug_name(name, MplugNames::finetune);
    if (!out.emplace(own, tensor).second) fail("two tensors have the name '", own, "' once mPLUG's wrappers are taken off");
  }
  return out;
}

}  // namespace vlm
