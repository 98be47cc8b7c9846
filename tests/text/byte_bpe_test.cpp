#include "vlm/text/byte_bpe.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/ofa_tokenizer.h"
#include "vlm/text/tokenizer_json.h"

namespace vlm {

namespace byte_bpe_test {

/// 256 byte symbols, then 256 "ca", 257 "cat", 258 "Ġcat", and what follows.
nlohmann::json vocabulary(const std::vector<std::string>& more = {}) {
  const ByteSymbols bytes;
  nlohmann::json out;
  for (const unsigned char byte : bytes.order) out[bytes.symbol[byte]] = out.size();
  for (const char* piece : {"ca", "cat", "\xC4\xA0" "cat"}) out[piece] = out.size();
  for (const auto& piece : more) out[piece] = out.size();
  return out;
}

constexpr char kMerges[] = "#version: 0.2\nc a\nca t\n\xC4\xA0 cat\n";

std::string parts(const std::string& text) {
  std::string out;
  for (const auto part : split_gpt2(text)) out += "[" + std::string(part) + "]";
  return out;
}

}  // namespace byte_bpe_test

using byte_bpe_test::kMerges;
using byte_bpe_test::vocabulary;

TEST(ByteBpe, TheLastSpaceOfARunGoesWithTheWordBehindIt) {
  EXPECT_EQ(byte_bpe_test::parts("  two  spaces "), "[ ][ two][ ][ spaces][ ]");
  EXPECT_EQ(byte_bpe_test::parts("a\n\n b"), "[a][\n\n][ b]");
  EXPECT_EQ(byte_bpe_test::parts("a\n\nb"), "[a][\n][\n][b]");
  EXPECT_EQ(byte_bpe_test::parts("it's 's 12x!? IT'S"), "[it]['s][ '][s][ 12][x][!?][ IT]['][S]");
  EXPECT_EQ(byte_bpe_test::parts(""), "");
}

TEST(ByteBpe, FilesOfRobertaWrapATextAndThoseOfGpt2DoNot) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "merges.txt", kMerges);
  write_file_atomically(folder / "vocab.json", vocabulary({"<|endoftext|>"}).dump());
  const auto gpt2 = load_tokenizer(folder.path());
  EXPECT_EQ(gpt2->family(), "byte_bpe");
  EXPECT_EQ(gpt2->encode("cat cat<|endoftext|>"), (std::vector<int64_t>{257, 258, 259}));
  EXPECT_EQ(gpt2->encode_padded("cat", 2), (std::vector<int64_t>{257, 0}));
  EXPECT_EQ(gpt2->caption_of({258, 257, 259}), "catcat");
  write_file_atomically(folder / "vocab.json", vocabulary({"<s>", "</s>", "<pad>", "<mask>"}).dump());
  const auto roberta = load_tokenizer(folder.path());
  EXPECT_EQ(roberta->encode_padded("cat", 5), (std::vector<int64_t>{259, 257, 260, 261, 261}));
  EXPECT_EQ(roberta->encode("cat <mask> cat"), (std::vector<int64_t>{257, 262, 258}));  // takes the space before it along
  EXPECT_EQ(roberta->decode({259, 258, 260}), "<s> cat</s>");
  EXPECT_EQ(roberta->caption_of({260, 259, 258, 260, 261}), "cat");
}

TEST(ByteBpe, RefusesVocabulariesWithoutAllBytes) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "merges.txt", kMerges);
  for (const char* text : {R"({"a": 0})", R"({"a": 9000000})", R"({"a": "b"})", "[]", ""}) {
    write_file_atomically(folder / "vocab.json", text);
    EXPECT_THROW(load_tokenizer(folder.path()), Error) << text;
  }
}

TEST(OfaTokenizer, NumbersOfGpt2AreLookedUpInTheDictionaryAndBinsStandBehindIt) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "encoder.json", vocabulary().dump());
  write_file_atomically(folder / "vocab.bpe", kMerges);
  write_file_atomically(folder / "dict.txt", "258 90\n257 20\nmadeupword0000 0\n");
  const auto tokenizer = load_ofa_tokenizer(folder.path());
  EXPECT_EQ(tokenizer->vocab_size(), 4 + 3 + 1 + 8192 + 1000);
  EXPECT_EQ(tokenizer->encode(" cat"), (std::vector<int64_t>{4}));
  EXPECT_EQ(tokenizer->encode("catx"), (std::vector<int64_t>{5, 3}));
  EXPECT_EQ(tokenizer->encode_symbols("258 <bin_0> <bin_999> <bin_1000> <mask>"),
            (std::vector<int64_t>{4, 8 + 8192, 8 + 8192 + 999, 3, 7}));
  EXPECT_EQ(tokenizer->decode({0, 4, 8 + 8192 + 12, 2, 1}), " cat<bin_12>");
  EXPECT_EQ(tokenizer->first_bin(), tokenizer->id_of("<bin_0>"));
  EXPECT_EQ(load_tokenizer(folder.path())->family(), "ofa");
}

