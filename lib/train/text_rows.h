#pragma once
/// Texts of different length as the rows that decoders are taught with.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "vlm/models/generator.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

/// Rows filled up to the longest.
struct TextRows {
  Tensor ids;   ///< [B, L], int64
  Tensor mask;  ///< [B, L], int64: 1 for ids, 0 for padding, which stands at the end
};

TextRows pad_rows(const std::vector<std::vector<int64_t>>& rows, int64_t pad, const c10::Device& device);

/// begin, the text's ids, end; cut to `max_length` ids, the last of which is `end`.
std::vector<int64_t> taught_ids(const Tokenizer& tokenizer, const std::string& text, const GenerationTokens& tokens, int64_t max_length);

/// Labels for next_token_loss(): the ids, and -100 for padding and the first `prompt` places of each row (the begin included).
Tensor labels_of(const TextRows& rows, int64_t prompt);

}  // namespace vlm
