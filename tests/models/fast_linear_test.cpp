// Products with weights by oneDNN against plain ones: values, gradients, gradients of gradients.
#include "vlm/models/layers/fast_linear.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "vlm/core/error.h"

namespace vlm {
namespace {

using Product = Tensor (*)(const Tensor&, const Tensor&, const Tensor&);

Tensor plain(const Tensor& x, const Tensor& weight, const Tensor& bias) { return at::linear(x, weight, bias); }

struct Case {
  Tensor x, weight, bias;
  std::vector<Tensor> inputs() const { return bias.defined() ? std::vector<Tensor>{x, weight, bias} : std::vector<Tensor>{x, weight}; }
};

Case made(at::IntArrayRef shape, int64_t out, bool bias) {
  Case c = {at::randn(shape), at::randn({out, shape.back()}), bias ? at::randn({out}) : Tensor()};
  for (const Tensor& tensor : c.inputs()) Tensor(tensor).set_requires_grad(true);
  return c;
}

double difference(const Tensor& a, const Tensor& b) { return ((a - b).abs().max() / b.abs().max()).item<double>(); }

/// The output, and the gradients of its squares' sum.
std::vector<Tensor> results(Product product, const Case& c) {
  const Tensor y = product(c.x, c.weight, c.bias);
  std::vector<Tensor> out = torch::autograd::grad({(y * y).sum()}, c.inputs());
  out.insert(out.begin(), y.detach());
  return out;
}

TEST(FastLinear, OneDnnGivesTheValuesAndGradientsOfAPlainProduct) {
  if (!fast_linear_with::has_onednn()) GTEST_SKIP() << "LibTorch without oneDNN";
  for (const bool bias : {true, false}) {
    for (const auto& shape : {std::vector<int64_t>{4, 33, 96}, {130, 96}, {1, 96}}) {
      const Case c = made(shape, 160, bias);
      const auto got = results(fast_linear_with::onednn, c), wanted = results(plain, c);
      ASSERT_EQ(got.size(), wanted.size());
      for (size_t i = 0; i < got.size(); ++i) {
        EXPECT_EQ(got[i].sizes(), wanted[i].sizes());
        EXPECT_LT(difference(got[i], wanted[i]), 1e-5) << "result " << i << " of " << at::IntArrayRef(shape) << (bias ? " with" : " without") << " bias";
      }
    }
  }
}

TEST(FastLinear, OneDnnTakesSlicesAndTransposedInputs) {
  if (!fast_linear_with::has_onednn()) GTEST_SKIP() << "LibTorch without oneDNN";
  const Case c = made({64, 96}, 192, true);
  const Tensor x = at::randn({96, 48}).t();
  const auto weight = c.weight.slice(0, 64, 128), bias = c.bias.slice(0, 64, 128);
  const auto got = torch::autograd::grad({fast_linear_with::onednn(x, weight, bias).pow(2).sum()}, {c.weight, c.bias});
  const auto wanted = torch::autograd::grad({plain(x, weight, bias).pow(2).sum()}, {c.weight, c.bias});
  for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(difference(got[i], wanted[i]), 1e-5) << i;
}

TEST(FastLinear, OneDnnComputesTheGradientsThatAreAskedFor) {
  if (!fast_linear_with::has_onednn()) GTEST_SKIP() << "LibTorch without oneDNN";
  Case c = made({4, 33, 96}, 160, true);
  c.weight = c.weight.detach();  // frozen
  const auto got = torch::autograd::grad({fast_linear_with::onednn(c.x, c.weight, c.bias).pow(2).sum()}, {c.x, c.bias});
  const auto wanted = torch::autograd::grad({plain(c.x, c.weight, c.bias).pow(2).sum()}, {c.x, c.bias});
  for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(difference(got[i], wanted[i]), 1e-5) << i;
}

TEST(FastLinear, GradientsOfGradientsAreThoseOfAPlainProduct) {
  if (!fast_linear_with::has_onednn()) GTEST_SKIP() << "LibTorch without oneDNN";
  const Case c = made({40, 32}, 48, true);
  const auto twice = [&](Product product) {
    const auto first = torch::autograd::grad({product(c.x, c.weight, c.bias).pow(3).sum()}, c.inputs(), {}, /*retain_graph=*/true, /*create_graph=*/true);
    return torch::autograd::grad({first[0].pow(2).sum() + first[1].sum()}, {c.x, c.weight});
  };
  const auto got = twice(fast_linear_with::onednn), wanted = twice(plain);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(difference(got[i], wanted[i]), 1e-4) << i;
}

// On processors where oneDNN is taken this is its path, elsewhere it is the plain one.
TEST(FastLinear, LargeProductsAreTheSameWhicheverWayIsTaken) {
  const Case c = made({8, 50, 256}, 512, true);
  const auto chosen = [](const Tensor& x, const Tensor& weight, const Tensor& bias) { return fast_linear(x, weight, bias); };
  const auto got = results(chosen, c), wanted = results(plain, c);
  for (size_t i = 0; i < got.size(); ++i) EXPECT_LT(difference(got[i], wanted[i]), 1e-5) << i;
  const at::NoGradGuard no_grad;
  EXPECT_LT(difference(fast_linear(c.x, c.weight, c.bias), wanted[0]), 1e-5);
  EXPECT_LT(difference(fast_linear(c.x, c.weight, c.bias, pack_weight(c.weight)), wanted[0]), 1e-5);
}

}  // namespace
}  // namespace vlm
