#include "vlm/infer/candidate_scores.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "toy_replies.h"
#include "vlm/core/error.h"

namespace vlm {
namespace candidate_test {

using Ids = std::vector<int64_t>;
const std::vector<Ids> answers = {{5}, {6, 7}, {6}, {8, 4, 5}, {6, 7, 4}, {4}, {6, 7, 5}, {8}};
const std::vector<Ids> prompts = {{0, 5, 6}, {0}, {0, 8, 4}, {0, 4}};

double by_hand(const testing::ToyLogits& logits, int64_t row, Ids answer) {
  answer.push_back(2);
  Ids so_far;
  double sum = 0;
  for (const int64_t id : answer) {
    std::set<int64_t> allowed;
    for (Ids other : answers) {
      other.push_back(2);
      if (other.size() > so_far.size() && std::equal(so_far.begin(), so_far.end(), other.begin())) allowed.insert(other[so_far.size()]);
    }
    Ids context = prompts[static_cast<size_t>(row)];
    context.insert(context.end(), so_far.begin(), so_far.end());
    const auto values = logits(row, context);
    double total = 0;
    for (const int64_t other : allowed) total += std::exp(static_cast<double>(values[static_cast<size_t>(other)]));
    sum += values[static_cast<size_t>(id)] - std::log(total);
    so_far.push_back(id);
  }
  return sum;
}

Instruction four_rows() {
  Instruction out;
  out.ids = at::zeros({4, 3}, at::kLong);
  return out;
}

}  // namespace candidate_test

TEST(CandidateScores, EveryWayOfComputingThemGivesTheSumsOfLogProbabilities) {
  const testing::ToyLogits logits{.vocabulary = 9, .seed = 3};
  for (const bool leaves_out : {true, false}) {
    testing::ToyModel model(logits, leaves_out);
    const auto encoded = model.encode_instruction(candidate_test::four_rows());
    for (const bool share : {true, false}) {
      for (const double megabytes : {256.0, 0.0, 4 * 9 * 4 * 3e-6}) {
        const auto out = score_candidates(model, encoded, candidate_test::prompts, candidate_test::answers, {share, megabytes});
        for (int64_t row = 0; row < 4; ++row) {
          int64_t best = 0;
          for (int64_t a = 0; a < 8; ++a) {
            EXPECT_NEAR(out.scores[row][a].item<double>(), candidate_test::by_hand(logits, row, candidate_test::answers[static_cast<size_t>(a)]), 1e-5) << share << megabytes << row << a;
            if (out.scores[row][a].item<float>() > out.scores[row][best].item<float>()) best = a;
          }
          EXPECT_EQ(out.best[row].item<int64_t>(), best);
        }
      }
    }
  }
}

TEST(CandidateScores, TheFirstAnswerWinsATie) {
  testing::ToyModel model({.vocabulary = 9, .seed = 3}, true);
  const auto encoded = model.encode_instruction(candidate_test::four_rows());
  for (const bool share : {true, false}) {
    const auto out = score_candidates(model, encoded, candidate_test::prompts, {{7}, {7}, {7}}, {share});
    EXPECT_TRUE(at::equal(out.best, at::zeros({4}, at::kLong)));
  }
}

TEST(CandidateScores, AnswersOfAnotherModelAreRefused) {
  testing::ToyModel model({.vocabulary = 9}, true);
  const auto encoded = model.encode_instruction(candidate_test::four_rows());
  EXPECT_THROW(score_candidates(model, encoded, candidate_test::prompts, {}), Error);
  EXPECT_THROW(score_candidates(model, encoded, candidate_test::prompts, {{9}}), Error);
  EXPECT_THROW(score_candidates(model, encoded, {{0}}, {{5}}), Error);
  EXPECT_THROW(score_candidates(model, encoded, candidate_test::prompts, {candidate_test::Ids(30, 5)}), Error);
}

}  // namespace vlm
