#include "vlm/eval/caption_item.h"

#include "vlm/core/error.h"

namespace vlm {

void check_captions(const std::vector<CaptionItem>& items, const std::string& metric) {
  if (items.empty()) fail(metric, ": there is no caption to evaluate");
  for (const auto& item : items) {
    if (item.references.empty()) fail(metric, ": item '", item.id, "' has no reference caption");
  }
}

}  // namespace vlm
