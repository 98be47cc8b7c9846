#include "vlm/golden/case.h"

namespace vlm::golden {

void add_ofa_text_operations(Operations& operations) { (void)operations; }

}  // namespace vlm::golden
