#pragma once
/// Texts of different length as the rows that decoders are taught with.

#include "vlm/infer/text_ids.h"

namespace vlm {

/// Labels for next_token_loss(): the ids, and -100 for padding and the first `prompt` places of each row (the begin included).
Tensor labels_of(const TextRows& rows, int64_t prompt);

}  // namespace vlm
