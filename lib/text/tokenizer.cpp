#include "vlm/text/tokenizer.h"

#include "vlm/core/error.h"
#include "vlm/text/unicode.h"

namespace vlm {

std::vector<std::string> Tokenizer::pieces(std::string_view text) const {
  std::vector<std::string> out;
  for (const int64_t id : encode(text)) out.push_back(id_to_piece(id));
  return out;
}

int64_t Tokenizer::id_of(std::string_view piece) const {
  const auto id = piece_to_id(piece);
  if (!id) fail("the vocabulary (", family_, ", ", vocab_size(), " pieces) has no '", piece, "'");
  return *id;
}

bool Tokenizer::is_special(int64_t id) const {
  return id >= 0 && (id == specials_.bos || id == specials_.eos || id == specials_.pad || id == specials_.unk);
}

std::string Tokenizer::caption_of(const std::vector<int64_t>& ids) const {
  std::vector<int64_t> text;
  for (const int64_t id : ids) {
    if (id >= 0 && id < vocab_size() && !is_special(id)) text.push_back(id);
  }
  return std::string(strip(decode(text)));
}

std::vector<int64_t> Tokenizer::with_specials(const std::vector<int64_t>& ids, int64_t context_length) const {
  if (context_length < 1) fail("a context of ", context_length, " ids holds no text");
  std::vector<int64_t> out;
  out.reserve(ids.size() + 2);
  if (specials_.bos >= 0) out.push_back(specials_.bos);
  out.insert(out.end(), ids.begin(), ids.end());
  if (specials_.eos >= 0) out.push_back(specials_.eos);
  if (out.size() > static_cast<size_t>(context_length)) {
    out.resize(static_cast<size_t>(context_length));
    if (specials_.eos >= 0) out.back() = specials_.eos;
  }
  return out;
}

std::vector<int64_t> Tokenizer::encode_padded(std::string_view text, int64_t context_length) const {
  auto ids = with_specials(encode(text), context_length);
  ids.resize(static_cast<size_t>(context_length), specials_.pad);
  return ids;
}

std::vector<int64_t> Tokenizer::encode_batch(const std::vector<std::string>& texts, int64_t context_length) const {
  std::vector<int64_t> out;
  out.reserve(texts.size() * static_cast<size_t>(context_length));
  for (const auto& text : texts) {
    const auto row = encode_padded(text, context_length);
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

}  // namespace vlm
