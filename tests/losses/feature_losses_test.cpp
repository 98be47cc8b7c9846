/// Losses on features: codebooks, structure of a shared space, classes, variants of contrast, composed retrieval, boxes.

#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "loss_checks.h"
#include "vlm/core/error.h"
#include "vlm/losses/box_overlap.h"
#include "vlm/losses/codebook.h"
#include "vlm/losses/composed_retrieval.h"
#include "vlm/losses/infonce.h"
#include "vlm/losses/latent_structure.h"
#include "vlm/losses/pair_contrast.h"
#include "vlm/losses/supervised_contrast.h"
#include "vlm/losses/unit_rows.h"

namespace vlm {
namespace feature_losses_test {

using loss_checks::expect_gradients;
using loss_checks::number;
using loss_checks::random_rows;
using loss_checks::random_units;

TEST(CodebookAssignment, MeetsItsMarginals) {
  const Tensor cost = codebook_cost(random_units(5, 4, 1), random_rows(3, 4, 2));
  const Tensor ipot = codebook_assignment(cost);
  EXPECT_TRUE(at::allclose(ipot.sum(0), at::full({3}, 1.0 / 3, at::kDouble), 1e-9, 1e-12));
  EXPECT_TRUE(at::allclose(ipot.sum(1), at::full({5}, 1.0 / 5, at::kDouble), 0.05));
  const Tensor sinkhorn = codebook_assignment(cost, {.algorithm = "sinkhorn"});
  EXPECT_TRUE(at::allclose(sinkhorn.sum(1), at::full({5}, 1.0 / 5, at::kDouble), 1e-9, 1e-12));
  EXPECT_FALSE(ipot.requires_grad());
  EXPECT_THROW(codebook_assignment(cost, {.algorithm = "sinkhron"}), Error);
  EXPECT_THROW(codebook_assignment(cost, {.beta = 0}), Error);
}

/// With as many codes as samples the best plan is a permutation, which can be searched.
TEST(CodebookAssignment, ManyIterationsFindTheCheapestPlan) {
  const Tensor cost = codebook_cost(random_units(5, 4, 3), random_rows(5, 4, 4));
  std::vector<int64_t> order(5);
  std::iota(order.begin(), order.end(), 0);
  double best = std::numeric_limits<double>::infinity();
  do {
    double sum = 0;
    for (int64_t b = 0; b < 5; ++b) sum += cost[b][order[static_cast<size_t>(b)]].item<double>() / 5;
    best = std::min(best, sum);
  } while (std::next_permutation(order.begin(), order.end()));
  CodebookOptions options;
  options.iterations = 3000;
  EXPECT_NEAR((codebook_assignment(cost, options) * cost).sum().item<double>(), best, 1e-3);
}

TEST(CodebookLoss, SwapsThePlansAndTeachesTheCodebookByTransportAlone) {
  const Tensor image = random_units(5, 4, 1), text = random_units(5, 4, 2), image_m = random_units(5, 4, 3), text_m = random_units(5, 4, 4);
  const Tensor codebook = random_rows(3, 4, 5), temp = number(0.2);
  const auto loss = codebook_loss(image, text, image_m, text_m, codebook, temp);
  const Tensor codes = unit_rows(codebook);
  const auto prediction = [&](const Tensor& student, const Tensor& plan) {
    return -(plan * at::log_softmax(at::matmul(student, codes.t()) / 0.2, 1)).sum(1).mul(5).mean().item<double>();
  };
  EXPECT_NEAR(loss.text_to_plan.item<double>(), prediction(text, loss.plan_image), 1e-9);
  EXPECT_NEAR(loss.image_to_plan.item<double>(), prediction(image, loss.plan_text), 1e-9);
  expect_gradients({image, text, temp}, [&] { return codebook_loss(image, text, image_m, text_m, codebook, temp).loss(); });
  // The plans follow the codebook without a gradient, so its differences are taken with the plans held.
  const auto held = [&] {
    const Tensor now = unit_rows(codebook);
    const auto predicted = [&](const Tensor& student, const Tensor& plan) { return -(plan * at::log_softmax(at::matmul(student, now.t()) / temp, 1)).sum(); };
    return (loss.plan_image * (1 - at::matmul(image_m, now.t()))).sum() + (loss.plan_text * (1 - at::matmul(text_m, now.t()))).sum() +
           predicted(text, loss.plan_image) + predicted(image, loss.plan_text);
  };
  expect_gradients({codebook}, held);
  codebook.requires_grad_();
  image_m.requires_grad_();
  held().backward();
  const Tensor expected = codebook.grad().clone();
  codebook.mutable_grad() = Tensor();
  image_m.mutable_grad() = Tensor();
  codebook_loss(image, text, image_m, text_m, codebook, temp).loss().backward();
  EXPECT_TRUE(at::allclose(codebook.grad(), expected, 1e-8, 1e-10));
  EXPECT_FALSE(image_m.grad().defined());
}

/// Features of four kinds and their augmentations.
struct Features {
  Tensor image = random_units(4, 3, 1), text = random_units(4, 3, 2), image_aug = random_units(4, 3, 3), text_aug = random_units(4, 3, 4),
         image_ind = random_units(4, 3, 5), text_ind = random_units(4, 3, 6), image_ind_aug = random_units(4, 3, 7), text_ind_aug = random_units(4, 3, 8);
};

double dot(const Tensor& a, int64_t i, const Tensor& b, int64_t j) { return a[i].dot(b[j]).item<double>(); }

double infonce_by_hand(const Tensor& a, const Tensor& b, double temp) {
  double loss = 0;
  for (int64_t i = 0; i < a.size(0); ++i) {
    double sum = 0;
    for (int64_t j = 0; j < b.size(0); ++j) sum += std::exp(dot(a, i, b, j) / temp);
    loss -= (dot(a, i, b, i) / temp - std::log(sum)) / static_cast<double>(a.size(0));
  }
  return loss;
}

TEST(LatentStructure, ContrastIsTheMeanOfFourDirections) {
  const Features f;
  const Tensor temp = number(0.3);
  const auto loss = latent_contrast(f.image, f.text, f.image_aug, f.text_aug, temp);
  EXPECT_NEAR(loss.loss().item<double>(), (infonce_by_hand(f.image, f.text, 0.3) + infonce_by_hand(f.text, f.image, 0.3) +
                                           infonce_by_hand(f.image, f.image_aug, 0.3) + infonce_by_hand(f.text, f.text_aug, 0.3)) / 4, 1e-9);
  expect_gradients({f.image, f.text, f.image_aug, f.text_aug, temp}, [&] { return latent_contrast(f.image, f.text, f.image_aug, f.text_aug, temp).loss(); });
}

TEST(LatentStructure, SeparationIsItsDefinition) {
  const Features f;
  double orthogonal = 0, uniform = 0;
  for (int64_t j = 0; j < 4; ++j) {
    orthogonal += (std::pow(dot(f.image, j, f.image_ind, j), 2) + std::pow(dot(f.text, j, f.text_ind, j), 2)) / 4;
    for (int64_t k = 0; k < 4; ++k) {
      uniform += (std::exp(-2 * (2 - 2 * dot(f.image_ind, j, f.image_ind, k))) + std::exp(-2 * (2 - 2 * dot(f.text_ind, j, f.text_ind, k)))) / 4;
    }
  }
  const Tensor temp = number(0.3);
  const auto run = [&] { return feature_separation(f.image, f.text, f.image_ind, f.text_ind, f.image_ind_aug, f.text_ind_aug, temp); };
  EXPECT_NEAR(run().orthogonal.item<double>(), orthogonal, 1e-9);
  EXPECT_NEAR(run().uniform.item<double>(), std::log(uniform), 1e-9);
  EXPECT_NEAR(run().contrast.item<double>(), infonce_by_hand(f.image_ind, f.image_ind_aug, 0.3) + infonce_by_hand(f.text_ind, f.text_ind_aug, 0.3), 1e-9);
  expect_gradients({f.image, f.text, f.image_ind, f.text_ind, f.image_ind_aug, f.text_ind_aug, temp}, [&] { return run().loss(); });
}

TEST(LatentStructure, TheBridgeHasTheClosedFormOfUnitVectors) {
  const Features f;
  const double t = 0.25;
  double expected = 0;
  for (int64_t j = 0; j < 4; ++j) {
    const double length = std::sqrt(t * t + (1 - t) * (1 - t) + 2 * t * (1 - t) * dot(f.image, j, f.text, j));
    expected += (2 - 2 * (t * dot(f.image, j, f.image_aug, j) + (1 - t) * dot(f.text, j, f.image_aug, j)) / length) / 4;
  }
  EXPECT_NEAR(brownian_bridge(f.image, f.text, f.image_aug).loss().item<double>(), expected, 1e-9);
  expect_gradients({f.image, f.text, f.image_aug}, [&] { return brownian_bridge(f.image, f.text, f.image_aug).loss(); });
  EXPECT_TRUE(std::isfinite(brownian_bridge(f.image, -f.image, f.image_aug, 0.5).loss().item<double>()));
  EXPECT_THROW(brownian_bridge(f.image, f.text, f.image_aug, 2), Error);
}

TEST(LatentStructure, GeometricConsistencyIsItsDefinitionAndZeroForAlikeSpaces) {
  const Features f;
  double expected = 0;
  const auto squared = [](double x) { return x * x; };
  for (int64_t j = 0; j < 4; ++j) {
    for (int64_t k = 0; k < 4; ++k) {
      expected += squared(dot(f.image, j, f.text, k) - dot(f.image, k, f.text, j)) + squared(dot(f.image, j, f.image, k) - dot(f.text, j, f.text, k));
      expected += squared(dot(f.image, j, f.image, k) - dot(f.image_aug, j, f.image_aug, k)) + squared(dot(f.text, j, f.text, k) - dot(f.text_aug, j, f.text_aug, k));
    }
    expected += squared(dot(f.image, j, f.text, j) - dot(f.image_aug, j, f.text_aug, j));
  }
  const auto run = [&] { return geometric_consistency(f.image, f.text, f.image_aug, f.text_aug).loss(); };
  EXPECT_NEAR(run().item<double>(), expected / 4, 1e-9);
  expect_gradients({f.image, f.text, f.image_aug, f.text_aug}, run);
  EXPECT_NEAR(geometric_consistency(f.image, f.image, f.image, f.image).loss().item<double>(), 0, 1e-12);
}

TEST(SupervisedContrast, IsItsDefinitionForAllAndForFirstViewsAsAnchors) {
  const Tensor features = random_units(4 * 3, 3, 1).view({4, 3, 3}), labels = at::tensor({0, 1, 0, 2}, at::kLong);
  for (const bool labelled : {true, false}) {
    for (const bool first_only : {true, false}) {
      const auto row = [&](int64_t r) { return features[r % 4][r / 4]; };
      const auto same = [&](int64_t a, int64_t b) { return labelled ? labels[a % 4].equal(labels[b % 4]) : a % 4 == b % 4; };
      double expected = 0;
      const int64_t anchors = first_only ? 4 : 12;
      for (int64_t a = 0; a < anchors; ++a) {
        double sum = 0, positives = 0, count = 0;
        for (int64_t c = 0; c < 12; ++c) sum += c == a ? 0 : std::exp(row(a).dot(row(c)).item<double>() / 0.2);
        for (int64_t c = 0; c < 12; ++c) {
          if (c == a || !same(a, c)) continue;
          ++count;
          positives += row(a).dot(row(c)).item<double>() / 0.2 - std::log(sum);
        }
        expected -= 0.2 / 0.07 * positives / std::max(count, 1.0) / static_cast<double>(anchors);
      }
      const SupervisedContrastOptions options{.temperature = 0.2, .first_view_anchors = first_only};
      const auto run = [&] { return supervised_contrast_loss(features, labelled ? labels : Tensor(), options); };
      EXPECT_NEAR(run().item<double>(), expected, 1e-9);
      expect_gradients({features}, run);
    }
  }
}

TEST(SupervisedContrast, AnchorsWithoutPositivesCountAsZero) {
  const Tensor features = random_units(3, 3, 1).view({3, 1, 3});
  EXPECT_EQ(supervised_contrast_loss(features).item<double>(), 0);
  EXPECT_THROW(supervised_contrast_loss(features, at::tensor({1}, at::kLong)), Error);
}

TEST(AsymmetricContrast, SmoothedTargetsReachAllOutliersOnlyIfAsked) {
  const Tensor features = random_units(3 * 2, 3, 1).view({3, 2, 3}), outliers = random_units(4, 3, 2), labels = at::tensor({0, 1, 0}, at::kLong);
  const Tensor smoothing = at::tensor({0.2, 0.4}, at::kDouble), weights = at::tensor({2.0, 0.5}, at::kDouble);
  for (const bool all : {false, true}) {
    const auto row = [&](int64_t r) { return r < 6 ? features[r % 3][r / 3] : outliers[r - 6]; };
    double expected = 0;
    for (int64_t a = 0; a < 6; ++a) {
      double sum = 0, positives = 0, count = 0, beyond = 0;
      const auto score = [&](int64_t c) { return row(a).dot(row(c)).item<double>() / 0.1; };
      for (int64_t c = 0; c < 10; ++c) sum += c == a ? 0 : std::exp(score(c));
      for (int64_t c = 0; c < 6; ++c) {
        if (c == a || !labels[a % 3].equal(labels[c % 3])) continue;
        ++count;
        positives += score(c) - std::log(sum);
      }
      for (int64_t c = all ? 6 : 7; c < 10; ++c) beyond += (score(c) - std::log(sum)) / 4;
      const auto label = labels[a % 3].item<int64_t>();
      const double share = smoothing[label].item<double>();
      expected -= weights[label].item<double>() * ((1 - share) * positives / count + share * beyond) / 6;
    }
    const auto run = [&] { return asymmetric_contrast_loss(features, outliers, labels, weights, smoothing, {.temperature = 0.1, .smooth_all_outliers = all}); };
    EXPECT_NEAR(run().item<double>(), expected, 1e-9);
    expect_gradients({features, outliers}, run);
  }
  EXPECT_TRUE(at::allclose(class_smoothing(at::tensor({100, 50, 0}, at::kLong), 0.4), at::tensor({0.4f, 0.2f, 0.f})));
  EXPECT_EQ(first_tail_class(100, 0.4), 60);
}

TEST(PairContrast, ItsVariantsMeetInfoNceWhereTheyShould) {
  const Tensor image = random_units(5, 3, 1), text = random_units(5, 3, 2), temp = number(0.3);
  const double infonce = infonce_loss(image, text, 1 / temp).item<double>();
  EXPECT_NEAR(hard_negative_contrast(image, text, temp).loss().item<double>(), infonce, 1e-9);
  EXPECT_NEAR(debiased_contrast(image, text, temp, 0).loss().item<double>(), infonce, 1e-9);
  EXPECT_LT(decoupled_contrast(image, text, temp).loss().item<double>(), infonce);
  EXPECT_GT(hard_negative_contrast(image, text, temp, {.beta = 1}).loss().item<double>(), infonce);
  EXPECT_THROW(decoupled_contrast(image[0].unsqueeze(0), text[0].unsqueeze(0), temp), Error);
}

TEST(PairContrast, IsItsDefinition) {
  const Tensor image = random_units(4, 3, 1), text = random_units(4, 3, 2);
  const double temp = 0.4, alpha = 0.9, beta = 0.5, tau = 0.3, n = 3;
  double decoupled = 0, hard = 0, debiased = 0;
  for (int64_t b = 0; b < 4; ++b) {
    const auto s = [&](int64_t k) { return dot(image, b, text, k) / temp; };
    double negatives = 0, weights = 0, weighed = 0;
    for (int64_t k = 0; k < 4; ++k) {
      if (k == b) continue;
      negatives += std::exp(s(k));
      weights += std::exp(beta * s(k));
    }
    for (int64_t k = 0; k < 4; ++k) weighed += k == b ? 0 : n * std::exp(beta * s(k)) / weights * std::exp(s(k));
    decoupled += (std::log(negatives) - s(b)) / 4;
    hard += (std::log(alpha * std::exp(s(b)) + weighed) - s(b)) / 4;
    const double estimate = (negatives - n * tau * std::exp(s(b))) / (1 - tau), bound = n * std::exp(-1 / temp);
    debiased += (std::log(std::exp(s(b)) + std::max(estimate, bound)) - s(b)) / 4;
  }
  EXPECT_NEAR(decoupled_contrast(image, text, number(temp)).i2t.item<double>(), decoupled, 1e-9);
  EXPECT_NEAR(hard_negative_contrast(image, text, number(temp), {alpha, beta}).i2t.item<double>(), hard, 1e-9);
  EXPECT_NEAR(debiased_contrast(image, text, number(temp), tau).i2t.item<double>(), debiased, 1e-9);
  // Positives so near that the bound acts in every row.
  EXPECT_NEAR(debiased_contrast(image, image, number(0.2), 0.5).i2t.item<double>(), std::log(1 + n * std::exp(-2 / 0.2)), 1e-9);
}

TEST(PairContrast, ItsGradientsAreThoseOfFiniteDifferences) {
  const Tensor image = random_units(4, 3, 1), text = random_units(4, 3, 2), temp = number(0.4);
  expect_gradients({image, text, temp}, [&] { return decoupled_contrast(image, text, temp).loss(); });
  expect_gradients({image, text, temp}, [&] { return hard_negative_contrast(image, text, temp, {0.9, 0.5, false}).loss(); });
  expect_gradients({image, text}, [&] { return debiased_contrast(image, text, temp, 0.1).loss(); });
  // Constant weights: beta 0 has none that could change.
  expect_gradients({image, text, temp}, [&] { return hard_negative_contrast(image, text, temp, {0.9, 0, true}).loss(); });
}

TEST(PairContrast, SmallTemperaturesDoNotOverflow) {
  const Tensor image = random_units(4, 3, 1).to(at::kFloat).requires_grad_(), text = random_units(4, 3, 2).to(at::kFloat), temp = at::full({}, 0.005f);
  const Tensor loss = debiased_contrast(image, text, temp).loss() + decoupled_contrast(image, text, temp).loss() + hard_negative_contrast(image, text, temp).loss();
  loss.backward();
  EXPECT_TRUE(std::isfinite(loss.item<float>()));
  EXPECT_TRUE(image.grad().isfinite().all().item<bool>());
}

TEST(ComposedRetrieval, JitterWithoutNoiseNormalisesRowsAndMovesThemToTheirMean) {
  const Tensor features = random_rows(3, 5, 1), none = at::zeros({3, 5}, at::kDouble);
  const Tensor out = jitter_features(features, none, none);
  const Tensor mean = features.mean(1, true), spread = (features - mean).square().mean(1, true).add(1e-5).sqrt();
  EXPECT_TRUE(at::allclose(out, (features - mean) / spread + mean, 1e-9, 1e-12));
  // Only the normalisation takes part in the gradient: with mean and spread of the draws held it is what differences give.
  const Tensor noise = random_rows(3, 5, 2), cotangent = random_rows(3, 5, 3);
  const Tensor alpha = 1 + features.std(1, true, true) * noise;
  expect_gradients({features}, [&] {
    const Tensor centred = features - features.mean(1, true);
    return (alpha * centred / (centred.square().mean(1, true) + 1e-5).sqrt() * cotangent).sum();
  });
  features.requires_grad_();
  (jitter_features(features, noise, none) * cotangent).sum().backward();
  const Tensor found = features.grad().clone();
  features.mutable_grad() = Tensor();
  const Tensor centred = features - features.mean(1, true);
  (alpha * centred / (centred.square().mean(1, true) + 1e-5).sqrt() * cotangent).sum().backward();
  EXPECT_TRUE(at::allclose(found, features.grad(), 1e-9, 1e-12));
}

TEST(ComposedRetrieval, UncertaintyCountsLessAsTheRunGoesOn) {
  EXPECT_EQ(uncertainty_weight(0, 60), 1);
  EXPECT_NEAR(uncertainty_weight(60, 60), std::exp(-1), 1e-12);
  const Tensor query = random_rows(4, 3, 1), target = random_rows(4, 3, 2), jittered = random_rows(4, 3, 3);
  const auto loss = composed_retrieval_loss(query, target, jittered, 0.3);
  const double s = jittered.std(true).item<double>();
  EXPECT_NEAR(loss.uncertainty.item<double>(), 0.5 * (std::exp(-s) * infonce_by_hand(query, jittered, 1) + s), 1e-9);
  EXPECT_NEAR(loss.loss().item<double>(), 0.3 * loss.uncertainty.item<double>() + 0.7 * infonce_by_hand(query, target, 1), 1e-9);
  expect_gradients({query, target, jittered}, [&] { return composed_retrieval_loss(query, target, jittered, 0.3).loss(); });
}

TEST(GeneralisedIou, IsOneForTheSameBoxAndNegativeForFarOnes) {
  const Tensor box = at::tensor({0.5, 0.5, 0.4, 0.2}, at::kDouble).view({1, 4});
  EXPECT_NEAR(generalised_iou(box, box).item<double>(), 1, 1e-3);
  const Tensor far = at::tensor({0.1, 0.1, 0.1, 0.1}, at::kDouble).view({1, 4});
  // Enclosing box 0.65 x 0.55, together 0.08 + 0.01.
  EXPECT_NEAR(generalised_iou(far, box).item<double>(), -(0.65 * 0.55 - 0.09) / (0.65 * 0.55 + 1e-5), 1e-9);
  const Tensor near = at::tensor({0.55, 0.45, 0.4, 0.25}, at::kDouble).view({1, 4});
  expect_gradients({near, box}, [&] { return generalised_iou(near, box).sum(); });
}

}  // namespace feature_losses_test
}  // namespace vlm
