#pragma once
/// A SentencePiece model put together from its parts, for vocabularies that come in other files. The serialized form is the
/// message ModelProto of the library's sentencepiece_model.proto.

#include <string>
#include <utility>
#include <vector>

namespace vlm {

struct SentencePieceModel {
  enum class Type { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };
  struct Piece {
    std::string text;
    float score = 0;
    Type type = Type::normal;
  };

  std::vector<Piece> pieces;                  ///< by id
  bool bpe = false;                           ///< else unigram
  bool byte_fallback = false;                 ///< pieces "<0x00>" to "<0xFF>" stand for bytes
  std::string bos, eos, pad, unk = "<unk>";   ///< "": none
  std::string charsmap;                       ///< precompiled normalization; "": none
  bool add_dummy_prefix = false;              ///< a space before the text
  bool remove_extra_white_space = false;

  /// The next id. With byte_fallback, "<0x41>" becomes a byte. An empty text takes an id that is never used.
  void add(const std::string& text, float score);
  /// Gives the piece with this text a type, if there is one.
  void mark(const std::string& text, Type type);
  /// Scores of BPE: a piece that an earlier merge makes has a higher one.
  void rank_by_merges(const std::vector<std::pair<std::string, std::string>>& merges);
  std::string serialized() const;
};

}  // namespace vlm
