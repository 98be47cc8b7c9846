#include "vlm/text/bert_tokenizer.h"

#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace bert_test {

const std::vector<std::string> kPieces = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s", "cafe", "'", "is", "n", "t", ".", "\xE4\xBA\xBA"};

std::string vocabulary() {
  std::string text;
  for (const auto& piece : kPieces) text += piece + "\n";
  return text;
}

}  // namespace bert_test

TEST(BertTokenizer, CutsLowerCasedWordsIntoTheLongestPieces) {
  const auto tokenizer = make_bert_tokenizer(bert_test::kPieces);
  EXPECT_EQ(tokenizer->encode("A CATS Caf\xC3\xA9"), (std::vector<int64_t>{5, 6, 7, 8}));
  EXPECT_EQ(tokenizer->encode("cat\xE4\xBA\xBA" "a"), (std::vector<int64_t>{6, 14, 5}));
  EXPECT_EQ(tokenizer->encode("catx"), (std::vector<int64_t>{1}));
  EXPECT_EQ(tokenizer->encode(std::string(101, 'a')), (std::vector<int64_t>{1}));
  EXPECT_EQ(tokenizer->encode("c\xC2\xAD" "at"), (std::vector<int64_t>{6}));  // format characters leave no gap
}

TEST(BertTokenizer, SpecialsAreFoundInExactCaseAlsoGluedToAWord) {
  const auto tokenizer = make_bert_tokenizer(bert_test::kPieces);
  EXPECT_EQ(tokenizer->encode("cat[SEP]"), (std::vector<int64_t>{6, 3}));
  EXPECT_EQ(tokenizer->encode("[mask]").size(), 3u);
}

TEST(BertTokenizer, LayoutsDifferInWhatClosesASequence) {
  BertTokenizerOptions options;
  EXPECT_EQ(make_bert_tokenizer(bert_test::kPieces, options)->encode_padded("a cat cat", 4), (std::vector<int64_t>{2, 5, 6, 3}));
  options.layout = BertLayout::cls;
  EXPECT_EQ(make_bert_tokenizer(bert_test::kPieces, options)->encode_padded("a cat cat a", 4), (std::vector<int64_t>{2, 5, 6, 6}));
  options.layout = BertLayout::cls_pad;
  EXPECT_EQ(make_bert_tokenizer(bert_test::kPieces, options)->encode_padded("a cat cat", 4), (std::vector<int64_t>{2, 5, 6, 0}));
}

TEST(BertTokenizer, ACaptionHasNeitherSpecialsNorSpacesBeforePunctuation) {
  const auto tokenizer = make_bert_tokenizer(bert_test::kPieces);
  const std::vector<int64_t> ids = {2, 5, 6, 7, 13, 3, 0, 0};
  EXPECT_EQ(tokenizer->decode(ids), "[CLS] a cats. [SEP] [PAD] [PAD]");
  EXPECT_EQ(tokenizer->caption_of(ids), "a cats.");
  EXPECT_EQ(tokenizer->caption_of({30522, 6}), "cat");
  EXPECT_EQ(without_bert_specials("[CLS] a cats. [SEP] [PAD]"), "a cats.");
  EXPECT_THROW(tokenizer->decode({30522}), Error);
}

TEST(BertTokenizer, BlipsTwoTokensAreKnownByNameHoweverItsFilesListThem) {
  const std::pair<const char*, const char*> files[] = {
      {"config.json", R"({"model_type": "blip"})"},
      {"added_tokens.json", R"({"[ENC]": 16, "[DEC]": 15})"},
      {"tokenizer_config.json", R"({"added_tokens_decoder": {"15": {"content": "[DEC]"}, "16": {"content": "[ENC]"}}})"},
  };
  for (const auto& [name, content] : files) {
    const testing::TemporaryFolder folder;
    write_file_atomically(folder / "vocab.txt", bert_test::vocabulary());
    write_file_atomically(folder / name, content);
    const auto tokenizer = load_tokenizer(folder.path());
    EXPECT_EQ(tokenizer->id_of("[DEC]"), 15) << name;
    EXPECT_EQ(tokenizer->id_of("[ENC]"), 16) << name;
    EXPECT_EQ(tokenizer->caption_of({15, 6, 3}), "cat") << name;
    EXPECT_THROW(tokenizer->id_of("[NONE]"), Error);
  }
}

TEST(BertTokenizer, CaseIsKeptWhereTheVocabularyOrTheConfigurationSaysSo) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "vocab.txt", bert_test::vocabulary() + "Cat\n");
  EXPECT_EQ(load_tokenizer(folder.path())->encode("Cat cat"), (std::vector<int64_t>{15, 6}));
  write_file_atomically(folder / "tokenizer_config.json", R"({"do_lower_case": true})");
  EXPECT_EQ(load_tokenizer(folder.path())->encode("Cat cat"), (std::vector<int64_t>{6, 6}));
}

TEST(BertTokenizer, RefusesVocabulariesThatLackWhatItNeedsAndIdsOutOfProportion) {
  EXPECT_THROW(make_bert_tokenizer({"a", "b"}), Error);
  EXPECT_THROW(make_bert_tokenizer({"[UNK]", "[CLS]"}), Error);
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "vocab.txt", bert_test::vocabulary());
  for (const char* text : {R"({"x": 9000000})", R"({"x": -1})", R"({"x": "y"})", "[]", "{"}) {
    write_file_atomically(folder / "added_tokens.json", text);
    EXPECT_THROW(load_tokenizer(folder.path()), Error) << text;
  }
}

}  // namespace vlm
