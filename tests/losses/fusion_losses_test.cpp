/// Losses of fusion models: contrast with queues, local mutual information, matching, masked tokens.

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "loss_checks.h"
#include "vlm/core/error.h"
#include "vlm/losses/image_text_contrast.h"
#include "vlm/losses/image_text_matching.h"
#include "vlm/losses/language_modeling.h"
#include "vlm/losses/local_mutual_information.h"
#include "vlm/losses/masked_language_modeling.h"
#include "vlm/losses/scst.h"
#include "vlm/losses/token_masking.h"

namespace vlm {
namespace fusion_losses_test {

using loss_checks::expect_gradients;
using loss_checks::number;
using loss_checks::random_rows;
using loss_checks::random_units;

/// 4 pairs of width 3, and a queue of 5.
QueueContrastFeatures features() {
  return {random_units(4, 3, 1), random_units(4, 3, 2), random_units(4, 3, 3), random_units(4, 3, 4), random_units(5, 3, 5).t(), random_units(5, 3, 6).t()};
}

/// One direction by its definition: row b of `anchor` among the rows of `batch` and the columns of `queue`.
double contrast_by_hand(const Tensor& anchor, const Tensor& teacher, const Tensor& batch, const Tensor& queue, double temp, double alpha) {
  const int64_t rows = anchor.size(0), columns = rows + queue.size(1);
  const auto score = [&](const Tensor& x, int64_t k) { return x.dot(k < rows ? batch[k] : queue.select(1, k - rows)).item<double>() / temp; };
  double loss = 0;
  for (int64_t b = 0; b < rows; ++b) {
    double sum = 0, sum_m = 0;
    for (int64_t k = 0; k < columns; ++k) sum += std::exp(score(anchor[b], k)), sum_m += std::exp(score(teacher[b], k));
    for (int64_t k = 0; k < columns; ++k) {
      const double target = alpha * std::exp(score(teacher[b], k)) / sum_m + (1 - alpha) * (k == b ? 1 : 0);
      loss -= target * (score(anchor[b], k) - std::log(sum)) / static_cast<double>(rows);
    }
  }
  return loss;
}

Tensor diagonal_targets(const QueueContrastFeatures& f) { return contrast_targets({}, {}, f.image.size(0), f.image_queue.size(1), at::kCPU); }

TEST(ImageTextContrast, IsItsDefinitionAgainstBatchAndQueue) {
  const auto f = features();
  const auto across = image_text_contrast(f, number(0.2), diagonal_targets(f), 0.4);
  EXPECT_NEAR(across.i2t.loss.item<double>(), contrast_by_hand(f.image, f.image_m, f.text_m, f.text_queue, 0.2, 0.4), 1e-9);
  EXPECT_NEAR(across.t2i.loss.item<double>(), contrast_by_hand(f.text, f.text_m, f.image_m, f.image_queue, 0.2, 0.4), 1e-9);
  const auto within = intra_modal_contrast(f, number(0.2), diagonal_targets(f), 0.3);
  EXPECT_NEAR(within.i2i.loss.item<double>(), contrast_by_hand(f.image, f.image_m, f.image_m, f.image_queue, 0.2, 0.3), 1e-9);
  EXPECT_NEAR(within.t2t.loss.item<double>(), contrast_by_hand(f.text, f.text_m, f.text_m, f.text_queue, 0.2, 0.3), 1e-9);
}

TEST(ImageTextContrast, ItsGradientsAreThoseOfFiniteDifferences) {
  const auto f = features();
  const Tensor temp = number(0.3), hard = diagonal_targets(f);
  expect_gradients({f.image, f.text, temp}, [&] { return image_text_contrast(f, temp, hard, 0).loss() + intra_modal_contrast(f, temp, hard).loss(); });
  // With softened targets the temperature changes these, too, which is no part of its gradient.
  expect_gradients({f.image, f.text}, [&] { return image_text_contrast(f, temp, hard, 0.4).loss() + intra_modal_contrast(f, temp, hard, 0.4).loss(); });
}

TEST(ImageTextContrast, MomentumFeaturesQueuesAndTargetsAreConstants) {
  auto f = features();
  const Tensor temp = number(0.3).requires_grad_();
  for (const Tensor* x : {&f.image, &f.text, &f.image_m, &f.text_m}) Tensor(*x).requires_grad_();
  const auto contrast = image_text_contrast(f, temp, diagonal_targets(f), 1);
  contrast.loss().backward();
  EXPECT_FALSE(f.image_m.grad().defined());
  EXPECT_FALSE(f.text_m.grad().defined());
  EXPECT_FALSE(contrast.i2t.targets.requires_grad());
  EXPECT_TRUE(f.image.grad().defined() && f.text.grad().defined() && temp.grad().defined());
}

TEST(ImageTextContrast, SamplesOfOnePictureShareTheTargetAlsoWithTheQueue) {
  const Tensor idx = at::tensor({7, 8, 7}, at::kLong), queue = at::tensor({-100, 8, 7, -100}, at::kLong).view({1, 4});
  const Tensor targets = contrast_targets(idx, queue, 3, 4, at::kCPU);
  const float third = 1.0f / 3;
  const Tensor expected = at::tensor({third, 0.f, third, 0.f, 0.f, third, 0.f,  //
                                      0.f, .5f, 0.f, 0.f, .5f, 0.f, 0.f,        //
                                      third, 0.f, third, 0.f, 0.f, third, 0.f}).view({3, 7});
  EXPECT_TRUE(at::allclose(targets, expected));
  EXPECT_THROW(contrast_targets(idx, {}, 3, 4, at::kCPU), Error);
  EXPECT_THROW(image_text_contrast(features(), number(1), at::zeros({4, 4}), 0), Error);
}

TEST(LocalMutualInformation, IsItsDefinitionWithAndWithoutPadding) {
  const int64_t batch = 3, parts = 4;
  const Tensor local = random_units(batch * parts, 3, 1).view({batch, parts, 3}), global = random_units(batch, 3, 2);
  const Tensor mask = at::tensor({1, 1, 1, 0, 1, 1, 0, 0, 1, 1, 1, 1}, at::kLong).view({batch, parts});
  for (const bool padded : {false, true}) {
    double expected = 0;
    for (int64_t b = 0; b < batch; ++b) {
      const auto real = [&](int64_t s, int64_t j) { return !padded || mask[s][j].item<int64_t>() == 1; };
      const auto score = [&](int64_t s, int64_t j) { return local[s][j].dot(global[b]).item<double>() / 0.5; };
      double negatives = 0, count = 0, sum = 0;
      for (int64_t s = 0; s < batch; ++s) {
        for (int64_t j = 0; j < parts; ++j) negatives += s != b && real(s, j) ? std::exp(score(s, j)) : 0;
      }
      for (int64_t j = 0; j < parts; ++j) {
        if (!real(b, j)) continue;
        ++count;
        sum -= score(b, j) - std::log(std::exp(score(b, j)) + negatives);
      }
      expected += sum / count / static_cast<double>(batch);
    }
    EXPECT_NEAR(local_mutual_information(local, global, number(0.5), padded ? mask : Tensor()).item<double>(), expected, 1e-9);
  }
  const Tensor temp = number(0.5);
  expect_gradients({global, temp}, [&] { return local_mutual_information(local, global, temp, mask) + local_mutual_information(local, global, temp); });
}

TEST(LocalMutualInformation, PoolsSquaresOfPatchesAndRefusesOtherGrids) {
  const Tensor sixteen = at::arange(16, at::kDouble).view({1, 16, 1});  // a grid of 4 x 4, row by row
  const Tensor pooled = pool_local_features(sixteen, LocalPooling::sqrt);
  EXPECT_TRUE(at::allclose(pooled.flatten(), at::tensor({2.5, 4.5, 10.5, 12.5}, at::kDouble)));
  EXPECT_EQ(pool_local_features(random_rows(2 * 576, 3, 1).view({2, 576, 3}), LocalPooling::fixed16).size(1), 16);
  EXPECT_THROW(pool_local_features(at::zeros({1, 17, 2}), LocalPooling::sqrt), Error);   // the class token is among them
  EXPECT_THROW(pool_local_features(at::zeros({1, 36, 2}), LocalPooling::sqrt), Error);   // 6 is no square
  EXPECT_THROW(pool_local_features(at::zeros({1, 9, 2}), LocalPooling::fixed16), Error);
  EXPECT_THROW(local_pooling_named("mean"), Error);
  EXPECT_THROW(local_mutual_information(at::zeros({1, 4, 2}), at::zeros({1, 2}), number(1)), Error);
}

TEST(HardNegatives, AreDrawnByTheirWeightsAndNeverFromTheSamePicture) {
  const Tensor similarity = random_rows(4, 6, 3) * 2, idx = at::tensor({5, 6, 5, 7}, at::kLong);
  const Tensor weights = negative_weights(similarity, idx);
  EXPECT_EQ(weights.sizes(), at::IntArrayRef({4, 4}));
  EXPECT_EQ(weights[0][2].item<double>(), 0);
  EXPECT_EQ(weights[2][2].item<double>(), 0);
  const Tensor own_softmax = at::softmax(similarity.narrow(1, 0, 4), 1);
  EXPECT_NEAR(weights[0][1].item<double>(), own_softmax[0][1].item<double>(), 1e-12);
  SplitMix64 random(9);
  std::vector<double> counts(4, 0.0);
  const int draws = 4000;
  for (int n = 0; n < draws; ++n) {
    const Tensor u = at::full({4}, random.uniform(), at::kDouble);
    const Tensor picks = draw_negatives(weights, u, idx);
    counts[static_cast<size_t>(picks[1].item<int64_t>())] += 1.0 / draws;
    EXPECT_NE(picks[0].item<int64_t>(), 0);
    EXPECT_NE(picks[0].item<int64_t>(), 2);
  }
  EXPECT_EQ(counts[1], 0);
  const double total = weights[1].sum().item<double>();
  for (int64_t k = 0; k < 4; ++k) EXPECT_NEAR(counts[static_cast<size_t>(k)], weights[1][k].item<double>() / total, 0.03);
}

TEST(HardNegatives, TheBoundsOfTheDrawAreThoseOfTheRunningSum) {
  const Tensor weights = at::tensor({0., .5, .5, .25, 0., .25, .5, .5, 0.}, at::kDouble).view({3, 3});
  const auto pick = [&](double u) {
    const Tensor p = draw_negatives(weights, at::full({3}, u, at::kDouble));
    return std::vector<int64_t>{p[0].item<int64_t>(), p[1].item<int64_t>(), p[2].item<int64_t>()};
  };
  EXPECT_EQ(pick(0), (std::vector<int64_t>{1, 0, 0}));
  EXPECT_EQ(pick(0.49), (std::vector<int64_t>{1, 0, 0}));
  EXPECT_EQ(pick(0.5), (std::vector<int64_t>{2, 2, 1}));
  EXPECT_EQ(pick(std::nextafter(1.0, 0.0)), (std::vector<int64_t>{2, 2, 1}));
}

TEST(HardNegatives, ARowWithoutWeightTakesAnyOtherOrIsNamed) {
  const Tensor weights = at::tensor({0., 1., 1., 0., 0., 0., 1., 1., 0.}, at::kDouble).view({3, 3});
  const Tensor u = at::tensor({0.1, 0.6, 0.1}, at::kDouble);
  EXPECT_EQ(draw_negatives(weights, u)[1].item<int64_t>(), 2);
  EXPECT_EQ(draw_negatives(weights, u, at::tensor({3, 4, 4}, at::kLong))[1].item<int64_t>(), 0);  // 2 shows the same picture
  EXPECT_EQ(draw_negatives(weights, u, at::tensor({4, 4, 4}, at::kLong))[1].item<int64_t>(), 2);  // all do
  try {
    draw_negatives(weights, u, {}, NoNegative::error);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("sample 1 of the batch"), std::string::npos) << error.what();
  }
  EXPECT_THROW(draw_negatives(at::zeros({1, 1}), at::zeros({1})), Error);
}

TEST(ImageTextMatching, ALossOfOneRightAndTwoWrongPairsASample) {
  const Tensor logits = random_rows(6, 2, 4);
  const Tensor log_p = at::log_softmax(logits, 1);
  double expected = 0;
  for (int64_t row = 0; row < 6; ++row) expected -= log_p[row][row < 2 ? 1 : 0].item<double>() / 6;
  EXPECT_NEAR(matching_loss(logits).item<double>(), expected, 1e-12);
  EXPECT_THROW(matching_loss(at::zeros({4, 2})), Error);
}

/// [2, 3, 5] and labels of which three count.
struct TokenRows {
  Tensor logits = random_rows(6, 5, 1).view({2, 3, 5}), logits_m = random_rows(6, 5, 2).view({2, 3, 5});
  Tensor labels = at::tensor({-100, 2, 4, 0, -100, -100}, at::kLong).view({2, 3});
};

double masked_by_hand(const TokenRows& rows, double alpha, int64_t axis) {
  const Tensor hard_p = at::log_softmax(rows.logits, 2), soft_p = at::log_softmax(rows.logits, axis), teacher = at::softmax(rows.logits_m, 2);
  double loss = 0;
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t t = 0; t < 3; ++t) {
      const auto label = rows.labels[b][t].item<int64_t>();
      if (label == -100) continue;
      loss -= (1 - alpha) * hard_p[b][t][label].item<double>() / 3;
      for (int64_t v = 0; v < 5; ++v) loss -= alpha * teacher[b][t][v].item<double>() * soft_p[b][t][v].item<double>() / 3;
    }
  }
  return loss;
}

