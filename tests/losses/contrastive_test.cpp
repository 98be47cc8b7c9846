#include "vlm/losses/contrastive.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"

namespace vlm {
namespace contrastive_test {

Tensor unit_rows(int64_t rows, int64_t width, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<double> numbers;
  for (int64_t i = 0; i < rows * width; ++i) numbers.push_back(random.normal());
  const Tensor x = at::tensor(numbers, at::kDouble).view({rows, width});
  return (x / at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, true)).clone();
}

/// The definition, in loops.
double by_hand(const Tensor& image, const Tensor& text, double scale) {
  const int64_t n = image.size(0);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) {
    double of_image = 0, of_text = 0;
    for (int64_t j = 0; j < n; ++j) {
      of_image += std::exp(scale * image[i].dot(text[j]).item<double>());
      of_text += std::exp(scale * image[j].dot(text[i]).item<double>());
    }
    sum += std::log(of_image) + std::log(of_text) - 2 * scale * image[i].dot(text[i]).item<double>();
  }
  return sum / (2 * static_cast<double>(n));
}

}  // namespace contrastive_test

using contrastive_test::unit_rows;

TEST(ContrastiveLoss, IsTheMeanOfBothCrossEntropies) {
  for (const int64_t n : {1, 2, 7}) {
    const Tensor image = unit_rows(n, 5, 1), text = unit_rows(n, 5, 2), scale = at::full({}, 3.0, at::kDouble);
    EXPECT_NEAR(contrastive_loss(image, text, scale).item<double>(), contrastive_test::by_hand(image, text, 3.0), 1e-10);
  }
}

TEST(ContrastiveLoss, GradientsAgreeWithFiniteDifferences) {
  const Tensor image = unit_rows(4, 3, 1).requires_grad_(), text = unit_rows(4, 3, 2), scale = at::full({}, 2.0, at::kDouble);
  const Tensor groups = at::tensor(std::vector<int64_t>{0, 1, 0, 2}, at::kLong);
  for (const Tensor& g : {Tensor(), groups}) {
    image.mutable_grad().reset();
    contrastive_loss(image, text, scale, {}, g).backward();
    for (int64_t i = 0; i < 4; ++i) {
      for (int64_t j = 0; j < 3; ++j) {
        const auto at_shift = [&](double shift) {
          Tensor moved = image.detach().clone();
          moved[i][j] += shift;
          return contrastive_loss(moved, text, scale, {}, g).item<double>();
        };
        EXPECT_NEAR(image.grad()[i][j].item<double>(), (at_shift(1e-5) - at_shift(-1e-5)) / 2e-5, 1e-8);
      }
    }
  }
}

TEST(ContrastiveLoss, MatchesFullBatchWhenSplitOverRanks) {
  const int64_t ranks = 3, rows = 4;
  const Tensor image = unit_rows(ranks * rows, 6, 3).requires_grad_(), text = unit_rows(ranks * rows, 6, 4).requires_grad_();
  const Tensor scale = at::full({}, 5.0, at::kDouble);
  const Tensor whole = contrastive_loss(image, text, scale);
  whole.backward();
  for (const bool local : {false, true}) {
    const ContrastiveOptions options{.local_loss = local, .gather_with_grad = true};
    std::vector<Tensor> images, texts;
    for (int64_t r = 0; r < ranks; ++r) {
      images.push_back(image.detach().slice(0, r * rows, (r + 1) * rows).clone().requires_grad_());
      texts.push_back(text.detach().slice(0, r * rows, (r + 1) * rows).clone().requires_grad_());
    }
    double mean = 0;
    for (int64_t r = 0; r < ranks; ++r) {
      const size_t i = static_cast<size_t>(r);
      const Tensor loss = contrastive_loss_on_rank(images[i], texts[i], gather_shards(images, r, options), gather_shards(texts, r, options), scale, {}, r, options);
      mean += loss.item<double>() / static_cast<double>(ranks);
      (loss / static_cast<double>(ranks)).backward();  // what averaging over ranks does
    }
    EXPECT_NEAR(mean, whole.item<double>(), 1e-10);
    std::vector<Tensor> gradients;
    for (const auto& shard : images) gradients.push_back(shard.grad());
    EXPECT_TRUE(at::allclose(at::cat(gradients), image.grad(), 1e-8, 1e-12)) << "local_loss " << local;
  }
}

TEST(ContrastiveLoss, PicturesOfOneTextAreNotPushedApart) {
  // Two pairs with the same text: as plain pairs the loss cannot fall below ln 2, as one group it reaches the target's entropy.
  const Tensor same = unit_rows(1, 4, 9).expand({2, 4}).contiguous(), scale = at::full({}, 50.0, at::kDouble);
  const Tensor groups = at::tensor(std::vector<int64_t>{0, 0}, at::kLong), apart = at::tensor(std::vector<int64_t>{0, 1}, at::kLong);
  const Tensor image = same.clone().requires_grad_();
  contrastive_loss(image, same, scale, {}, groups).backward();
  EXPECT_LT(image.grad().abs().max().item<double>(), 1e-9);
  EXPECT_NEAR(contrastive_loss(same, same, scale, {}, apart).item<double>(), contrastive_loss(same, same, scale).item<double>(), 1e-10);
}

TEST(ContrastiveLoss, RefusesBatchesThatDiffer) {
  const Tensor scale = at::full({}, 1.0, at::kDouble);
  EXPECT_THROW(contrastive_loss(unit_rows(3, 4, 1), unit_rows(2, 4, 1), scale), Error);
  EXPECT_THROW(gather_shards({unit_rows(3, 4, 1), unit_rows(2, 4, 1)}, 0, {}), Error);
}

}  // namespace vlm
