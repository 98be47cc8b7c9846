#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/eval/bleu.h"
#include "vlm/eval/cider.h"
#include "vlm/eval/clip_score.h"
#include "vlm/eval/grounding.h"
#include "vlm/eval/ptb_tokenizer.h"
#include "vlm/eval/retrieval.h"
#include "vlm/eval/rouge.h"
#include "vlm/eval/vqa_accuracy.h"
#include "vlm/eval/vqa_normalize.h"
#include "vlm/eval/yes_no.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace metrics_test {

std::string raw(const std::string& caption) { return join(ptb_tokens(caption), " "); }

const std::vector<CaptionItem> two = {{"7", "a dog runs", {"a dog runs fast", "the dog"}}, {"8", "", {"a cat"}}};

}  // namespace metrics_test

using metrics_test::raw;

TEST(PtbTokens, TheExamplesOfTheRulesComeOutAsTheySay) {
  const std::pair<const char*, const char*> examples[] = {
      {"c++ and C# cannot", "c++ and c# can not"},
      {"'twasnt", "'t wasnt"},
      {"end.next (red)", "end.next -lrb- red -rrb-"},
      {"\xE2\x80\x99sun", "'s un"},
      {"ma'am shi'ite y'all", "ma'am shi'ite y' all"},
      {"x!a@[b it@@ a@b", "x!a@[b it@@ a@b"},
      {"10:30 1,000 -5 .5", "10:30 1,000 -5 .5"},
      {"12/31/1999", "12/31/1999"},
      {"1 1/2 cups", "1\xC2\xA0" "1/2 cups"},
      {"b/w his/her", "b/w his/her"},
      {"Inc.a", "inc. a"},
      {"He works at Acme Inc. Then", "he works at acme inc. . then"},
      {"in the U.S. The end", "in the u.s. . the end"},
      {"it was I. The end", "it was i . the end"},
      {"fig. 3", "fig. 3"},
      {"see file.txt.", "see file.txt ."},
      {"mr. x dr. d.c.", "mr. x dr. d.c."},
      {"say \"hi\"", "say `` hi ''"},
      {":-) ^_^ (x_x)", ":--rrb- ^_^ -lrb-x_x-rrb-"},
      {"a --- b ----- c", "a -- b ----- c"},
      {". . . wait", "... wait"},
      {"4-door t-shirt black-and-white", "4-door t-shirt black-and-white"},
      {"o'clock d'art", "o'clock d'art"},
      {"AT&T", "at&t"},
      {"<unk> <a href=\"x\" b >", "<unk> <a\xC2\xA0href=\"x\"\xC2\xA0" "b\xC2\xA0>"},
      {"call (555) 123-4567", "call -lrb-555-rrb-\xC2\xA0" "123-4567"},
      {"\xE2\x80\x9C\xE2\x80\x9D", "``''"},
      {"two\nlines", "two lines"},
  };
  for (const auto& [caption, expected] : examples) EXPECT_EQ(raw(caption), expected) << caption;
}

TEST(PtbTokens, DropsSinglePunctuationButNotRunsOrBrackets) {
  EXPECT_EQ(caption_tokens("Oh no!! A dog (red), really?"), "oh no !! a dog -lrb- red -rrb- really");
  EXPECT_EQ(caption_tokens("..."), "");
}

TEST(PtbTokens, AnyBytesAreTokenizedInTimeLinearInTheirLength) {
  std::string all;
  for (int round = 0; round < 40; ++round) {
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  }
  EXPECT_FALSE(ptb_tokens(all).empty());
  EXPECT_FALSE(ptb_tokens(std::string(200000, 'a')).empty());
  EXPECT_FALSE(ptb_tokens(std::string(20000, '<')).empty());
}

TEST(CaptionMetrics, APerfectCandidateHasTheHighestScoreAndAnEmptyOneTheLowest) {
  const std::vector<CaptionItem> items = {{"1", "a big dog runs", {"a big dog runs"}}, {"2", "", {"a cat sits here"}}, {"3", "x y z w", {"x y z w"}}};
  const Bleu scores = bleu(items);
  EXPECT_NEAR(scores.per_item[0][3], 1, 1e-6);
  EXPECT_EQ(scores.per_item[1][0], 0);
  EXPECT_NEAR(rouge_l(items).per_item[0], 1, 1e-12);
  EXPECT_EQ(rouge_l(items).per_item[1], 0);
  EXPECT_NEAR(cider(items).per_item[0], 10, 1e-9);
  EXPECT_EQ(cider(items).per_item[1], 0);
}

