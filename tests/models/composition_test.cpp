#include "vlm/models/layers/composition.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "vlm/core/error.h"

namespace vlm {
namespace composition_test {

constexpr CompositionOptions tiny{.feature_size = 8, .text_feature_size = 6, .num_heads = 2};

Tensor noise(at::IntArrayRef sizes, uint64_t seed) {
  at::Generator generator = at::detail::createCPUGenerator(seed);
  return at::randn(sizes, generator);
}

TEST(Composition, WithoutChangesAndWithItsOwnStyleThePictureComesBack) {
  const Composition model(tiny);
  {
    const at::NoGradGuard no_grad;
    Tensor(model.weights).zero_();
    for (const auto& [name, tensor] : module_parameters(model)) {
      if (name.find("global_styler") == std::string::npos) continue;
      // The gate is open, and the transform adds nothing.
      Tensor(tensor).fill_(name == "global_styler.gate.linear.bias" ? 50 : 0);
    }
  }
  const Tensor image = noise({2, 8, 3, 3}, 1) * 2 + 1;
  EXPECT_TRUE(at::allclose(model.forward(image, noise({2, 6}, 2)).composed, image, 1e-3, 1e-3));
}

TEST(Composition, AttentionsAddUpAndTheStyleTakesNoGradient) {
  const Composition model(tiny);
  const auto out = model.forward(noise({2, 8, 3, 2}, 1), noise({2, 6}, 2));
  EXPECT_EQ(out.composed.sizes(), at::IntArrayRef({2, 8, 3, 2}));
  EXPECT_EQ(out.attention.sizes(), at::IntArrayRef({2, 2, 6, 6}));
  EXPECT_TRUE(at::allclose(out.attention.sum(-1), at::full({2, 2, 6}, 2.f)));
  // What is added to a whole channel changes its style alone, which is a constant.
  Tensor image = noise({1, 8, 3, 3}, 3).requires_grad_();
  model.forward(image, noise({1, 6}, 4)).composed.mean(at::IntArrayRef({2, 3})).sum().backward();
  EXPECT_TRUE(image.grad().sum(at::IntArrayRef({2, 3})).abs().max().item<float>() < 1e-4);
  EXPECT_THROW(Composition({.feature_size = 8, .text_feature_size = 6, .num_heads = 3}), Error);
}

}  // namespace composition_test
}  // namespace vlm
