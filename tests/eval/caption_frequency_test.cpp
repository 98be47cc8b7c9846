#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "error_of.h"
#include "temporary_folder.h"
#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/eval/caption_frequency.h"

namespace vlm {

namespace caption_frequency_test {

using testing::error_of;

std::vector<std::unique_ptr<Source>> open(const testing::TemporaryFolder& folder, const std::vector<std::string>& contents,
                                          const std::string& split = "") {
  std::vector<std::unique_ptr<Source>> out;
  for (size_t i = 0; i < contents.size(); ++i) {
    const auto file = folder / ("list" + std::to_string(i) + ".json");
    std::ofstream(file) << contents[i];
    SourceOptions options;
    options.path = file.string();
    options.split = split;
    options.write_index = false;
    out.push_back(open_source(options));
  }
  return out;
}

}  // namespace caption_frequency_test

TEST(DocumentFrequency, IsTheNumberOfItemsWithTheNgramAsLookingForEachInEachFinds) {
  SplitMix64 random(11);
  const std::vector<std::string> words = {"a", "dog", "cat", "on", "red"};
  for (int round = 0; round < 20; ++round) {
    std::vector<std::vector<std::string>> items(1 + random.below(6));
    std::set<std::string> grams;
    for (auto& item : items) {
      item.resize(1 + random.below(3));
      for (auto& text : item) {
        std::vector<std::string> drawn(random.below(8));
        for (auto& word : drawn) word = words[random.below(words.size())];
        text = join(drawn, " ");
        for (size_t n = 1; n <= 4; ++n) {
          for (size_t i = 0; i + n <= drawn.size(); ++i) {
            const auto first = drawn.begin() + static_cast<std::ptrdiff_t>(i);
            grams.insert(join(std::vector<std::string>(first, first + static_cast<std::ptrdiff_t>(n)), " "));
          }
        }
      }
    }
    const auto counted = count_document_frequency(items);
    EXPECT_EQ(counted.items, static_cast<double>(items.size()));
    EXPECT_EQ(counted.of.size(), grams.size());
    for (const auto& gram : grams) {
      double holding = 0;
      for (const auto& item : items) {
        const auto holds = [&](const std::string& text) { return (" " + text + " ").find(" " + gram + " ") != std::string::npos; };
        holding += std::any_of(item.begin(), item.end(), holds);
      }
      EXPECT_EQ(counted.of.at(gram), holding) << gram;
    }
  }
}

TEST(CaptionFrequency, CountsPicturesNotCaptionsAndComesBackFromItsFile) {
  const testing::TemporaryFolder folder;
  const auto sources = caption_frequency_test::open(
      folder, {R"([{"image": "a.jpg", "caption": ["A dog, running.", "The dog!"]}, {"image": "b.jpg", "caption": "a cat"},
                   {"image": "a.jpg", "caption": "a dog"}, {"image": "c.jpg"}])",
               R"list([{"image": "a.jpg", "caption": "a \"dog\" (brown)"}])list"});
  const auto counted = count_caption_frequency(sources);
  EXPECT_EQ(counted.frequency.items, 3) << "the second list's a.jpg is another picture";
  EXPECT_EQ(counted.captions, 5);
  EXPECT_EQ(counted.skipped, 1);
  EXPECT_EQ(counted.reasons.at("bad_row"), 1);
  EXPECT_EQ(counted.frequency.of.at("dog"), 2);
  EXPECT_EQ(counted.frequency.of.at("a"), 3);
  EXPECT_EQ(counted.frequency.of.at("a dog running"), 1) << "commas are no words";
  EXPECT_EQ(counted.frequency.of.at("dog -lrb- brown -rrb-"), 1) << "words are those of CIDEr's tokenizer";
  EXPECT_EQ(counted.frequency.of.count("A"), 0u);
  EXPECT_EQ(counted.lengths().size(), 4u);
  EXPECT_EQ(counted.lengths()[0], 8) << "a dog running the cat brown -lrb- -rrb-";
  EXPECT_EQ(counted_sentences(counted.frequency), CaptionSentences::metric);

  const auto file = folder / "df.json";
  write_document_frequency(file, counted.frequency);
  const auto read = read_document_frequency(file);
  EXPECT_EQ(read.items, counted.frequency.items);
  EXPECT_EQ(read.of, counted.frequency.of);
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_NE(entry.path().extension(), ".part") << "nothing half written stays";
  }
}

TEST(CaptionFrequency, SentencesOfRewardsKeepCaseAndEndInAWord) {
  const testing::TemporaryFolder folder;
  const auto sources = caption_frequency_test::open(folder, {R"([{"image": "a.jpg", "caption": "A man's dog."}])"});
  CaptionFrequencyOptions options;
  options.sentences = CaptionSentences::reward;
  const auto counted = count_caption_frequency(sources, options);
  EXPECT_EQ(counted.frequency.of.at("A mans dog <eos>"), 1);
  EXPECT_EQ(counted.frequency.of.at("<eos>"), 1);
  EXPECT_EQ(counted_sentences(counted.frequency), CaptionSentences::reward);
}

TEST(CaptionFrequency, OnlyTheSplitThatIsAskedForCounts) {
  const testing::TemporaryFolder folder;
  const std::string list = R"({"images": [
    {"filename": "a.jpg", "split": "train", "sentences": [{"raw": "a dog"}, {"raw": "dogs"}], "cocoid": 1},
    {"filename": "b.jpg", "split": "test", "sentences": [{"raw": "a cat"}], "cocoid": 2}]})";
  const auto counted = count_caption_frequency(caption_frequency_test::open(folder, {list}, "train"));
  EXPECT_EQ(counted.frequency.items, 1);
  EXPECT_EQ(counted.captions, 2);
  EXPECT_EQ(counted.frequency.of.count("cat"), 0u);
}

TEST(CaptionFrequency, NothingToCountIsAnErrorThatSaysWhatWasSkipped) {
  using namespace caption_frequency_test;
  const testing::TemporaryFolder folder;
  const auto sources = open(folder, {R"([{"image": "a.jpg", "caption": ["", " "]}, {"image": "b.jpg", "caption": 3}])"});
  const std::string message = error_of([&] { count_caption_frequency(sources); });
  EXPECT_NE(message.find("list0.json"), std::string::npos) << message;
  EXPECT_NE(message.find("no captions (bad_row="), std::string::npos) << message;
  CaptionFrequencyOptions strict;
  strict.strict = true;
  EXPECT_THROW(count_caption_frequency(sources, strict), SampleError);
  EXPECT_NE(error_of([] { caption_sentences_of("scst"); }).find("caption_scst and ofa_scst"), std::string::npos);
}

}  // namespace vlm
