#include "vlm/eval/linear_probe.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/eval/lbfgs.h"
#include "vlm/eval/pixel_neighbours.h"

namespace vlm {

namespace linear_probe_test {

/// Numbers around 0, drawn in order.
Tensor drawn(SplitMix64& random, int64_t rows, int64_t columns) {
  std::vector<double> out;
  for (int64_t i = 0; i < rows * columns; ++i) out.push_back(static_cast<double>(random.below(2001)) / 1000 - 1);
  return at::tensor(out, at::kDouble).view({rows, columns});
}

Tensor drawn_labels(SplitMix64& random, int64_t rows, int64_t classes) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < rows; ++i) out.push_back(static_cast<int64_t>(random.below(static_cast<uint64_t>(classes))));
  return at::tensor(out, at::kLong);
}

/// Long, plain gradient descent on the same loss.
double loss_by_descent(const Tensor& x, const Tensor& labels, int64_t classes, double l2) {
  Tensor weight = at::zeros({classes, x.size(1)}, at::kDouble), bias = at::zeros({classes}, at::kDouble);
  const Tensor own = at::one_hot(labels, classes).to(at::kDouble);
  const auto logits = [&] { return x.matmul(weight.t()) + bias; };
  for (int step = 0; step < 500; ++step) {
    const Tensor error = (at::softmax(logits(), 1) - own) / x.size(0);
    weight = weight - (error.t().matmul(x) + weight * l2) * 2;
    bias = bias - error.sum(0) * 2;
  }
  return (-(at::log_softmax(logits(), 1) * own).sum() / x.size(0) + weight.square().sum() * (l2 / 2)).item<double>();
}

}  // namespace linear_probe_test

using namespace linear_probe_test;

TEST(Lbfgs, FindsTheBottomOfRosenbrocksValley) {
  const auto valley = [](const Tensor& x, Tensor& gradient) {
    const double a = x[0].item<double>(), b = x[1].item<double>(), off = b - a * a;
    gradient = at::tensor(std::vector<double>{-2 * (1 - a) - 400 * a * off, 200 * off}, at::kDouble);
    return (1 - a) * (1 - a) + 100 * off * off;
  };
  const LbfgsResult found = minimize_lbfgs(at::tensor(std::vector<double>{-1.2, 1}, at::kDouble), valley, {.tolerance = 1e-9});
  EXPECT_TRUE(found.converged);
  EXPECT_LT(found.steps, 80);
  EXPECT_NEAR(found.x[0].item<double>(), 1, 1e-7);
  EXPECT_NEAR(found.x[1].item<double>(), 1, 1e-7);
}

TEST(LinearProbe, ReachesTheLossThatLongGradientDescentReaches) {
  SplitMix64 random(3);
  const Tensor x = drawn(random, 60, 5), labels = drawn_labels(random, 60, 4);
  const LinearProbe probe = fit_linear_probe(x, labels, 4, 0.05, {.tolerance = 1e-9});
  EXPECT_TRUE(probe.converged);
  EXPECT_NEAR(probe.loss, loss_by_descent(x, labels, 4, 0.05), 1e-9);
}

TEST(LinearProbe, UnderAStrongPenaltyOnlyTheFrequenciesOfTheClassesRemain) {
  SplitMix64 random(4);
  const Tensor x = drawn(random, 10, 3), labels = at::tensor(std::vector<int64_t>{0, 0, 0, 0, 0, 1, 1, 1, 2, 2}, at::kLong);
  const LinearProbe probe = fit_linear_probe(x, labels, 3, 1e6, {.tolerance = 1e-9});
  EXPECT_LT(probe.weight.abs().max().item<double>(), 1e-5);
  const Tensor shares = at::softmax(probe.bias, 0);
  for (const auto& [c, share] : std::vector<std::pair<int64_t, double>>{{0, 0.5}, {1, 0.3}, {2, 0.2}}) EXPECT_NEAR(shares[c].item<double>(), share, 1e-5);
}

TEST(LinearProbe, TheStrengthThatHeldOutVectorsLikeBestIsTakenAndOfEqualsTheStrongest) {
  // Two classes that a line parts: every strength that is not absurd gets all held-out vectors right.
  const Tensor x = at::tensor(std::vector<double>{-1, -0.8, -0.6, 0.6, 0.8, 1}, at::kDouble).view({6, 1});
  const Tensor labels = at::tensor(std::vector<int64_t>{0, 0, 0, 1, 1, 1}, at::kLong);
  const ProbeChoice choice = choose_linear_probe(x, labels, x * 0.5, labels, 2, {.l2 = {1e-4, 1e-2, 1e-3}});
  EXPECT_EQ(choice.held_out_top1, 1);
  EXPECT_EQ(choice.probe.l2, 1e-2);
  // With one class far more frequent a strong penalty answers with it always, which held-out vectors show.
  const Tensor many = at::cat({x, at::zeros({20, 1}, at::kDouble) - 0.5}), more = at::cat({labels, at::zeros({20}, at::kLong)});
  EXPECT_EQ(choose_linear_probe(many, more, x, labels, 2, {.l2 = {1e3, 1e-3}}).probe.l2, 1e-3);
}

TEST(LinearProbe, LabelsThatDoNotFitAreRefused) {
  SplitMix64 random(5);
  const Tensor x = drawn(random, 4, 2);
  EXPECT_THROW(fit_linear_probe(x, drawn_labels(random, 3, 2), 2, 0.1), Error);
  EXPECT_THROW(fit_linear_probe(x, at::tensor(std::vector<int64_t>{0, 1, 2, 0}, at::kLong), 2, 0.1), Error);
  EXPECT_THROW(fit_linear_probe(x.slice(0, 0, 0), drawn_labels(random, 0, 2), 2, 0.1), Error);
}

TEST(NearestRows, AgreeWithLookingAtEveryPairAndTakeTheFirstOfEquals) {
  SplitMix64 random(6);
  const Tensor queries = drawn(random, 300, 4), known = drawn(random, 40, 4);
  const auto nearest = nearest_rows(queries, known);
  ASSERT_EQ(nearest.size(), 300u);
  for (int64_t i = 0; i < 300; ++i) {
    const Tensor distances = (known - queries[i]).square().sum(1);
    EXPECT_EQ(nearest[static_cast<size_t>(i)], distances.argmin(0).item<int64_t>());
  }
  EXPECT_EQ(nearest_rows(known.slice(0, 7, 8), at::cat({known, known})), std::vector<int64_t>{7});
  EXPECT_THROW(nearest_rows(queries, drawn(random, 3, 5)), Error);
}

}  // namespace vlm
