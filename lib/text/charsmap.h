#pragma once
/// The normalisation table of a SentencePiece model ("precompiled_charsmap"), checked before the library uses it: the library
/// follows the table's numbers wherever they lead, also out of the table.
///
/// Layout: the size of the trie in bytes (4 bytes, little-endian); the trie, a double array of 32-bit units as Darts-clone
/// writes it, from texts to places in what follows; the replacements, each ending with NUL.

#include <string_view>

namespace vlm {

/// Throws vlm::Error unless every text leads to units inside the trie, meets at most 32 replacements on its way (as many as
/// the library has room for) and every replacement begins inside the table. An empty table is fine.
void check_charsmap(std::string_view charsmap);

/// The same for all tables of a serialized model (the message ModelProto of sentencepiece_model.proto).
void check_model_charsmaps(std::string_view model);

}  // namespace vlm
