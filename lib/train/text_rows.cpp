#include "vlm/train/text_rows.h"

namespace vlm {

Tensor labels_of(const TextRows& rows, int64_t prompt) {
  Tensor labels = rows.ids.masked_fill(rows.mask.eq(0), -100);
  labels.slice(1, 0, prompt).fill_(-100);
  return labels;
}

}  // namespace vlm
