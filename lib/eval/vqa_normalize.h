#pragma once
/// How the VQA benchmark makes answers comparable (vqaEval.py of GT-Vision-Lab/VQA; specs: eval, 5).

#include <string>
#include <string_view>

namespace vlm {

/// Punctuation becomes a space, or goes where it stands beside a space or the text holds digit-comma-digit; then the first 32
/// dots that no digit follows go.
std::string vqa_without_punctuation(std::string_view text);

/// Lower case; number words up to ten become digits, articles go, contractions get their apostrophe; single spaces.
std::string vqa_without_articles(std::string_view text);

/// Both, in this order.
std::string vqa_normalize(std::string_view text);

}  // namespace vlm
