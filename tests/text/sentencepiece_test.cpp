#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "error_of.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/bpe.h"
#include "vlm/text/sentencepiece_tokenizer.h"
#include "vlm/text/sentencepiece_trainer.h"

namespace vlm {

namespace sentencepiece_test {

namespace fs = std::filesystem;

struct Scratch {
  fs::path path;
  Scratch() {
    std::string name = (fs::temp_directory_path() / "vlm_spm_XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Scratch() { fs::remove_all(path); }
};

std::vector<std::string> captions() {
  std::vector<std::string> out;
  for (const char* colour : {"red", "blue", "green", "small", "large"}) {
    for (const char* thing : {"cat", "dog", "house", "tree", "boat"}) {
      for (const char* place : {"on a table", "in the garden", "near a river"})
        out.push_back(std::string("A ") + colour + " " + thing + " " + place);
    }
  }
  return out;
}

using testing::error_of;

}  // namespace sentencepiece_test

using sentencepiece_test::captions;
using sentencepiece_test::error_of;
using sentencepiece_test::Scratch;

class TrainedVocabulary : public ::testing::TestWithParam<std::string> {
 protected:
  SentencePieceTrainerOptions options() const {
    SentencePieceTrainerOptions out;
    out.vocab_size = 60;
    out.type = GetParam();
    return out;
  }
};
INSTANTIATE_TEST_SUITE_P(Types, TrainedVocabulary, ::testing::Values("unigram", "bpe"),
                         [](const auto& info) { return info.param; });

TEST_P(TrainedVocabulary, IsLaidOutForATextTowerThatPoolsAtEos) {
  const Scratch scratch;
  write_file_atomically(scratch.path / "tokenizer.model", train_sentencepiece(captions(), options()));
  const auto tokenizer = load_tokenizer(scratch.path);
  EXPECT_GT(tokenizer->vocab_size(), 25);
  EXPECT_LE(tokenizer->vocab_size(), 60);
  EXPECT_EQ(tokenizer->specials().pad, 0);
  EXPECT_EQ(tokenizer->specials().bos, 1);
  EXPECT_EQ(tokenizer->specials().eos, 2);
  EXPECT_EQ(tokenizer->specials().unk, 3);
  EXPECT_EQ(tokenizer->id_to_piece(1), "<start_of_text>");
  const auto ids = tokenizer->encode_padded("A red CAT", 24);
  EXPECT_EQ(ids.front(), 1);
  EXPECT_EQ(std::count(ids.begin(), ids.end(), 2), 1);
  EXPECT_EQ(ids.back(), 0);
  const auto cut = tokenizer->encode_padded("a red cat on a table near a river in the garden", 6);
  EXPECT_EQ(cut.size(), 6u);
  EXPECT_EQ(cut.back(), 2);
}

TEST_P(TrainedVocabulary, ReadsTextWithoutRegardToCaseAndWhiteSpaceAndWritesItBack) {
  const Scratch scratch;
  write_file_atomically(scratch.path / "x.model", train_sentencepiece(captions(), options()));
  const auto tokenizer = load_tokenizer(scratch.path / "x.model");
  const auto ids = tokenizer->encode("  A\tRed  cat ON a table\n");
  EXPECT_EQ(ids, tokenizer->encode("a red cat on a table"));
  EXPECT_EQ(tokenizer->decode(ids), "a red cat on a table");
  EXPECT_EQ(tokenizer->pieces("a red cat").size(), tokenizer->encode("a red cat").size());
}

TEST_P(TrainedVocabulary, IsTheSameEveryTime) {
  EXPECT_EQ(train_sentencepiece(captions(), options()), train_sentencepiece(captions(), options()));
}

TEST_P(TrainedVocabulary, IsAsLargeAsTheCaptionsAllow) {
  auto large = options();
  large.vocab_size = 5000;
  const Scratch scratch;
  write_file_atomically(scratch.path / "x.model", train_sentencepiece(captions(), large));
  EXPECT_LT(load_tokenizer(scratch.path / "x.model")->vocab_size(), 5000);
}

TEST_P(TrainedVocabulary, SaysWhatIsWrongWithImpossibleRequests) {
  auto bad = options();
  bad.vocab_size = 10;
  EXPECT_NE(error_of([&] { train_sentencepiece(captions(), bad); }).find("ask for more pieces"), std::string::npos);
  EXPECT_NE(error_of([&] { train_sentencepiece({" ", ""}, options()); }).find("are empty"), std::string::npos);
  bad.type = "bep";
  EXPECT_NE(error_of([&] { train_sentencepiece(captions(), bad); }).find("unigram, bpe"), std::string::npos);
}

TEST(TrainedVocabularyWithBytes, KnowsEveryCharacter) {
  SentencePieceTrainerOptions options;
  options.vocab_size = 330;
  options.byte_fallback = true;
  const Scratch scratch;
  write_file_atomically(scratch.path / "x.model", train_sentencepiece(captions(), options));
  const auto tokenizer = load_tokenizer(scratch.path / "x.model");
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a 東京 cat")), "a 東京 cat");
}

TEST(SentencePieceModel, SiglipLayoutsEndWithEosWithoutBos) {
  const Scratch scratch;
  SentencePieceTrainerOptions options;
  options.vocab_size = 60;
  const auto file = scratch.path / "x.model";
  write_file_atomically(file, train_sentencepiece(captions(), options));
  TokenizerOptions siglip;
  siglip.family = "siglip";
  auto tokenizer = load_tokenizer(file, siglip);
  EXPECT_EQ(tokenizer->encode_padded("", 3), (std::vector<int64_t>{2, 2, 2}));
  EXPECT_EQ(tokenizer->clean("A_red, cat!"), "a red cat");
  siglip.family = "siglip2";
  EXPECT_EQ(load_tokenizer(file, siglip)->encode_padded("", 3), (std::vector<int64_t>{2, 0, 0}));
  write_file_atomically(scratch.path / "config.json", R"({"model_type": "siglip"})");
  tokenizer = load_tokenizer(file);
  EXPECT_EQ(tokenizer->family(), "siglip");
  EXPECT_EQ(tokenizer->clean("A_red, cat!"), "ared cat");
}

TEST(SentencePieceModel, RefusesFilesThatAreNone) {
  const Scratch scratch;
  const auto file = scratch.path / "x.model";
  for (const std::string& bytes :
       {std::string(), std::string("not a model"), std::string(1000, '\xff'), std::string("\x0a\xff\xff\xff\xff\x0f", 6)}) {
    write_file_atomically(file, bytes);
    const std::string message = error_of([&] { load_sentencepiece(file); });
    EXPECT_NE(message.find("x.model: not a SentencePiece model"), std::string::npos) << message;
  }
}

TEST(LoadTokenizer, SaysWhatItLookedFor) {
  const Scratch scratch;
  EXPECT_NE(error_of([&] { load_tokenizer(scratch.path); }).find("looked for tokenizer.model"), std::string::npos);
  EXPECT_NE(error_of([&] { load_tokenizer(scratch.path / "none"); }).find("no such file"), std::string::npos);
  TokenizerOptions options;
  options.family = "clp";
  EXPECT_NE(error_of([&] { load_tokenizer(scratch.path, options); }).find("did you mean 'clip'"), std::string::npos);
}

TEST(LoadTokenizer, ReadsTheJsonFilesOfHf) {
  const Scratch scratch;
  std::string vocabulary = "{";
  int id = 0;
  // Bytes of ASCII letters are not enough: a vocabulary of CLIP has all 256 symbols, twice.
  write_file_atomically(scratch.path / "vocab.json", R"({"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2})");
  write_file_atomically(scratch.path / "merges.txt", "#version: 0.2\na b</w>\n");
  EXPECT_NE(error_of([&] { load_tokenizer(scratch.path); }).find("byte symbol"), std::string::npos);
  const ByteSymbols bytes;
  for (const char* end : {"", "</w>"}) {
    for (const unsigned char byte : bytes.order)
      vocabulary += nlohmann::json(bytes.symbol[byte] + end).dump() + ": " + std::to_string(id++) + ", ";
  }
  vocabulary += R"("ab</w>": 512, "<|startoftext|>": 513, "<|endoftext|>": 514})";
  write_file_atomically(scratch.path / "vocab.json", vocabulary);
  auto tokenizer = load_tokenizer(scratch.path);
  EXPECT_EQ(tokenizer->family(), "hf_clip");
  EXPECT_EQ(tokenizer->encode_padded("AB", 5), (std::vector<int64_t>{513, 512, 514, 514, 514}));
  write_file_atomically(scratch.path / "tokenizer_config.json", R"({"pad_token": "!"})");
  EXPECT_EQ(load_tokenizer(scratch.path)->encode_padded("AB", 4).back(), 0);
  // The same vocabulary as one file.
  const auto whole = nlohmann::json{{"model",
                                     {{"type", "BPE"},
                                      {"end_of_word_suffix", "</w>"},
                                      {"vocab", nlohmann::json::parse(vocabulary)},
                                      {"merges", {"a b</w>"}}}}};
  std::filesystem::remove(scratch.path / "merges.txt");
  write_file_atomically(scratch.path / "tokenizer.json", whole.dump());
  EXPECT_EQ(load_tokenizer(scratch.path)->encode("ab AB"), (std::vector<int64_t>{512, 512}));
  write_file_atomically(scratch.path / "open_clip_config.json", "{}");
  EXPECT_EQ(load_tokenizer(scratch.path)->family(), "hf_clip");
  write_file_atomically(scratch.path / "open_clip_config.json", R"({"model_cfg": {}})");
  tokenizer = load_tokenizer(scratch.path);
  EXPECT_EQ(tokenizer->family(), "clip");
  EXPECT_EQ(tokenizer->encode_padded("AB", 5), (std::vector<int64_t>{513, 512, 514, 0, 0}));
}

TEST(ReadCaptions, FindsThemInTextAndJsonFiles) {
  const Scratch scratch;
  write_file_atomically(scratch.path / "a.txt", "one\r\n\n two \n");
  write_file_atomically(scratch.path / "b.json",
                        R"({"annotations": [{"caption": "three", "id": 3}, {"captions": ["four", "five"], "image": "x"}]})");
  write_file_atomically(scratch.path / "c.jsonl", "{\"caption\": \"six\"}\n{\"caption\": [\"seven\"]}\n");
  write_file_atomically(scratch.path / "d.bin", "no");
  EXPECT_EQ(read_captions(scratch.path), (std::vector<std::string>{"one", "two", "three", "four", "five", "six", "seven"}));
  EXPECT_NE(error_of([&] { read_captions(scratch.path / "d.bin"); }).find("captions are read from"), std::string::npos);
  write_file_atomically(scratch.path / "c.jsonl", "{\"caption\": \"six\"}\n{");
  EXPECT_NE(error_of([&] { read_captions(scratch.path / "c.jsonl"); }).find("line 2: not JSON"), std::string::npos);
  write_file_atomically(scratch.path / "b.json", "[1, 2]");
  EXPECT_NE(error_of([&] { read_captions(scratch.path / "b.json"); }).find("no captions"), std::string::npos);
}

}  // namespace vlm