TEST(MaskedLanguageModeling, IsItsDefinitionOverEitherAxis) {
  const TokenRows rows;
  for (const auto axis : {DistillAxis::vocabulary, DistillAxis::sequence}) {
    const MaskedLanguageModelingOptions options{.alpha = 0.4, .axis = axis};
    EXPECT_NEAR(masked_language_modeling_loss(rows.logits, rows.labels, rows.logits_m, options).item<double>(),
                masked_by_hand(rows, 0.4, axis == DistillAxis::vocabulary ? 2 : 1), 1e-9);
    expect_gradients({rows.logits}, [&] { return masked_language_modeling_loss(rows.logits, rows.labels, rows.logits_m, options); });
  }
  EXPECT_NEAR(masked_language_modeling_loss(rows.logits, rows.labels).item<double>(), masked_by_hand(rows, 0, 2), 1e-9);
  EXPECT_THROW(masked_language_modeling_loss(rows.logits, rows.labels, {}, {.alpha = 0.4}), Error);
}

TEST(MaskedLanguageModeling, NothingMaskedIsZeroWithAGradientOfZero) {
  for (const auto axis : {DistillAxis::vocabulary, DistillAxis::sequence}) {
    TokenRows rows;
    rows.logits.requires_grad_();
    const Tensor loss = masked_language_modeling_loss(rows.logits, at::full({2, 3}, -100, at::kLong), rows.logits_m, {.alpha = 0.4, .axis = axis});
    EXPECT_EQ(loss.item<double>(), 0);
    loss.backward();
    ASSERT_TRUE(rows.logits.grad().defined());
    EXPECT_EQ(rows.logits.grad().abs().sum().item<double>(), 0);
  }
}

