#pragma once
/// The tokens that caption metrics count: those of the Penn Treebank as coco-caption takes them from the Stanford tokenizer
/// (specs: eval, 1).

#include <string>
#include <string_view>
#include <vector>

namespace vlm {

/// All tokens of one caption, lower-cased; line breaks count as spaces. Tokens may hold U+00A0 where white space belongs to
/// them (a fraction "1 1/2", a tag). Brackets are "-lrb-" and the like. Malformed UTF-8 counts as U+FFFD.
std::vector<std::string> ptb_tokens(std::string_view caption);

/// Without the tokens that coco-caption drops: quotes, . ? ! , : - -- ... ;  but not runs such as "!!", and not brackets.
std::vector<std::string> without_punctuation_tokens(const std::vector<std::string>& tokens);

/// What BLEU, CIDEr and ROUGE-L are computed from: ptb_tokens without punctuation, joined by single spaces. May be empty.
std::string caption_tokens(std::string_view caption);

}  // namespace vlm