TEST(CaptionMetrics, AnItemWithoutReferencesIsNamed) {
  const std::vector<CaptionItem> items = {{"391895", "a man", {}}};
  for (const auto& run : std::vector<std::function<void()>>{[&] { bleu(items); }, [&] { cider(items); }, [&] { rouge_l(items); }}) {
    try {
      run();
      FAIL();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("391895"), std::string::npos);
    }
  }
  EXPECT_THROW(bleu({}), Error);
}

TEST(Bleu, ATieOfReferenceLengthsGoesToTheShorter) {
  const std::vector<CaptionItem> items = {{"1", "a b c", {"a b c d", "a b"}}};
  EXPECT_NEAR(bleu(items).corpus[0], 1, 1e-6);  // with 4 words there would be a penalty
  EXPECT_LT(bleu(items, {4, BleuLength::average}).corpus[0], 1 + 1e-6);
  EXPECT_THROW(bleu_length_named("longest"), Error);
}

TEST(Cider, ASingleItemScoresZeroUnlessFrequenciesAreGiven) {
  const std::vector<CaptionItem> items = {{"1", "a dog", {"a dog"}}};
  EXPECT_EQ(cider(items).corpus, 0);
  const auto frequency = count_document_frequency({{"a dog", "dog"}, {"a cat"}, {"a bus"}});
  EXPECT_EQ(frequency.of.at("dog"), 1);
  EXPECT_EQ(frequency.of.at("a"), 3);
  EXPECT_GT(cider(items, {}, &frequency).corpus, 0);
}

TEST(Cider, FrequenciesSurviveTheirFileAndOtherFilesAreRefused) {
  const testing::TemporaryFolder folder;
  const auto frequency = count_document_frequency({{"a dog"}, {"a cat"}});
  write_file_atomically(folder / "df.json", frequency.to_json().dump());
  const auto read = read_document_frequency(folder / "df.json");
  EXPECT_EQ(read.items, 2);
  EXPECT_EQ(read.of, frequency.of);
  for (const char* text : {"", "[]", "{\"ref_len\": 2}", "{\"ref_len\": 0, \"df\": {}}", "{\"ref_len\": 2, \"df\": {\"a\": \"b\"}}"}) {
    write_file_atomically(folder / "df.json", text);
    EXPECT_THROW(read_document_frequency(folder / "df.json"), Error) << text;
  }
}

TEST(VqaAccuracy, TenAnswersGiveThePublishedSteps) {
  const double expected[] = {0, 30, 60, 90, 100, 100};
  for (int matches = 0; matches <= 5; ++matches) {
    VqaQuestion question{"1", "cat", {}, "", ""};
    for (int i = 0; i < 10; ++i) question.answers.push_back(i < matches ? "cat" : "dog " + std::to_string(i));
    EXPECT_EQ(vqa_accuracy({question}).overall, expected[matches]) << matches;
  }
}

TEST(VqaAccuracy, EqualAnswersAreComparedUntouchedByTheOfficialVariantOnly) {
  const VqaQuestion question{"1", "Yes.", std::vector<std::string>(10, "yes"), "", ""};
  EXPECT_EQ(vqa_accuracy({question}).overall, 0);
  EXPECT_EQ(vqa_accuracy({question}, VqaVariant::albef).overall, 100);
  EXPECT_EQ(vqa_exact_match({question}), 1);
  EXPECT_THROW(vqa_accuracy({{"9", "x", {}, "", ""}}), Error);
  EXPECT_THROW(vqa_accuracy({}), Error);
}

TEST(VqaNormalize, KeepsTheOrderInWhichPunctuationIsLookedAt) {
  EXPECT_EQ(vqa_normalize("The U.S.A., 3.5 - two"), "usa 3.5 2");
  EXPECT_EQ(vqa_without_punctuation(std::string(40, '.')), std::string(8, '.'));
  EXPECT_EQ(vqa_normalize("dont a/b"), "don't b");
}

TEST(YesNo, OnlyThreeWordsBeforeTheFirstDotSayNo) {
  EXPECT_FALSE(says_yes("well, no"));
  EXPECT_FALSE(says_yes("it is not. Yes"));
  for (const char* text : {"", "NO", "cannot", "None", "Yes. no"}) EXPECT_TRUE(says_yes(text)) << text;
  const auto scores = yes_no_scores({"no", "no"}, {"no", "yes"});
  EXPECT_EQ(scores.precision, 0);
  EXPECT_EQ(scores.undefined, (std::vector<std::string>{"precision", "f1"}));
  EXPECT_THROW(yes_no_scores({"no"}, {}), Error);
}

