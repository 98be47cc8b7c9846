#pragma once
/// The rules of the PTB lexer: what is matched at one place of a caption. Seen by eval/ptb_tokenizer.cpp only.

#include <cstddef>
#include <string>

namespace vlm::ptb {

/// What a match gives.
enum class Gives {
  itself,
  two_tokens,       ///< itself, then a "."
  letter_and_stop,  ///< all but the last character, then a "."
  dashes,           ///< --
  ellipsis,         ///< ...
  clitic,           ///< itself with a plain apostrophe (or backquote)
  fraction,         ///< 1/4 for the one character
  currency,         ///< cents, #, $ or itself
  brackets,         ///< itself, round brackets written out, spaces no-break
  bracket,          ///< one bracket written out
  opening,          ///< two backquotes
  closing,          ///< two apostrophes
  backquote,        ///< one backquote
  quotes,           ///< each character as backquotes or apostrophes
  nothing,          ///< a character that no rule takes
};

struct Match {
  size_t length = 0;    ///< with what was looked ahead at: the longest match wins, the first of equal ones
  size_t consumed = 0;  ///< without
  Gives gives = Gives::nothing;
};

/// A caption as the lexer sees it: without line breaks, followed by a line break and a lower-case letter.
class Text {
 public:
  explicit Text(std::u32string caption);
  size_t size() const { return size_; }
  /// 0 beyond what can be looked at.
  char32_t operator[](size_t at) const { return at < text_.size() ? text_[at] : 0; }
  std::u32string slice(size_t at, size_t count) const { return text_.substr(at, count); }
  /// False if there certainly is no "@" ahead before white space; remembers what it has searched.
  bool at_sign_ahead(size_t at) const;
  bool tag_end_ahead(size_t at) const { return at < last_tag_end_; }

 private:
  std::u32string text_;
  size_t size_ = 0;
  size_t last_tag_end_ = 0;              ///< behind the last ">"
  mutable size_t searched_until_ = 0;    ///< no "@" before this place …
  mutable size_t searched_from_ = 0;     ///< … from this one on
};

/// The best match at a place that is not white space; consumed > 0.
Match match_at(const Text& text, size_t at);

bool is_space(char32_t c);

}  // namespace vlm::ptb
