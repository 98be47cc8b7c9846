#include "vlm/losses/contrastive_blocks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/losses/contrastive.h"
#include "vlm/losses/infonce.h"

namespace vlm {
namespace contrastive_blocks_test {

Tensor unit_rows(int64_t rows, int64_t width, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<double> numbers;
  for (int64_t i = 0; i < rows * width; ++i) numbers.push_back(random.normal());
  const Tensor x = at::tensor(numbers, at::kDouble).view({rows, width});
  return (x / at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, true)).clone();
}

Tensor number(double value) { return at::full({}, value, at::kDouble).requires_grad_(); }

/// Features of several ranks as leaves.
struct Ranks {
  explicit Ranks(const std::vector<int64_t>& rows) {
    uint64_t seed = 1;
    for (const int64_t n : rows) {
      images.push_back(unit_rows(n, 5, seed++).requires_grad_());
      texts.push_back(unit_rows(n, 5, seed++).requires_grad_());
    }
  }
  Tensor all(const std::vector<Tensor>& parts) const { return at::cat(parts); }
  std::vector<Tensor> gradients() const {
    std::vector<Tensor> out;
    for (const auto& x : images) out.push_back(x.grad());
    for (const auto& x : texts) out.push_back(x.grad());
    return out;
  }
  void clear() {
    for (auto* parts : {&images, &texts}) {
      for (auto& x : *parts) x.mutable_grad().reset();
    }
  }
  std::vector<Tensor> images, texts;
};

TEST(ContrastiveBlocks, AreTheLocalLossOfARankWithAllItsGradients) {
  for (const int64_t ranks : {2, 3}) {
    for (const int64_t block : {1, 3, 100}) {
      Ranks data(std::vector<int64_t>(static_cast<size_t>(ranks), 4));
      for (int64_t r = 0; r < ranks; ++r) {
        const auto i = static_cast<size_t>(r);
        const ContrastiveOptions options{.local_loss = true, .gather_with_grad = true};
        const Tensor scale = number(4), bias = number(-1);
        const Tensor plain = contrastive_loss_on_rank(data.images[i], data.texts[i], gather_shards(data.images, r, options),
                                                      gather_shards(data.texts, r, options), scale, bias, r, options);
        (plain * 0.7).backward();
        const auto expected = data.gradients();
        data.clear();
        const Tensor scale2 = number(4), bias2 = number(-1);
        const Tensor blocks = contrastive_loss_in_blocks(data.images[i], data.texts[i], data.all(data.images), data.all(data.texts), scale2,
                                                         bias2, 4 * r, {.block_rows = block});
        (blocks * 0.7).backward();
        EXPECT_NEAR(blocks.item<double>(), plain.item<double>(), 1e-12);
        const auto found = data.gradients();
        for (size_t k = 0; k < found.size(); ++k) EXPECT_TRUE(at::allclose(found[k], expected[k], 1e-9, 1e-12)) << "leaf " << k << ", blocks of " << block;
        EXPECT_NEAR(scale2.grad().item<double>(), scale.grad().item<double>(), 1e-12);
        EXPECT_NEAR(bias2.grad().item<double>(), 0, 1e-12);
        data.clear();
      }
    }
  }
}

TEST(ContrastiveBlocks, WeighedByRowsTheLossesOfUnevenRanksAreTheWholeLoss) {
  const std::vector<int64_t> rows = {3, 1, 4};
  const Tensor groups = at::tensor(std::vector<int64_t>{0, 1, 0, 2, 1, 3, 0, 4}, at::kLong);
  for (const Tensor& g : {Tensor(), groups}) {
    Ranks data(rows);
    const Tensor scale = number(3);
    contrastive_loss(data.all(data.images), data.all(data.texts), scale, {}, g).backward();
    const auto expected = data.gradients();
    data.clear();
    const Tensor own_scale = number(3);
    Tensor sum;
    int64_t first = 0;
    for (size_t r = 0; r < rows.size(); ++r) {
      const Tensor own = g.defined() ? g.narrow(0, first, rows[r]) : Tensor();
      const Tensor loss = contrastive_loss_in_blocks(data.images[r], data.texts[r], data.all(data.images), data.all(data.texts), own_scale, {},
                                                     first, {.block_rows = 2}, own, g);
      const Tensor weighed = loss * (static_cast<double>(rows[r]) / 8);
      sum = sum.defined() ? sum + weighed : weighed;
      first += rows[r];
    }
    sum.backward();
    const auto found = data.gradients();
    for (size_t k = 0; k < found.size(); ++k) EXPECT_TRUE(at::allclose(found[k], expected[k], 1e-9, 1e-12)) << "leaf " << k;
    EXPECT_NEAR(own_scale.grad().item<double>(), scale.grad().item<double>(), 1e-12);
    EXPECT_NEAR(sum.item<double>(), contrastive_loss(data.all(data.images), data.all(data.texts), scale, {}, g).item<double>(), 1e-12);
  }
}

TEST(ContrastiveBlocks, SmoothTheTargetAsInfoNceDoes) {
  const Tensor image = unit_rows(6, 4, 1).requires_grad_(), text = unit_rows(6, 4, 2), scale = number(5);
  infonce_loss(image, text, scale, 0.2).backward();
  const Tensor expected = image.grad().clone();
  image.mutable_grad().reset();
  const Tensor loss = contrastive_loss_in_blocks(image, text, image, text, scale, {}, 0, {.block_rows = 4, .label_smoothing = 0.2});
  loss.backward();
  EXPECT_NEAR(loss.item<double>(), infonce_loss(image, text, scale, 0.2).item<double>(), 1e-12);
  EXPECT_TRUE(at::allclose(image.grad(), expected, 1e-9, 1e-12));
}

TEST(ContrastiveBlocks, GradientsAgreeWithFiniteDifferences) {
  const Tensor image = unit_rows(3, 4, 1).requires_grad_(), text = unit_rows(3, 4, 2);
  const Tensor others = unit_rows(2, 4, 3), more = unit_rows(2, 4, 4), groups = at::tensor(std::vector<int64_t>{0, 1, 0, 2, 1}, at::kLong);
  const auto loss_of = [&](const Tensor& x, const Tensor& scale) {
    return contrastive_loss_in_blocks(x, text, at::cat({others, x}), at::cat({more, text}), scale, {}, 2,
                                      {.block_rows = 2, .label_smoothing = 0.1}, groups.slice(0, 2), groups);
  };
  const Tensor scale = number(2);
  loss_of(image, scale).backward();
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 4; ++j) {
      const auto at_shift = [&](double shift) {
        Tensor moved = image.detach().clone();
        moved[i][j] += shift;
        return loss_of(moved, scale.detach()).item<double>();
      };
      EXPECT_NEAR(image.grad()[i][j].item<double>(), (at_shift(1e-5) - at_shift(-1e-5)) / 2e-5, 1e-8);
    }
  }
  const double up = loss_of(image.detach(), at::full({}, 2 + 1e-5, at::kDouble)).item<double>();
  const double down = loss_of(image.detach(), at::full({}, 2 - 1e-5, at::kDouble)).item<double>();
  EXPECT_NEAR(scale.grad().item<double>(), (up - down) / 2e-5, 1e-8);
}

TEST(ContrastiveBlocks, RefuseWhatDoesNotFitTogether) {
  const Tensor x = unit_rows(3, 4, 1), all = unit_rows(6, 4, 2), scale = number(1), groups = at::tensor(std::vector<int64_t>{0, 1, 2}, at::kLong);
  EXPECT_THROW(contrastive_loss_in_blocks(x, unit_rows(2, 4, 3), all, all, scale, {}, 0), Error);
  EXPECT_THROW(contrastive_loss_in_blocks(x, x, all, unit_rows(5, 4, 3), scale, {}, 0), Error);
  EXPECT_THROW(contrastive_loss_in_blocks(x, x, all, all, scale, {}, 4), Error);
  EXPECT_THROW(contrastive_loss_in_blocks(x, x, all, all, scale, {}, 0, {.block_rows = 0}), Error);
  EXPECT_THROW(contrastive_loss_in_blocks(x, x, all, all, scale, {}, 0, {}, groups), Error);
  EXPECT_THROW(contrastive_loss_in_blocks(x, x, all, all, scale, {}, 0, {}, groups, groups), Error);
}

}  // namespace contrastive_blocks_test
}  // namespace vlm