TEST(Grounding, ABoxOfOnePixelsWidthOverlapsInOneVariantOnly) {
  const Tensor box = at::tensor(std::vector<float>{3, 3, 1, 8}).view({1, 4});
  EXPECT_EQ(grounding_accuracy(box, box, BoxVariant::albef).accuracy, 0);
  const Tensor corners = at::tensor(std::vector<float>{3, 3, 4, 8}).view({1, 4});
  EXPECT_EQ(grounding_accuracy(corners, corners, BoxVariant::ofa).accuracy, 1);
  EXPECT_THROW(grounding_accuracy(box, box.view({4, 1})), Error);
}

TEST(ClipScore, AnItemWithoutReferenceIsAnErrorAndOppositeVectorsScoreZero) {
  const Tensor a = at::tensor(std::vector<float>{1, 0, 0, 2}).view({2, 2}), b = at::tensor(std::vector<float>{-1, 0, 0, 1}).view({2, 2});
  const auto scores = clip_scores(a, b, b, at::tensor(std::vector<int64_t>{0, 1}, at::kLong));
  EXPECT_EQ(scores.clipscore[0].item<float>(), 0);
  EXPECT_FLOAT_EQ(scores.clipscore[1].item<float>(), 2.5);
  EXPECT_EQ(scores.refclipscore[0].item<float>(), 0);
  EXPECT_THROW(clip_scores(a, b, b, at::tensor(std::vector<int64_t>{0, 0}, at::kLong)), Error);
}

TEST(PairMetrics, TheMedianOfAnEvenNumberIsTheLowerWholeRank) {
  const Tensor similarity = at::tensor(std::vector<float>{2, 1, 1, 0}).view({2, 2});
  const auto metrics = pair_metrics(similarity, {1});
  EXPECT_EQ(metrics.mean_rank, 1.5);
  EXPECT_EQ(metrics.median_rank, 1);
  EXPECT_EQ(metrics.recall.at(1), 0.5);
}

TEST(Retrieval, DirectionsWithScoresOfTheirOwnAreRankedByThem) {
  const Tensor similarity = at::tensor({0.9, 0.1, 0.3, 0.2, 0.8, 0.4}, at::kDouble).view({2, 3});
  const Tensor owner = at::tensor({0, 1, 1}, at::kLong);
  const auto relevant = texts_of_pictures(owner, 2);
  const auto one = retrieval_recall(similarity, owner), two = retrieval_recall(similarity, similarity.t(), relevant);
  EXPECT_EQ(one.image_ranks, two.image_ranks);
  EXPECT_EQ(one.text_ranks, two.text_ranks);
  const auto other = retrieval_recall(similarity, -similarity.t(), relevant);
  EXPECT_EQ(other.image_ranks, one.image_ranks);
  EXPECT_EQ(other.text_ranks, (std::vector<int64_t>{1, 1, 1}));
  EXPECT_THROW(retrieval_recall(similarity, similarity, relevant), Error);
  EXPECT_THROW(texts_of_pictures(owner, 1), Error);
  EXPECT_DOUBLE_EQ(median_rank({4, 0, 1}), 2);
  EXPECT_DOUBLE_EQ(median_rank({4, 0, 1, 2}), 2.5);
}

TEST(Grounding, PicksTheBoxWithTheMostHeatForItsSize) {
  // A picture of the map's own size: nothing is interpolated.
  const Tensor map = at::tensor({0., 0., 0., 0., 0., 4., 4., 0., 0., 0., 0., 1.}, at::kDouble).view({3, 4});
  const Tensor boxes = at::tensor({0., 0., 4., 3., 1., 1., 2., 1., 1., 1., 2., 1., 3., 2., 1., 1.}, at::kDouble).view({4, 4});
  const auto pick = pick_box(map, boxes, 3, 4);
  EXPECT_NEAR(pick.scores[0].item<double>(), 9 / std::sqrt(12.0), 1e-5);
  EXPECT_NEAR(pick.scores[1].item<double>(), 8 / std::sqrt(2.0), 1e-5);
  EXPECT_EQ(pick.best, 1);  // the first of two equal ones
  EXPECT_EQ(pick_box(-map, boxes, 3, 4).best, -1);
  EXPECT_THROW(pick_box(map, at::tensor({0., 0., 0., 3.}).view({1, 4}), 3, 4), Error);
}

}  // namespace vlm