TEST(RowLosses, AreSumsOverARowOfHardAndSoftTargets) {
  const TokenRows rows;
  const Tensor log_p = at::log_softmax(rows.logits, 2), teacher = at::softmax(rows.logits_m, 2);
  const Tensor found = next_token_row_losses(rows.logits, rows.labels, rows.logits_m, 0.3);
  for (int64_t b = 0; b < 2; ++b) {
    double expected = 0;
    for (int64_t t = 0; t < 2; ++t) {
      const auto label = rows.labels[b][t + 1].item<int64_t>();
      if (label == -100) continue;
      expected -= 0.7 * log_p[b][t][label].item<double>() + 0.3 * teacher[b][t].dot(log_p[b][t]).item<double>();
    }
    EXPECT_NEAR(found[b].item<double>(), expected, 1e-9);
  }
  EXPECT_EQ(found[1].item<double>(), 0);  // no label counts
  EXPECT_NEAR(next_token_row_losses(rows.logits, rows.labels).sum().item<double>(), 2 * next_token_loss(rows.logits, rows.labels).item<double>(), 1e-9);
  expect_gradients({rows.logits}, [&] { return next_token_row_losses(rows.logits, rows.labels, rows.logits_m, 0.3).sum(); });
  EXPECT_THROW(next_token_row_losses(rows.logits, rows.labels, {}, 0.3), Error);
}