TEST(TokenizerJson, EveryFamilyIsToldByItsModelAndEncodes) {
  const testing::TemporaryFolder folder;
  const auto loaded = [&](const nlohmann::json& json) {
    write_file_atomically(folder / "tokenizer.json", json.dump());
    return load_tokenizer(folder.path());
  };
  const auto bytes = loaded({{"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", true}}},
                             {"post_processor", {{"type", "RobertaProcessing"}, {"sep", {"</s>", 260}}, {"cls", {"<s>", 259}}}},
                             {"model", {{"type", "BPE"}, {"vocab", vocabulary({"<s>", "</s>"})}, {"merges", {"c a", "ca t", "\xC4\xA0 cat"}}}}});
  EXPECT_EQ(bytes->encode_padded("cat", 3), (std::vector<int64_t>{259, 258, 260}));
  const auto words = loaded({{"normalizer", {{"type", "BertNormalizer"}, {"lowercase", true}}},
                             {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
                             {"added_tokens", nlohmann::json::array({{{"id", 5}, {"content", "[DEC]"}}})},
                             {"model", {{"type", "WordPiece"}, {"vocab", {{"[UNK]", 0}, {"[CLS]", 1}, {"[SEP]", 2}, {"cat", 3}, {"##s", 4}}}}}});
  EXPECT_EQ(words->encode("[DEC] Cats"), (std::vector<int64_t>{5, 3, 4}));
  const nlohmann::json unigram = {
      {"pre_tokenizer", {{"type", "Metaspace"}, {"replacement", "\xE2\x96\x81"}, {"prepend_scheme", "always"}}},
      {"post_processor", {{"type", "TemplateProcessing"}, {"single", {{{"Sequence", {{"id", "A"}}}}, {{"SpecialToken", {{"id", "</s>"}}}}}}}},
      {"added_tokens", {{{"id", 0}, {"content", "<pad>"}}, {{"id", 1}, {"content", "</s>"}}, {{"id", 6}, {"content", "<extra>"}, {"special", false}}}},
      {"model", {{"type", "Unigram"}, {"unk_id", 2}, {"vocab", {{"<pad>", 0.0}, {"</s>", 0.0}, {"<unk>", 0.0}, {"\xE2\x96\x81" "cat", -1.0}, {"s", -2.0}, {"\xE2\x96\x81", -3.0}}}}}};
  const auto pieces = loaded(unigram);
  EXPECT_EQ(pieces->family(), "sentencepiece");
  EXPECT_EQ(pieces->encode("cats cat"), (std::vector<int64_t>{3, 4, 3}));
  EXPECT_EQ(pieces->encode("cat<extra>"), (std::vector<int64_t>{3, 6}));
  EXPECT_EQ(pieces->with_specials(pieces->encode("cat"), 8), (std::vector<int64_t>{3, 1}));
  EXPECT_EQ(pieces->caption_of({0, 3, 4, 1}), "cats");
}

TEST(TokenizerJson, AComponentThatTheFamilyHasNotIsRefusedByName) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "tokenizer.json",
                        nlohmann::json({{"pre_tokenizer", {{"type", "Digits"}}}, {"model", {{"type", "WordPiece"}, {"vocab", {{"[UNK]", 0}}}}}}).dump());
  try {
    load_tokenizer(folder.path());
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("Digits"), std::string::npos) << error.what();
  }
  for (const char* text : {"{}", R"({"model": 3})", R"({"model": {"type": "WordLevel"}})", R"({"model": {"type": "Unigram", "vocab": [["a"]]}})",
                           R"({"model": {"type": "Unigram", "vocab": [], "unk_id": 7}})"}) {
    write_file_atomically(folder / "tokenizer.json", text);
    EXPECT_THROW(load_tokenizer(folder.path()), Error) << text;
  }
}

}  // namespace vlm
