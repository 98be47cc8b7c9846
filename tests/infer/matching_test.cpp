/// Answers that are ranked, pairs that are looked at again, and maps of where a text is.

#include <ATen/ops/allclose.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tiny_albef.h"
#include "vlm/infer/answer_ranking.h"
#include "vlm/infer/grad_cam.h"
#include "vlm/infer/rerank.h"

namespace vlm {
namespace matching_test {

/// "match" is the product of a picture's number and a text's.
class ToyReranker : public Reranker {
 public:
  Tensor match(const Tensor&, const Tensor&, const Tensor&) override { return {}; }
  Tensor match_pictures(const Tensor& pixels) override { return pixels; }
  Tensor match_texts(const Tensor& ids, const Tensor&) override { return ids; }
  Tensor embed_matched(const Tensor& pictures) override { return pictures; }
  Tensor match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask) override {
    EXPECT_EQ(pictures.size(0), texts.size(0));
    EXPECT_EQ(mask.size(0), texts.size(0));
    return at::stack({pictures, pictures * texts * mask}, 1);
  }
};

}  // namespace matching_test

TEST(Rerank, LooksAtTheBestOfEachRowAndAtNothingElse) {
  matching_test::ToyReranker model;
  const Tensor pictures = at::rand({5}), texts = at::rand({7}), mask = at::rand({7}), cosines = at::randn({5, 7});
  for (const bool by_picture : {true, false}) {
    const Tensor sims = by_picture ? cosines : cosines.t();
    const auto scores = rerank(model, pictures, texts, mask, sims, by_picture ? RerankRows::pictures : RerankRows::texts, {.k = 3, .chunk = 4});
    for (int64_t i = 0; i < sims.size(0); ++i) {
      std::vector<float> row;
      for (int64_t j = 0; j < sims.size(1); ++j) row.push_back(sims[i][j].item<float>());
      std::vector<float> sorted = row;
      std::sort(sorted.begin(), sorted.end(), std::greater<>());
      for (int64_t j = 0; j < sims.size(1); ++j) {
        const int64_t p = by_picture ? i : j, t = by_picture ? j : i;
        const float logit = pictures[p].item<float>() * texts[t].item<float>() * mask[t].item<float>();
        EXPECT_NEAR(scores[i][j].item<float>(), row[static_cast<size_t>(j)] >= sorted[2] ? logit : -100.f, 1e-6);
      }
    }
  }
}

TEST(RankAnswers, IsTheOrderOfWholeAnswersWhoseFirstWordCountsTwice) {
  const auto model = testing::tiny_albef_of<AlbefAnswerer>(testing::tiny_albef_config(AlbefTask::vqa));
  const c10::InferenceMode inference;
  const Tensor pixels = at::rand({2, 3, 32, 32}), question = at::randint(5, 28, {2, 6}, at::kLong);
  const Tensor question_mask = at::tensor({1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0}, at::kLong).view({2, 6});
  const std::vector<std::vector<int64_t>> list = {{2, 7, 3, 3}, {2, 9, 11, 3, 3}, {2, 7, 8, 3, 3}, {2, 20, 3, 3}, {2, 21, 22, 3, 3}};
  Tensor answers = at::zeros({5, 5}, at::kLong);
  for (int64_t a = 0; a < 5; ++a) {
    for (size_t i = 0; i < list[static_cast<size_t>(a)].size(); ++i) answers[a][static_cast<int64_t>(i)] = list[static_cast<size_t>(a)][i];
  }
  const Tensor states = model->encode_question(model->online(), pixels, question, question_mask);
  const auto ranked = rank_answers(*model, states, question_mask, answers, answers.ne(0).to(at::kLong), {.k = 5, .chunk = 3});
  for (int64_t q = 0; q < 2; ++q) {
    std::vector<std::pair<double, int64_t>> expected;
    for (size_t a = 0; a < list.size(); ++a) {
      // Token by token, with the decoder's cache.
      const auto state = model->begin_answer(pixels.slice(0, q, q + 1), question.slice(0, q, q + 1), question_mask.slice(0, q, q + 1));
      double score = 0;
      for (size_t i = 0; i + 1 < list[a].size(); ++i) {
        const Tensor logits = state->step(at::tensor({list[a][i]}, at::kLong).view({1, 1}));
        const auto p = at::log_softmax(logits, 1)[0][list[a][i + 1]].item<double>();
        score += i == 0 ? 2 * p : p;
      }
      expected.emplace_back(-score, static_cast<int64_t>(a));
    }
    std::sort(expected.begin(), expected.end());
    double total = 0;
    for (const auto& [score, a] : expected) total += std::exp(-score);
    for (int64_t place = 0; place < 5; ++place) {
      EXPECT_EQ(ranked.ids[q][place].item<int64_t>(), expected[static_cast<size_t>(place)].second);
      EXPECT_NEAR(ranked.probabilities[q][place].item<double>(), std::exp(-expected[static_cast<size_t>(place)].first) / total, 1e-4);
    }
  }
}

TEST(GradCam, MapsOfWordsMakeThatOfTheTextAndLeaveTheWeightsAlone) {
  const auto model = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config(AlbefTask::retrieval));
  const Tensor pixels = at::rand({2, 3, 32, 32}), ids = at::randint(5, 28, {2, 6}, at::kLong);
  Tensor mask = ids.ne(0).to(at::kLong);
  mask[1].slice(0, 4).fill_(0);
  const Tensor words = grad_cam_of_words(*model, pixels, ids, mask, 3), text = grad_cam_of_text(*model, pixels, ids, mask, 3);
  EXPECT_EQ(words.sizes(), (std::vector<int64_t>{2, 6, 4, 4}));
  EXPECT_TRUE(at::allclose(words.mean(1), text));
  EXPECT_EQ(words[1].slice(0, 4).abs().sum().item<float>(), 0);
  EXPECT_GT(words.sum().item<float>(), 0);
  EXPECT_EQ(grad_cam_of_similarity(*model, pixels, ids, mask, 1).sizes(), (std::vector<int64_t>{2, 4, 4}));
  for (const auto& [name, tensor] : model->trainable()) EXPECT_FALSE(tensor.grad().defined()) << name;
}

}  // namespace vlm
