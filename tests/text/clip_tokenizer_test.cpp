#include "vlm/text/clip_tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/text_masking.h"

namespace vlm {

namespace clip_tokenizer_test {

namespace fs = std::filesystem;

/// A folder that goes away with the test.
struct Folder {
  fs::path path;
  Folder() {
    std::string name = (fs::temp_directory_path() / "vlm_text_XXXXXX").string();
    path = mkdtemp(name.data());
  }
  ~Folder() { fs::remove_all(path); }
};

/// A vocabulary with seven merges: ids 0-255 bytes, 256-511 bytes that end a word, 512-518 merges, 519 start, 520 end.
constexpr char kMerges[] = "#version\nc a\nca t</w>\nd o\ndo g</w>\n' s</w>\no f</w>\nca t\n";

std::shared_ptr<const Tokenizer> small(const ClipTokenizerOptions& options = {}) {
  const Folder folder;
  write_file_atomically(folder.path / "merges.txt", kMerges);
  return make_clip_tokenizer(read_clip_merges(folder.path / "merges.txt"), options);
}

int64_t letter(char c) { return c - '!'; }
int64_t last(char c) { return 256 + letter(c); }

}  // namespace clip_tokenizer_test

using clip_tokenizer_test::Folder;
using clip_tokenizer_test::last;
using clip_tokenizer_test::letter;
using clip_tokenizer_test::small;

TEST(ClipTokenizer, MergesWordsFromTheVocabulary) {
  const auto tokenizer = small();
  EXPECT_EQ(tokenizer->vocab_size(), 521);
  EXPECT_EQ(tokenizer->encode("Cat  DOG"), (std::vector<int64_t>{513, 515}));
  EXPECT_EQ(tokenizer->encode("cat's"), (std::vector<int64_t>{513, 516}));
  EXPECT_EQ(tokenizer->encode("cats"), (std::vector<int64_t>{518, last('s')}));
  EXPECT_EQ(tokenizer->encode("12 x"), (std::vector<int64_t>{last('1'), last('2'), last('x')}));
  EXPECT_EQ(tokenizer->encode(""), std::vector<int64_t>{});
}

TEST(ClipTokenizer, PunctuationSwallowsAnApostropheButAWordDoesNot) {
  const auto tokenizer = small();
  EXPECT_EQ(tokenizer->encode("!'s"), (std::vector<int64_t>{letter('!'), last('\''), last('s')}));
  EXPECT_EQ(tokenizer->encode("a's"), (std::vector<int64_t>{last('a'), 516}));
}

TEST(ClipTokenizer, ContractionsMatchInAnyCaseAndLongS) {
  ClipTokenizerOptions options;
  options.clean = TextClean::whitespace;
  const auto tokenizer = small(options);
  EXPECT_EQ(tokenizer->encode("a'S!"), (std::vector<int64_t>{last('a'), letter('\''), last('S'), last('!')}));
  // One word "'ſ" (bytes 27 C5 BF), not an apostrophe followed by a word.
  const auto ids = tokenizer->encode("'\u017F");
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids[0], letter('\''));
}

TEST(ClipTokenizer, SpecialTokensInTheTextCountOnlyAsTheyAreWritten) {
  ClipTokenizerOptions options;
  options.clean = TextClean::whitespace;
  const auto tokenizer = small(options);
  EXPECT_EQ(tokenizer->encode("<start_of_text>cat<end_of_text>"), (std::vector<int64_t>{519, 513, 520}));
  EXPECT_EQ(tokenizer->encode("<END_OF_TEXT>").size(), 13u);
  EXPECT_EQ(tokenizer->encode("!<end_of_text>").front(), letter('!'));
}

TEST(ClipTokenizer, SkipsTheIotaBelowThatHasNoClassWithoutRegardToCase) {
  EXPECT_EQ(small()->encode("a\u0345\u0345b"), (std::vector<int64_t>{last('a'), last('b')}));
  ClipTokenizerOptions options;
  options.rules = ClipRules::hf;
  EXPECT_EQ(small(options)->encode("a\u0345").size(), 3u);
}

