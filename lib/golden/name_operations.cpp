#include "vlm/core/error.h"
#include "vlm/golden/case.h"
#include "vlm/models/names/layouts.h"

namespace vlm::golden {

namespace name_operations {

/// The converted weights hold what the case lists, no name more and none less.
Result convert(const Case& c) {
  const TensorMap got = convert_names(c.weights(), c.params.at("from"), c.params.at("to"));
  Result result;
  for (const auto& [name, tensor] : got) {
    if (!c.wants("out." + name)) fail("unexpected tensor '", name, "'");
    result.set("out." + name, tensor);
  }
  return result;
}

}  // namespace name_operations

void add_name_operations(Operations& operations) { operations["clip.convert"] = name_operations::convert; }

}  // namespace vlm::golden
