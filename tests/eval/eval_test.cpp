#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/eval/protocols.h"

namespace vlm {

TEST(RetrievalRecall, AgreesWithSortingOnRandomScores) {
  SplitMix64 random(5);
  for (int round = 0; round < 20; ++round) {
    const int64_t images = 1 + static_cast<int64_t>(random.below(8)), texts = images + static_cast<int64_t>(random.below(12));
    std::vector<double> numbers;
    for (int64_t i = 0; i < images * texts; ++i) numbers.push_back(static_cast<double>(random.below(6)));  // with ties
    std::vector<int64_t> owner;
    for (int64_t t = 0; t < texts; ++t) owner.push_back(t < images ? t : static_cast<int64_t>(random.below(static_cast<uint64_t>(images))));
    const auto got = retrieval_recall(at::tensor(numbers, at::kDouble).view({images, texts}), at::tensor(owner, at::kLong), {1, 3});
    const auto place = [&](const std::vector<double>& scores, const std::function<bool(int64_t)>& right) {
      std::vector<int64_t> order(scores.size());
      std::iota(order.begin(), order.end(), 0);
      std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
        const auto key = [&](int64_t i) { return std::pair(-scores[static_cast<size_t>(i)], -i); };
        return key(a) < key(b);
      });
      return std::find_if(order.begin(), order.end(), right) - order.begin();
    };
    for (const int64_t k : {1, 3}) {
      int64_t image_hits = 0, text_hits = 0;
      for (int64_t i = 0; i < images; ++i) {
        const std::vector<double> row(numbers.begin() + i * texts, numbers.begin() + (i + 1) * texts);
        image_hits += place(row, [&](int64_t t) { return owner[static_cast<size_t>(t)] == i; }) < k;
      }
      for (int64_t t = 0; t < texts; ++t) {
        std::vector<double> column;
        for (int64_t i = 0; i < images; ++i) column.push_back(numbers[static_cast<size_t>(i * texts + t)]);
        text_hits += place(column, [&](int64_t i) { return owner[static_cast<size_t>(t)] == i; }) < k;
      }
      EXPECT_DOUBLE_EQ(got.image_to_text.at(k), static_cast<double>(image_hits) / static_cast<double>(images));
      EXPECT_DOUBLE_EQ(got.text_to_image.at(k), static_cast<double>(text_hits) / static_cast<double>(texts));
    }
  }
}

TEST(RetrievalRecall, RefusesPicturesWithoutTextsAndForeignOwners) {
  EXPECT_THROW(retrieval_recall(at::rand({2, 1}), at::tensor(std::vector<int64_t>{0}, at::kLong)), Error);
  EXPECT_THROW(retrieval_recall(at::rand({1, 2}), at::tensor(std::vector<int64_t>{0, 1}, at::kLong)), Error);
}

TEST(ZeroShot, TiesGoToTheSmallerIndexAndLargeKsAreLeftOut) {
  const Tensor logits = at::tensor(std::vector<float>{1, 1, 0, 0, 2, 2}).view({2, 3});
  const auto accuracy = zero_shot_topk(logits, at::tensor(std::vector<int64_t>{1, 1}, at::kLong), {1, 2, 5});
  EXPECT_DOUBLE_EQ(accuracy.top.at(1), 0.5);
  EXPECT_DOUBLE_EQ(accuracy.top.at(2), 1.0);
  EXPECT_EQ(accuracy.top.count(5), 0u);
}

TEST(ZeroShot, EveryHoleOfATemplateIsFilled) { EXPECT_EQ(fill_template("a {} is a {}", "cat"), "a cat is a cat"); }

TEST(TextIdentity, IgnoresCasePunctuationAndWhiteSpace) {
  EXPECT_EQ(text_identity("  A dog,\trunning! "), text_identity("a Dog running"));
  EXPECT_NE(text_identity("a dog"), text_identity("a dogs"));
}

}  // namespace vlm
