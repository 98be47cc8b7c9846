#pragma once
/// What every caption metric compares: one candidate and its references, as token strings (eval/ptb_tokenizer.h).

#include <string>
#include <vector>

namespace vlm {

struct CaptionItem {
  std::string id;                       ///< for messages
  std::string candidate;                ///< may be empty
  std::vector<std::string> references;  ///< at least one
};

/// A metric of a set, and of each of its items.
struct CaptionScores {
  double corpus = 0;
  std::vector<double> per_item;
};

/// Throws if there is no item, or one (which the message names) has no reference.
void check_captions(const std::vector<CaptionItem>& items, const std::string& metric);

}  // namespace vlm
