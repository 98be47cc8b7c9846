// Any bytes as a tokenizer's file, the first one choosing which: refused with an Error, or a tokenizer that encodes and decodes.

#include "vlm/text/tokenizer.h"

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "memory_file.h"
#include "vlm/core/error.h"
#include "vlm/text/bert_tokenizer.h"
#include "vlm/text/clip_tokenizer.h"
#include "vlm/text/sentencepiece_tokenizer.h"
#include "vlm/text/tokenizer_json.h"

namespace vlm::fuzz {

std::shared_ptr<const Tokenizer> load(char kind, const std::filesystem::path& file) {
  switch (kind) {
    case 'w': {
      auto pieces = read_bert_vocabulary(file);
      BertTokenizerOptions options;
      options.lower_case = !has_cased_pieces(pieces);
      return make_bert_tokenizer(std::move(pieces), options);
    }
    case 'm': return make_clip_tokenizer(read_clip_merges(file));
    case 's': return load_sentencepiece(file);
    default: break;
  }
  const auto json = read_json_object(file);
  const std::string family = tokenizer_json_family(json, file);
  if (family == "hf_clip") return make_clip_tokenizer(read_hf_clip_vocabulary(file), {ClipRules::hf});
  if (family == "byte_bpe") return make_byte_bpe_of_json(json, file);
  if (family == "sentencepiece") return make_sentencepiece_of_json(json, file);
  auto read = read_wordpiece_json(json, file);
  return make_bert_tokenizer(std::move(read.pieces), read.options);
}

}  // namespace vlm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const vlm::fuzz::MemoryFile file(data + 1, size - 1);
  try {
    const auto tokenizer = vlm::fuzz::load(static_cast<char>(data[0]), file.path());
    for (const char* text : {"", " A cat's [SEP] caf\xC3\xA9 12,\n\xE4\xBA\xBA </s>\xFF x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}) {
      const auto ids = tokenizer->encode(text);
      for (const int64_t id : ids) {
        if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
      }
      (void)tokenizer->decode(ids);
      (void)tokenizer->caption_of(ids);
      if (tokenizer->encode_padded(text, 8).size() != 8) std::abort();
    }
  } catch (const vlm::Error&) {
  }
  return 0;
}
