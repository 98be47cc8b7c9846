#pragma once
/// Texts of different length as rows of ids: what models read, are taught with, and rank.

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

TextRows pad_rows(const std::vector<std::vector<int64_t>>& rows, int64_t pad, const c10::Device& device = c10::Device(c10::kCPU));

/// begin, the text's ids, `ends` times end; cut to `max_length` ids, the last of which are ends.
std::vector<int64_t> taught_ids(const Tokenizer& tokenizer, const std::string& text, const GenerationTokens& tokens, int64_t max_length, int64_t ends = 1);

/// Texts with their specials, each cut to `longest` ids.
TextRows special_rows(const Tokenizer& tokenizer, const std::vector<std::string>& texts, int64_t longest, const c10::Device& device = c10::Device(c10::kCPU));

}  // namespace vlm
