#pragma once
/// Repair of characters that web text is full of: the part of ftfy.fix_text that needs no guessing of encodings.

#include <string>
#include <string_view>

namespace vlm {

/// Line by line until nothing changes (specs: clip, 10.1): HTML entities (none from the first line on that holds a "<"), C1
/// controls as Windows-1252, Latin ligatures, full-width forms, curly quotes, line ends, terminal escapes, control
/// characters, normal form C. Text in a wrong encoding ("mojibake") is left alone.
std::string repair_text(std::string_view text);

}  // namespace vlm