TEST(TokenMasking, GivenDrawsDecideInTheirOrder) {
  const auto flags = [](std::vector<int64_t> values) { return at::tensor(values, at::kLong).view({1, 6}); };
  const Tensor ids = flags({101, 5, 6, 7, 102, 0});
  const TokenMaskDraws draws{flags({1, 1, 1, 1, 1, 1}), flags({1, 1, 0, 0, 0, 1}), flags({1, 1, 1, 0, 1, 1}), flags({90, 91, 92, 93, 94, 95})};
  const auto masked = mask_tokens(ids, draws);
  EXPECT_TRUE(masked.input_ids.equal(flags({101, 103, 92, 7, 94, 0})));
  EXPECT_TRUE(masked.labels.equal(flags({-100, 5, 6, 7, 102, -100})));
}

TEST(TokenMasking, DrawsHaveTheSharesOfBert) {
  SplitMix64 random(3);
  const TokenMaskOptions options{.vocab_size = 1000};
  const Tensor ids = at::full({200, 100}, 500, at::kLong);
  ids.narrow(1, 0, 1).fill_(101);
  ids.narrow(1, 90, 10).fill_(0);
  const auto masked = mask_tokens(ids, options, random);
  EXPECT_TRUE(masked.labels.narrow(1, 0, 1).eq(-100).all().item<bool>());
  EXPECT_TRUE(masked.labels.narrow(1, 90, 10).eq(-100).all().item<bool>());
  const Tensor chosen = masked.labels.ne(-100);
  const double count = chosen.sum().item<double>();
  EXPECT_NEAR(count / (200 * 89), 0.15, 0.01);
  EXPECT_NEAR(masked.input_ids.eq(103).sum().item<double>() / count, 0.8, 0.03);
  EXPECT_NEAR(masked.input_ids.eq(500).logical_and(chosen).sum().item<double>() / count, 0.1, 0.02);
  EXPECT_TRUE(masked.input_ids.ne(ids).logical_and(chosen.logical_not()).any().item<bool>() == false);
  SplitMix64 again(3);
  EXPECT_TRUE(mask_tokens(ids, options, again).input_ids.equal(masked.input_ids));
}

TEST(ScstOfBeams, TheMeanOfAPictureIsTheBaseline) {
  const Tensor scores = random_rows(2, 3, 5), rewards = random_rows(2, 3, 6), lengths = at::tensor({4, 5, 6, 7, 8, 9}, at::kLong).view({2, 3});
  double expected = 0;
  for (int64_t b = 0; b < 2; ++b) {
    const double mean = rewards[b].mean().item<double>();
    for (int64_t k = 0; k < 3; ++k) {
      expected -= scores[b][k].item<double>() / lengths[b][k].item<double>() * (rewards[b][k].item<double>() - mean) / 6;
    }
  }
  EXPECT_NEAR(scst_beam_loss(scores, lengths, rewards).item<double>(), expected, 1e-12);
  expect_gradients({scores}, [&] { return scst_beam_loss(scores, lengths, rewards); });
  EXPECT_THROW(scst_beam_loss(scores, lengths, rewards[0]), Error);
}

}  // namespace fusion_losses_test
}  // namespace vlm
