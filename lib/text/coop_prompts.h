#pragma once
/// Ids of class names behind learnt context vectors (CoOp, arXiv 2109.01134; specs: prompt, 3.1).

#include <cstdint>
#include <string>
#include <vector>

#include "vlm/text/tokenizer.h"

namespace vlm {

struct CoopPromptOptions {
  int64_t n_ctx = 16;         ///< context vectors, each an "X" in the text; unused where ctx_init is given
  std::string ctx_init;       ///< words that the context begins as; "_" is a space
  int64_t context_length = 77;
};

struct CoopPrompts {
  std::vector<std::vector<int64_t>> ids;  ///< of each class: [sot] prefix name "." [eot], filled up
  std::vector<int64_t> name_lengths;      ///< ids of each name alone
  int64_t n_ctx = 0;                      ///< words of the prefix
};

/// Throws if there is no class, or a prompt is longer than the context.
CoopPrompts make_coop_prompts(const Tokenizer& tokenizer, const std::vector<std::string>& class_names, const CoopPromptOptions& options = {});

}  // namespace vlm
