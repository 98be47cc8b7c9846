// Any bytes as a caption from the web: every way of cleaning takes them, and what comes out is well-formed.

#include "vlm/text/text_cleaning.h"

#include <cstdlib>

#include "vlm/text/html.h"
#include "vlm/text/unicode.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  using vlm::TextClean;
  for (const auto clean : {TextClean::lower_only, TextClean::squash_lower, TextClean::whitespace, TextClean::lower,
                           TextClean::canonicalize, TextClean::punctuation}) {
    if (!vlm::valid_utf8(vlm::clean_text(text, clean)) && vlm::valid_utf8(text)) std::abort();
  }
  (void)vlm::nfkc(text);
  (void)vlm::upper_each(text);
  (void)vlm::html_unescape(text);
  return 0;
}
