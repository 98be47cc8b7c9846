#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/losses/accumulation.h"
#include "vlm/losses/coca.h"
#include "vlm/losses/contrastive.h"
#include "vlm/losses/distill.h"
#include "vlm/losses/infonce.h"
#include "vlm/losses/sigmoid.h"

namespace vlm {
namespace losses_test {

Tensor random_units(int64_t rows, int64_t width, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<double> numbers;
  for (int64_t i = 0; i < rows * width; ++i) numbers.push_back(random.normal());
  const Tensor x = at::tensor(numbers, at::kDouble).view({rows, width});
  return (x / at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, true)).clone();
}

Tensor number(double value) { return at::full({}, value, at::kDouble); }

/// The definition, in loops.
double sigmoid_by_hand(const Tensor& image, const Tensor& text, double scale, double bias) {
  double sum = 0;
  for (int64_t i = 0; i < image.size(0); ++i) {
    for (int64_t j = 0; j < text.size(0); ++j) {
      const double z = scale * image[i].dot(text[j]).item<double>() + bias;
      sum += std::log1p(std::exp(i == j ? -z : z));
    }
  }
  return sum / static_cast<double>(image.size(0));
}

}  // namespace losses_test

using losses_test::number;
using losses_test::random_units;

TEST(SigmoidLoss, MatchesItsDefinitionInEveryCutOfTheRows) {
  const Tensor image = random_units(7, 5, 1), text = random_units(7, 5, 2);
  for (const int64_t chunk : {1, 3, 7, 100}) {
    EXPECT_NEAR(sigmoid_loss(image, text, number(9), number(-4), {chunk}).item<double>(), losses_test::sigmoid_by_hand(image, text, 9, -4), 1e-9);
  }
}

TEST(SigmoidLoss, ItsGradientsAreThoseOfFiniteDifferences) {
  Tensor image = random_units(4, 3, 3), text = random_units(4, 3, 4), scale = number(7), bias = number(-3);
  const auto loss = [&] { return sigmoid_loss(image, text, scale, bias, {3}); };
  const auto difference = [&](Tensor& x) {
    const double step = 1e-6;
    Tensor flat = x.view(-1);
    std::vector<double> slopes;
    for (int64_t i = 0; i < flat.size(0); ++i) {
      flat[i] += step;
      const double up = loss().item<double>();
      flat[i] -= 2 * step;
      slopes.push_back((up - loss().item<double>()) / (2 * step));
      flat[i] += step;
    }
    return at::tensor(slopes, at::kDouble).view(x.sizes());
  };
  std::vector<Tensor> expected;
  for (Tensor* x : {&image, &text, &scale, &bias}) expected.push_back(difference(*x));
  for (Tensor* x : {&image, &text, &scale, &bias}) x->requires_grad_();
  loss().backward();
  size_t i = 0;
  for (Tensor* x : {&image, &text, &scale, &bias}) EXPECT_TRUE(at::allclose(x->grad(), expected[i++], 1e-6, 1e-6));
}

TEST(SigmoidLoss, RanksTogetherGiveTheLossOfTheWholeBatch) {
  const Tensor image = random_units(6, 5, 5), text = random_units(6, 5, 6);
  const std::vector<Tensor> images = {image.narrow(0, 0, 3), image.narrow(0, 3, 3)}, texts = {text.narrow(0, 0, 3), text.narrow(0, 3, 3)};
  double mean = 0;
  for (const int64_t r : {0, 1}) mean += sigmoid_loss_on_rank(images[static_cast<size_t>(r)], texts, number(5), number(-1), r).item<double>() / 2;
  EXPECT_NEAR(mean, sigmoid_loss(image, text, number(5), number(-1)).item<double>(), 1e-12);
}