TEST(ClipTokenizer, PaddedTextKeepsTheEndWhenItIsCut) {
  const auto tokenizer = small();
  EXPECT_EQ(tokenizer->encode_padded("cat dog", 6), (std::vector<int64_t>{519, 513, 515, 520, 0, 0}));
  EXPECT_EQ(tokenizer->encode_padded("cat dog cat", 4), (std::vector<int64_t>{519, 513, 515, 520}));
  EXPECT_EQ(tokenizer->encode_batch({"cat", ""}, 3), (std::vector<int64_t>{519, 513, 520, 519, 520, 0}));
  EXPECT_THROW(tokenizer->encode_padded("cat", 0), Error);
}

TEST(ClipTokenizer, DecodesBytesAndWordEnds) {
  const auto tokenizer = small();
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("Cat café 東京!")), "cat café 東京 ! ");
  EXPECT_EQ(tokenizer->decode({519, 513, 520}), "<start_of_text>cat <end_of_text>");
  EXPECT_THROW(tokenizer->decode({521}), Error);
  EXPECT_EQ(tokenizer->piece_to_id("cat</w>"), 513);
  EXPECT_EQ(tokenizer->piece_to_id("cat</w"), std::nullopt);
  EXPECT_EQ(tokenizer->id_to_piece(516), "'s</w>");
}

TEST(ClipTokenizer, DecodesHalfACharacterAsAReplacement) {
  const auto tokenizer = small();
  const auto ids = tokenizer->encode("é");
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_EQ(tokenizer->decode({ids[0]}), "\uFFFD");
}

TEST(ClipTokenizer, HfRulesKeepEntitiesAndPadWithTheEnd) {
  ClipTokenizerOptions options;
  options.rules = ClipRules::hf;
  const auto tokenizer = small(options);
  EXPECT_EQ(tokenizer->clean("A &amp;  \u00A0ΣΣ"), "a &amp; σσ");
  EXPECT_EQ(tokenizer->encode_padded("cat<|endoftext|>DOG", 6), (std::vector<int64_t>{519, 513, 520, 515, 520, 520}));
  const auto lowered = tokenizer->encode("<|ENDOFTEXT|>!");
  ASSERT_EQ(lowered.size(), 13u);  // "d o" is a merge
  EXPECT_EQ(lowered[1], last('|'));
  EXPECT_EQ(lowered[11], last('>'));
  EXPECT_EQ(tokenizer->family(), "hf_clip");
}

TEST(ClipTokenizer, GivesTheSameIdsFromManyThreads) {
  const auto tokenizer = small();
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) texts.push_back("cat" + std::string(size_t(i % 60), 'a') + " dog's of " + std::to_string(i));
  const auto expected = tokenizer->encode_batch(texts, 32);
  std::vector<std::thread> threads;
  std::vector<std::vector<int64_t>> got(4);
  for (auto& ids : got) threads.emplace_back([&] { ids = tokenizer->encode_batch(texts, 32); });
  for (auto& thread : threads) thread.join();
  for (const auto& ids : got) EXPECT_EQ(ids, expected);
}

TEST(ClipVocabulary, RefusesLinesThatAreNotTwoSymbols) {
  const Folder folder;
  const auto file = folder.path / "merges.txt";
  write_file_atomically(file, "#version\na b\nbroken\nc d\n");
  try {
    read_clip_merges(file);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("line 3"), std::string::npos) << error.what();
  }
  write_file_atomically(file, "");
  EXPECT_THROW(read_clip_merges(file), Error);
  EXPECT_THROW(read_clip_merges(folder.path / "none"), Error);
}

TEST(ClipVocabulary, RefusesAGzipFileThatEndsTooEarly) {
  const Folder folder;
  const auto file = folder.path / "cut.txt.gz";
  write_file_atomically(file, std::string("\x1f\x8b\x08\0\0\0\0\0\0\x03\x53\x2e\x4b\x2d", 14));
  EXPECT_THROW(read_clip_merges(file), Error);
}

