#include "vlm/train/ema.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "vlm/core/error.h"

namespace vlm {

namespace ema_test {

void set(const Tensor& tensor, double value) { tensor.detach().fill_(value); }

}  // namespace ema_test

TEST(Ema, AveragesParametersAndCopiesBuffers) {
  Tensor weight = at::ones({2}).requires_grad_(), statistics = at::ones({2}), count = at::ones({}, at::kLong);
  Ema copied({{"weight", weight}, {"statistics", statistics}, {"count", count}}, {.decay = 0.75});
  Ema averaged({{"weight", weight}, {"statistics", statistics}, {"count", count}}, {.decay = 0.75, .start_step = 1, .average_buffers = true});
  for (const auto& [step, value] : {std::pair{0, 3.0}, std::pair{1, 5.0}}) {
    for (const Tensor& tensor : {weight, statistics, count}) ema_test::set(tensor, value);
    copied.update(step, 10);
    averaged.update(step, 10);
  }
  EXPECT_DOUBLE_EQ(copied.state().at("weight")[0].item<double>(), 0.75 * 1.5 + 0.25 * 5);
  EXPECT_DOUBLE_EQ(copied.state().at("statistics")[0].item<double>(), 5);
  EXPECT_DOUBLE_EQ(averaged.state().at("weight")[0].item<double>(), 0.75 * 3 + 0.25 * 5);
  EXPECT_DOUBLE_EQ(averaged.state().at("statistics")[0].item<double>(), 0.75 * 3 + 0.25 * 5);
  EXPECT_EQ(averaged.state().at("count").item<int64_t>(), 5);
}

TEST(Ema, TheModelHasItsOwnWeightsBackAfterEvaluation) {
  Tensor weight = at::full({3}, 1.0, at::kBFloat16).requires_grad_();
  Ema ema({{"weight", weight}}, {.decay = 0.5});
  ema_test::set(weight, 2.01);
  const Tensor before = weight.detach().clone();
  ema.update(0, 1);
  {
    const Ema::Swap swap(ema);
    EXPECT_NEAR(weight[0].item<double>(), 1.5, 0.01);
    EXPECT_THROW(ema.update(1, 1), Error);
    EXPECT_THROW(Ema::Swap again(ema), Error);
  }
  EXPECT_TRUE(at::equal(weight, before));
  EXPECT_TRUE(weight.requires_grad());
  EXPECT_EQ(ema.state().at("weight").scalar_type(), at::kFloat);
}

TEST(Ema, ItsStateIsTakenUpAgain) {
  Tensor weight = at::ones({2, 2}).requires_grad_();
  Ema ema({{"weight", weight}}, {.decay = 0.9});
  ema.load_state({{"weight", at::full({4}, 7.0)}});
  EXPECT_TRUE(at::equal(ema.state().at("weight"), at::full({2, 2}, 7.0)));
  EXPECT_THROW(ema.load_state({}), Error);
  EXPECT_THROW(ema.load_state({{"weight", at::ones({3})}}), Error);
}

TEST(Ema, TheCosineGrowsFromZeroAndMeetsItsCorners) {
  EXPECT_DOUBLE_EQ(cosine_with_warmup(2, 1, 0, 20, 5), 0);
  EXPECT_DOUBLE_EQ(cosine_with_warmup(2, 1, 4, 20, 5), 2);
  EXPECT_DOUBLE_EQ(cosine_with_warmup(2, 1, 5, 20, 5), 2);
  EXPECT_GT(cosine_with_warmup(2, 1, 19, 20, 5), 1);
  EXPECT_DOUBLE_EQ(cosine_with_warmup(2, 1, 20, 20, 5), 1);
  EXPECT_DOUBLE_EQ(cosine_with_warmup(2, 1, 0, 20, 1), 0);
  EXPECT_DOUBLE_EQ(ema_decay({.decay = 0.996, .schedule = "cosine"}, 0, 12), 0.996);
  EXPECT_DOUBLE_EQ(ema_decay({.decay = 0.9, .start_step = 3}, 2, 12), 0);
  EXPECT_THROW(ema_decay({.schedule = "linear"}, 0, 1), Error);
}

}  // namespace vlm