TEST(SigmoidLoss, RefusesUnequalBatches) {
  EXPECT_THROW(sigmoid_loss(random_units(3, 4, 1), random_units(2, 4, 1), number(1), {}), Error);
  EXPECT_THROW(sigmoid_loss_on_rank(random_units(3, 4, 1), {random_units(3, 4, 1)}, number(1), {}, 1), Error);
}

TEST(InfoNce, SmoothingMixesInTheMeanOverAllColumns) {
  const Tensor image = random_units(4, 3, 7), text = random_units(4, 3, 8);
  const double plain = infonce_loss(image, text, number(4)).item<double>();
  EXPECT_NEAR(plain, contrastive_loss(image, text, number(4)).item<double>(), 1e-12);
  double spread = 0;
  const Tensor logits = 4 * image.matmul(text.t());
  for (const Tensor& rows : {logits, logits.t()}) spread -= rows.log_softmax(1).mean().item<double>() / 2;
  EXPECT_NEAR(infonce_loss(image, text, number(4), 0.3).item<double>(), 0.7 * plain + 0.3 * spread, 1e-12);
  EXPECT_THROW(infonce_loss(image, text, number(4), 1.5), Error);
}

TEST(CocaLoss, PaddingDoesNotCountAndAZeroWeightLeavesTheContrastivePartOut) {
  const Tensor logits = random_units(6, 4, 9).view({2, 3, 4});
  const Tensor labels = at::tensor(std::vector<int64_t>{1, 2, 0, 3, 0, 0}, at::kLong).view({2, 3});
  double sum = 0;
  const Tensor logs = logits.log_softmax(2);
  for (const auto& [row, column, label] : {std::tuple(0, 0, 1), std::tuple(0, 1, 2), std::tuple(1, 0, 3)}) sum -= logs[row][column][label].item<double>();
  EXPECT_NEAR(caption_loss(logits, labels).item<double>(), sum / 3, 1e-12);
  const CocaLoss loss = coca_loss({}, logits, labels, {.clip_loss_weight = 0, .caption_loss_weight = 3});
  EXPECT_NEAR(loss.total().item<double>(), sum, 1e-12);
  EXPECT_THROW(coca_loss({}, logits, labels), Error);
}

TEST(DistillLoss, IsSmallestAtTheTeachersScoresAndGivesTheTeacherNoGradient) {
  const Tensor teacher = random_units(5, 5, 10).requires_grad_();
  const double own = soft_cross_entropy(teacher, teacher.detach()).item<double>();
  Tensor student = random_units(5, 5, 11).requires_grad_();
  const Tensor loss = soft_cross_entropy(teacher, student);
  EXPECT_GT(loss.item<double>(), own);
  loss.backward();
  EXPECT_FALSE(teacher.grad().defined());
  EXPECT_TRUE(student.grad().defined());
}

TEST(Accumulation, GivesTheWeightsTheGradientOfTheWholeBatchAndTheScaleThatTimesThePasses) {
  const Tensor image = random_units(6, 4, 12), text = random_units(6, 4, 13);
  const auto gradients = [&](int64_t micro_batches) {
    Tensor weight = random_units(4, 4, 14).requires_grad_(), scale = number(3).requires_grad_();
    const int64_t rows = 6 / micro_batches;
    const auto embed = [&](int64_t j) { return PairedFeatures{image.narrow(0, rows * j, rows).matmul(weight), text.narrow(0, rows * j, rows).matmul(weight)}; };
    const auto losses = accumulate_contrastive(micro_batches, embed, [&](const PairedFeatures& all) { return contrastive_loss(all.image, all.text, scale); });
    EXPECT_EQ(losses.size(), static_cast<size_t>(micro_batches));
    return std::pair(weight.grad(), scale.grad());
  };
  const auto whole = gradients(1), parts = gradients(3);
  EXPECT_TRUE(at::allclose(whole.first, parts.first, 1e-9, 1e-12));
  EXPECT_TRUE(at::allclose(3 * whole.second, parts.second, 1e-9, 1e-12));
}

}  // namespace vlm
