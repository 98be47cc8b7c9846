#include <gtest/gtest.h>

#include <fstream>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/eval/caption_reward.h"

namespace vlm {

TEST(CaptionReward, EndsSentencesByAWord) {
  EXPECT_EQ(reward_sentence("  A man's dog, on the \"couch\". "), "A mans dog on the couch <eos>");
  EXPECT_EQ(reward_sentence(""), " <eos>");
  EXPECT_EQ(reward_sentence("..."), " <eos>");
}

TEST(CaptionReward, PaysForEndingWhereTheReferenceEnds) {
  const std::vector<std::vector<std::string>> references = {{"a dog on the red couch"}, {"two men ride horses"}, {"a plate of food"}};
  const auto frequency = count_reward_frequency(references);
  const auto scores = caption_rewards({"a dog on the red couch", "a dog on the red", "two men ride horses."}, references, {0, 0, 1}, &frequency);
  EXPECT_NEAR(scores[0], 10, 1e-9);
  EXPECT_LT(scores[1], 8);
  EXPECT_NEAR(scores[2], 10, 1e-9);
  EXPECT_THROW(caption_rewards({"a"}, references, {3}, &frequency), Error);
  EXPECT_THROW(caption_rewards({"a"}, references, {}, &frequency), Error);
  EXPECT_TRUE(caption_rewards({}, references, {}).empty());
}

TEST(CaptionReward, ReadsFrequenciesUnderBothNames) {
  const testing::TemporaryFolder folder;
  for (const char* key : {"df", "document_frequency"}) {
    std::ofstream(folder.path() / "df.json") << "{\"ref_len\": 7, \"" << key << "\": {\"a dog\": 3}}";
    const auto frequency = read_document_frequency(folder.path() / "df.json");
    EXPECT_EQ(frequency.items, 7);
    EXPECT_EQ(frequency.of.at("a dog"), 3);
  }
}

}  // namespace vlm
