#include "vlm/infer/ofa_tokenizer_files.h"

#include <nlohmann/json.hpp>
#include <unordered_map>

#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/bpe.h"
#include "vlm/text/bpe_vocabulary.h"
#include "vlm/text/ofa_tokenizer.h"

namespace vlm {

namespace fs = std::filesystem;

namespace ofa_tokenizer_files {

constexpr uintmax_t max_file = 256'000'000;
constexpr const char* specials[] = {"<s>", "<pad>", "</s>", "<unk>"};
constexpr const char* end_of_text = "<|endoftext|>";

/// GPT-2's number of every piece that merges can make.
std::unordered_map<std::string, size_t> gpt2_numbers(const BpeVocabulary& vocabulary, nlohmann::ordered_json& encoder) {
  std::unordered_map<std::string, size_t> numbers;
  const auto add = [&](const std::string& piece) {
    if (numbers.emplace(piece, numbers.size()).second) encoder[piece] = numbers.size() - 1;
  };
  const ByteSymbols symbols;
  for (const unsigned char byte : symbols.order) add(symbols.symbol[byte]);
  for (const auto& [left, right] : vocabulary.merges) add(left + right);
  add(end_of_text);
  return numbers;
}

}  // namespace ofa_tokenizer_files

std::vector<TokenizerFile> ofa_tokenizer_to_hf(const fs::path& folder) {
  const auto tokenizer = load_ofa_tokenizer(folder);
  nlohmann::ordered_json vocabulary, added;
  for (int64_t id = 0; id < tokenizer->vocab_size(); ++id) (id <= tokenizer->mask_id() ? vocabulary : added)[tokenizer->id_to_piece(id)] = id;
  nlohmann::ordered_json special = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"unk_token", "<unk>"}, {"sep_token", "</s>"},
                                    {"pad_token", "<pad>"}, {"cls_token", "<s>"}, {"mask_token", "<mask>"}};
  nlohmann::ordered_json config = special;
  config["tokenizer_class"] = "OFATokenizer";
  config["add_prefix_space"] = false;
  return {{"vocab.json", vocabulary.dump()},
          {"merges.txt", read_file(folder / "vocab.bpe", ofa_tokenizer_files::max_file)},
          {"added_tokens.json", added.dump()},
          {"tokenizer_config.json", config.dump(2) + "\n"},
          {"special_tokens_map.json", special.dump(2) + "\n"}};
}

std::vector<TokenizerFile> ofa_tokenizer_to_fairseq(const fs::path& folder) {
  using namespace ofa_tokenizer_files;
  BpeVocabulary vocabulary;
  vocabulary.read_files(folder / "vocab.json", folder / "merges.txt");
  for (size_t id = 0; id < 4; ++id) {
    if (id >= vocabulary.pieces.size() || vocabulary.pieces[id] != specials[id]) return {};
  }
  nlohmann::ordered_json encoder;
  const auto numbers = gpt2_numbers(vocabulary, encoder);
  std::string dictionary;
  for (size_t id = 4; id < vocabulary.pieces.size(); ++id) {
    const std::string& piece = vocabulary.pieces[id];
    // What follows <mask> are codes and bins, which fairseq's task adds by itself.
    if (piece == "<mask>" || starts_with(piece, "<code_") || starts_with(piece, "<bin_")) break;
    const auto number = numbers.find(piece);
    dictionary += (number == numbers.end() ? piece : std::to_string(number->second)) + " 0\n";
  }
  return {{"encoder.json", encoder.dump()}, {"vocab.bpe", read_file(folder / "merges.txt", max_file)}, {"dict.txt", dictionary}};
}

}  // namespace vlm
