#include "vlm/train/contrast_over_ranks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <numeric>

#include "thread_communicator.h"
#include "vlm/core/rng.h"
#include "vlm/losses/contrastive.h"

namespace vlm {
namespace contrast_test {

Tensor unit_rows(int64_t rows, int64_t width, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<double> numbers;
  for (int64_t i = 0; i < rows * width; ++i) numbers.push_back(random.normal());
  const Tensor x = at::tensor(numbers, at::kDouble).view({rows, width});
  return (x / at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, true)).clone();
}

Tensor number(double value) { return at::full({}, value, at::kDouble).requires_grad_(); }

/// A loss with its gradients of images, texts, scale and bias.
struct Outcome {
  double loss = 0;
  Tensor image, text, scale, bias;
};

using RankLoss = std::function<Tensor(Communicator&, const Tensor& image, const Tensor& text, const Tensor& scale, const Tensor& bias, const Tensor& ids)>;

/// What a trainer makes of the losses of all ranks: each weighed by its rows, gradients averaged.
Outcome over_ranks(const std::vector<int64_t>& rows, const Tensor& image, const Tensor& text, const Tensor& ids, const RankLoss& loss) {
  const auto ranks = static_cast<int64_t>(rows.size());
  const double total = static_cast<double>(std::accumulate(rows.begin(), rows.end(), int64_t(0)));
  std::vector<Outcome> outcomes(rows.size());
  testing::run_ranks(ranks, [&](Communicator& communicator) {
    const auto r = static_cast<size_t>(communicator.rank());
    const int64_t first = std::accumulate(rows.begin(), rows.begin() + communicator.rank(), int64_t(0));
    Tensor own_image = image.detach().narrow(0, first, rows[r]).clone().requires_grad_();
    Tensor own_text = text.detach().narrow(0, first, rows[r]).clone().requires_grad_();
    const Tensor scale = number(4), bias = number(-2);
    const Tensor value = loss(communicator, own_image, own_text, scale, bias, ids.narrow(0, first, rows[r]));
    const Tensor weighed = value * (static_cast<double>(rows[r] * ranks) / total);
    weighed.backward();
    const double share = 1 / static_cast<double>(ranks);
    outcomes[r] = {weighed.item<double>() * share, own_image.grad() * share, own_text.grad() * share, scale.grad() * share, bias.grad() * share};
  });
  Outcome out = outcomes[0];
  for (size_t r = 1; r < outcomes.size(); ++r) {
    out.loss += outcomes[r].loss;
    out.image = at::cat({out.image, outcomes[r].image});
    out.text = at::cat({out.text, outcomes[r].text});
    out.scale = out.scale + outcomes[r].scale;
    out.bias = out.bias + outcomes[r].bias;
  }
  return out;
}

void expect_equal(const Outcome& found, const Outcome& expected) {
  EXPECT_NEAR(found.loss, expected.loss, 1e-10);
  EXPECT_TRUE(at::allclose(found.image, expected.image, 1e-9, 1e-12));
  EXPECT_TRUE(at::allclose(found.text, expected.text, 1e-9, 1e-12));
  EXPECT_NEAR(found.scale.item<double>(), expected.scale.item<double>(), 1e-10);
  EXPECT_NEAR(found.bias.item<double>(), expected.bias.item<double>(), 1e-10);
}

const std::vector<std::vector<int64_t>> splits = {{4, 4}, {3, 3, 3}, {5, 1}, {2, 4, 1}};

/// Each text occurs about twice, and on several ranks.
Tensor repeated_ids(int64_t rows) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < rows; ++i) ids.insert(ids.end(), {1, i % 4, 2});
  return at::tensor(ids, at::kLong).view({rows, 3});
}

TEST(ContrastiveOverRanks, IsTheLossOfOneProcessWithItsGradientsHoweverTheRowsAreSplit) {
  for (const auto& rows : contrast_test::splits) {
    const int64_t total = std::accumulate(rows.begin(), rows.end(), int64_t(0));
    const Tensor image = unit_rows(total, 5, 1), text = unit_rows(total, 5, 2), ids = contrast_test::repeated_ids(total);
    for (const bool merge : {false, true}) {
      const auto loss = [&](Communicator& communicator, const Tensor& i, const Tensor& t, const Tensor& scale, const Tensor& bias, const Tensor& own) {
        return contrastive_over_ranks(communicator, i, t, scale, bias, merge ? own : Tensor(), {.block_rows = 2});
      };
      const auto whole = [&](Communicator&, const Tensor& i, const Tensor& t, const Tensor& scale, const Tensor& bias, const Tensor& own) {
        return contrastive_loss(i, t, scale, bias, merge ? own.select(1, 1) : Tensor());
      };
      contrast_test::expect_equal(contrast_test::over_ranks(rows, image, text, ids, loss),
                                  contrast_test::over_ranks({total}, image, text, ids, whole));
    }
  }
}

TEST(SigmoidOverRanks, IsTheLossOfOneProcessWithItsGradientsHoweverTextsTravel) {
  for (const auto& rows : contrast_test::splits) {
    const int64_t total = std::accumulate(rows.begin(), rows.end(), int64_t(0));
    const Tensor image = unit_rows(total, 5, 3), text = unit_rows(total, 5, 4), ids = contrast_test::repeated_ids(total);
    const auto whole = [&](Communicator&, const Tensor& i, const Tensor& t, const Tensor& scale, const Tensor& bias, const Tensor&) {
      return sigmoid_loss(i, t, scale, bias);
    };
    const auto expected = contrast_test::over_ranks({total}, image, text, ids, whole);
    for (const char* exchange : {"ring", "gather"}) {
      const auto loss = [&](Communicator& communicator, const Tensor& i, const Tensor& t, const Tensor& scale, const Tensor& bias, const Tensor&) {
        return sigmoid_over_ranks(communicator, i, t, scale, bias, exchange, {.chunk_rows = 2});
      };
      contrast_test::expect_equal(contrast_test::over_ranks(rows, image, text, ids, loss), expected);
    }
  }
}

TEST(SigmoidOverRanks, AnUnknownExchangeIsAUsageError) {
  const auto communicator = make_single_communicator();
  const Tensor x = unit_rows(2, 3, 1);
  EXPECT_THROW(sigmoid_over_ranks(*communicator, x, x, number(1), number(0), "rnig", {}), Error);
}

}  // namespace contrast_test
}  // namespace vlm
