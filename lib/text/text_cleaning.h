#pragma once
/// What a tokenizer does to a text before it cuts it into pieces (specs: clip, 10.1 to 10.3).

#include <string>
#include <string_view>

namespace vlm {

enum class TextClean {
  none,          ///< as it is
  lower_only,    ///< lower case: SigLIP 2
  squash_lower,  ///< white space collapsed, lower case; what vocabularies of `vlm tokenizer train` expect
  whitespace,    ///< basic_clean, white space collapsed
  lower,         ///< the same, lower case: CLIP
  canonicalize,  ///< basic_clean, "_" to space, no ASCII punctuation, lower case, white space collapsed: SigLIP in open_clip
  punctuation,   ///< lower case, no ASCII punctuation, white space collapsed: SigLIP in HF
};

/// By its name above; throws a usage error that lists the names.
TextClean text_clean_named(std::string_view name);
std::string to_string(TextClean clean);

std::string clean_text(std::string_view text, TextClean clean);

/// repair_text, HTML references replaced twice, stripped.
std::string basic_clean(std::string_view text);

/// Python's string.punctuation, 32 characters.
bool is_ascii_punctuation(char c);

}  // namespace vlm
