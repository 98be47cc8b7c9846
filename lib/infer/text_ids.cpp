#include "vlm/infer/text_ids.h"

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

std::vector<int64_t> taught_ids(const Tokenizer& tokenizer, const std::string& text, const GenerationTokens& tokens, int64_t max_length, int64_t ends) {
  std::vector<int64_t> ids = tokenizer.encode(text);
  ids.insert(ids.begin(), tokens.begin);
  ids.resize(std::min(ids.size(), static_cast<size_t>(std::max<int64_t>(1, max_length - ends))));
  ids.insert(ids.end(), static_cast<size_t>(ends), tokens.end);
  return ids;
}

TextRows special_rows(const Tokenizer& tokenizer, const std::vector<std::string>& texts, int64_t longest, const c10::Device& device) {
  std::vector<std::vector<int64_t>> rows;
  for (const auto& text : texts) rows.push_back(tokenizer.with_specials(tokenizer.encode(text), longest));
  return pad_rows(rows, tokenizer.specials().pad, device);
}

}  // namespace vlm
