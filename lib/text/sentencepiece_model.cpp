#include "vlm/text/sentencepiece_model.h"

#include <cstdint>
#include <cstring>
#include <unordered_map>

namespace vlm {

namespace protobuf {

void append_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7F) | 0x80);
  out += static_cast<char>(value);
}

void append_number(std::string& out, int field, uint64_t value) {
  append_varint(out, static_cast<uint64_t>(field) << 3);
  append_varint(out, value);
}

void append_bytes(std::string& out, int field, const std::string& bytes) {
  append_varint(out, (static_cast<uint64_t>(field) << 3) | 2);
  append_varint(out, bytes.size());
  out += bytes;
}

void append_float(std::string& out, int field, float value) {
  append_varint(out, (static_cast<uint64_t>(field) << 3) | 5);
  uint32_t bits = 0;
  std::memcpy(&bits, &value, 4);
  for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>((bits >> shift) & 0xFF);
}

/// Stands for a special that the model has not: no piece has this text.
constexpr char kAbsent[] = "\x01";

}  // namespace protobuf

void SentencePieceModel::add(const std::string& text, float score) {
  Piece piece{text, score, Type::normal};
  if (byte_fallback && text.size() == 6 && text.rfind("<0x", 0) == 0 && text[5] == '>') piece.type = Type::byte;
  if (text.empty()) {
    piece.text = "<unused_" + std::to_string(pieces.size()) + ">";
    piece.type = Type::unused;
  }
  pieces.push_back(std::move(piece));
}

void SentencePieceModel::mark(const std::string& text, Type type) {
  if (text.empty()) return;
  for (auto& piece : pieces) {
    if (piece.text == text) piece.type = type;
  }
}

void SentencePieceModel::rank_by_merges(const std::vector<std::pair<std::string, std::string>>& merges) {
  std::unordered_map<std::string, size_t> ranks;
  for (size_t rank = 0; rank < merges.size(); ++rank) ranks.emplace(merges[rank].first + merges[rank].second, rank);
  for (auto& piece : pieces) {
    const auto it = ranks.find(piece.text);
    piece.score = it == ranks.end() ? -static_cast<float>(merges.size()) : -static_cast<float>(it->second);
  }
}

std::string SentencePieceModel::serialized() const {
  std::string out;
  for (const auto& piece : pieces) {
    std::string message;
    protobuf::append_bytes(message, 1, piece.text);
    protobuf::append_float(message, 2, piece.score);
    protobuf::append_number(message, 3, static_cast<uint64_t>(piece.type));
    protobuf::append_bytes(out, 1, message);
  }
  std::string trainer;
  protobuf::append_number(trainer, 3, bpe ? 2 : 1);
  protobuf::append_number(trainer, 4, pieces.size());
  protobuf::append_number(trainer, 35, byte_fallback);
  const std::pair<int, const std::string*> names[] = {{45, &unk}, {46, &bos}, {47, &eos}, {48, &pad}};
  for (const auto& [field, name] : names) protobuf::append_bytes(trainer, field, name->empty() ? protobuf::kAbsent : *name);
  protobuf::append_bytes(out, 2, trainer);
  std::string normalizer;
  protobuf::append_bytes(normalizer, 1, charsmap.empty() ? "identity" : "user_defined");
  protobuf::append_bytes(normalizer, 2, charsmap);
  protobuf::append_number(normalizer, 3, add_dummy_prefix);
  protobuf::append_number(normalizer, 4, remove_extra_white_space);
  protobuf::append_number(normalizer, 5, 1);
  protobuf::append_bytes(out, 3, normalizer);
  return out;
}

}  // namespace vlm
