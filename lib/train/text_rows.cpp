#include "vlm/train/text_rows.h"

#include <ATen/ops/full.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

namespace vlm {

TextRows pad_rows(const std::vector<std::vector<int64_t>>& rows, int64_t pad, const c10::Device& device) {
  size_t longest = 1;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  Tensor ids = at::full({static_cast<int64_t>(rows.size()), static_cast<int64_t>(longest)}, pad, at::kLong), mask = at::zeros_like(ids);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::copy(rows[i].begin(), rows[i].end(), ids.mutable_data_ptr<int64_t>() + i * longest);
    std::fill_n(mask.mutable_data_ptr<int64_t>() + i * longest, rows[i].size(), int64_t(1));
  }
  return {ids.to(device), mask.to(device)};
}

std::vector<int64_t> taught_ids(const Tokenizer& tokenizer, const std::string& text, const GenerationTokens& tokens, int64_t max_length) {
  std::vector<int64_t> ids = tokenizer.encode(text);
  ids.insert(ids.begin(), tokens.begin);
  ids.resize(std::min(ids.size(), static_cast<size_t>(max_length - 1)));
  ids.push_back(tokens.end);
  return ids;
}

Tensor labels_of(const TextRows& rows, int64_t prompt) {
  Tensor labels = rows.ids.masked_fill(rows.mask.eq(0), -100);
  labels.slice(1, 0, prompt).fill_(-100);
  return labels;
}

}  // namespace vlm
