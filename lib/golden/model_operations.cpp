#include "vlm/core/error.h"
#include "vlm/golden/case.h"

namespace vlm::golden {

void add_model_operations(Operations&) {}

}  // namespace vlm::golden