TEST(TextMask, KeepsAWindowOrAChoice) {
  const std::vector<int64_t> ids{10, 11, 12, 13, 14};
  EXPECT_EQ(mask_window(ids, 3, 2), (std::vector<int64_t>{12, 13, 14}));
  EXPECT_EQ(mask_permuted(ids, 3, {4, 0, 2, 1, 3}, true), (std::vector<int64_t>{10, 12, 14}));
  EXPECT_EQ(mask_permuted(ids, 3, {4, 0, 2, 1, 3}, false), (std::vector<int64_t>{14, 10, 12}));
  EXPECT_THROW(mask_window(ids, 3, 3), Error);
  EXPECT_THROW(mask_permuted(ids, 2, {7, 0}, false), Error);
}

TEST(TextMask, LeavesTextsThatFitAndIsTheSameForTheSameSeed) {
  const std::vector<int64_t> ids{1, 2, 3, 4, 5, 6, 7, 8};
  for (const TextMask mask : {TextMask::truncate, TextMask::simple, TextMask::random, TextMask::shuffle}) {
    SplitMix64 a(3), b(3);
    EXPECT_EQ(mask_text(ids, 8, mask, a), ids);
    const auto kept = mask_text(ids, 5, mask, b);
    EXPECT_EQ(kept.size(), 5u);
    SplitMix64 again(3);
    EXPECT_EQ(mask_text(ids, 5, mask, again), kept);
  }
  EXPECT_THROW(text_mask_named("syntax"), Error);
}

TEST(TextMask, MaskedTextFillsTheContext) {
  const auto tokenizer = small();
  SplitMix64 random(1);
  const auto ids = encode_masked(*tokenizer, "cat dog cat dog cat dog", 5, TextMask::simple, random);
  ASSERT_EQ(ids.size(), 5u);
  EXPECT_EQ(ids.front(), 519);
  EXPECT_EQ(ids.back(), 520);
  EXPECT_EQ(encode_masked(*tokenizer, "cat", 5, TextMask::random, random), (std::vector<int64_t>{519, 513, 520, 0, 0}));
}

/// The published vocabulary is not part of the project: these run where it lies beside it.
class PublishedClipVocabulary : public ::testing::TestWithParam<std::string> {};

std::vector<std::string> published_vocabularies() {
  const auto file = std::filesystem::path(VLM_SOURCE_DIR) / "../shared/vocab/clip/bpe_simple_vocab_16e6.txt.gz";
  return std::filesystem::exists(file) ? std::vector<std::string>{file.string()} : std::vector<std::string>{};
}
INSTANTIATE_TEST_SUITE_P(Files, PublishedClipVocabulary, ::testing::ValuesIn(published_vocabularies()),
                         [](const auto&) { return std::string("bpe_simple_vocab_16e6"); });
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(PublishedClipVocabulary);

TEST_P(PublishedClipVocabulary, GivesTheIdsThatEveryoneKnows) {
  const auto tokenizer = load_tokenizer(GetParam());
  EXPECT_EQ(tokenizer->vocab_size(), 49408);
  EXPECT_EQ(tokenizer->encode_padded("a photo of a cat", 8), (std::vector<int64_t>{49406, 320, 1125, 539, 320, 2368, 49407, 0}));
}

TEST_P(PublishedClipVocabulary, CutsACaptionInMicroseconds) {
  const auto tokenizer = load_tokenizer(GetParam());
  const std::string caption = "Two people are sitting at a wooden table with plates of food and glasses of water.";
  tokenizer->encode(caption);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 2000; ++i) tokenizer->encode(caption);
  const double micros = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() / 2000;
  RecordProperty("microseconds", std::to_string(micros));
  EXPECT_LT(micros, 200);  // some 5 when optimised and alone on the machine
}

}  // namespace vlm
