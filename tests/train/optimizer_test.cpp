#include "vlm/train/optimizer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/sin.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>

#include "error_of.h"
#include "vlm/core/error.h"
#include "vlm/train/gradients.h"

namespace vlm {

namespace optimizer_test {

const std::vector<std::string> elementwise = {"adamw", "adam", "adam_fairseq", "sgd", "lion"};
const std::vector<std::string> whole = {"lamb", "adafactor"};

Tensor leaf_of_waves(int64_t elements) { return at::sin(at::linspace(0, 30, elements)).requires_grad_(); }

Tensor leaf(const Tensor& value) { return value.clone().requires_grad_(); }

/// A gradient that differs by step and element.
Tensor gradient(const Tensor& parameter, int step) {
  return (at::linspace(-1, 1, parameter.numel()) * (0.5 + step) + 0.1 * step).reshape(parameter.sizes());
}

OptimizerOptions options(const std::string& name) {
  return {.name = name, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-3, .amsgrad = name == "adamw", .nesterov = true};
}

/// One parameter of one element, followed by hand.
void follow(const OptimizerOptions& options, double decay, const std::function<double(double p, double g, int t)>& formula) {
  Tensor w = leaf(at::full({1, 1}, 0.8));
  const auto optimizer = make_optimizer({{.name = "w", .parameter = w, .lr_scale = 0.5, .weight_decay = decay}}, options);
  double p = 0.8;
  for (int t = 1; t <= 4; ++t) {
    const double g = 0.3 * t - 0.8;
    w.mutable_grad() = at::full({1, 1}, g);
    optimizer->step(0.2);
    p = formula(p, g, t);
    EXPECT_NEAR(w.item<double>(), p, 2e-6) << options.name << ", step " << t;
  }
}

using testing::error_of;

}  // namespace optimizer_test

using optimizer_test::follow;
using optimizer_test::gradient;
using optimizer_test::leaf;

TEST(Optimizer, AdamWFollowsItsFormula) {
  double m = 0, v = 0;
  const double lr = 0.1, wd = 0.5;
  follow({.name = "adamw", .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-3}, wd, [&](double p, double g, int t) {
    m = 0.9 * m + 0.1 * g;
    v = 0.95 * v + 0.05 * g * g;
    return p * (1 - lr * wd) - lr * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.95, t))) + 1e-3);
  });
}

TEST(Optimizer, AmsgradKeepsTheLargestSecondMoment) {
  double m = 0, v = 0, largest = 0;
  follow({.name = "adamw", .beta1 = 0.9, .beta2 = 0.5, .eps = 1e-3, .amsgrad = true}, 0, [&](double p, double g, int t) {
    m = 0.9 * m + 0.1 * g;
    v = 0.5 * v + 0.5 * g * g;
    largest = std::max(largest, v);
    return p - 0.1 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(largest / (1 - std::pow(0.5, t))) + 1e-3);
  });
}

TEST(Optimizer, AdamAddsItsDecayToTheGradient) {
  double m = 0, v = 0;
  follow({.name = "adam", .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-3}, 0.5, [&](double p, double g, int t) {
    g += 0.5 * p;
    m = 0.9 * m + 0.1 * g;
    v = 0.95 * v + 0.05 * g * g;
    return p - 0.1 * (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.95, t))) + 1e-3);
  });
}

TEST(Optimizer, FairseqsAdamLeavesEpsilonOutsideTheBiasCorrection) {
  double m = 0, v = 0;
  follow({.name = "adam_fairseq", .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-1}, 0.5, [&](double p, double g, int t) {
    m = 0.9 * m + 0.1 * g;
    v = 0.95 * v + 0.05 * g * g;
    p -= 0.1 * 0.5 * p;
    return p - 0.1 * std::sqrt(1 - std::pow(0.95, t)) / (1 - std::pow(0.9, t)) * m / (std::sqrt(v) + 1e-1);
  });
}

TEST(Optimizer, SgdBeginsItsMomentumWithTheWholeGradient) {
  double m = 0;
  follow({.name = "sgd", .momentum = 0.9, .dampening = 0.2}, 0.5, [&](double p, double g, int t) {
    g += 0.5 * p;
    m = t == 1 ? g : 0.9 * m + 0.8 * g;
    return p - 0.1 * m;
  });
  m = 0;
  follow({.name = "sgd", .momentum = 0.9, .nesterov = true}, 0, [&](double p, double g, int t) {
    m = t == 1 ? g : 0.9 * m + g;
    return p - 0.1 * (g + 0.9 * m);
  });
}

TEST(Optimizer, LionStepsByTheSignAndUpdatesItsMomentumAfterwards) {
  double m = 0;
  follow({.name = "lion", .beta1 = 0.9, .beta2 = 0.99}, 0.5, [&](double p, double g, int) {
    const double direction = 0.9 * m + 0.1 * g;
    m = 0.99 * m + 0.01 * g;
    return p * (1 - 0.1 * 0.5) - 0.1 * (direction > 0 ? 1 : -1);
  });
}

TEST(Optimizer, LambScalesItsStepByTheTrustRatioOnlyWhereThereIsDecay) {
  for (const double decay : {0.5, 0.0}) {
    double m = 0, v = 0;
    follow({.name = "lamb", .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-3, .max_grad_norm = 0.2}, decay, [&](double p, double g, int t) {
      g /= std::max(1.0, std::abs(g) / 0.2);
      m = 0.9 * m + 0.1 * g;
      v = 0.95 * v + 0.05 * g * g;
      const double u = (m / (1 - std::pow(0.9, t))) / (std::sqrt(v / (1 - std::pow(0.95, t))) + 1e-3) + decay * p;
      return p - 0.1 * (decay != 0 ? std::abs(p) / std::abs(u) : 1) * u;
    });
  }
}

TEST(Optimizer, LambClipsTheGradientsOfAllGroupsTogether) {
  Tensor a = leaf(at::ones({2, 2})), b = leaf(at::ones({2}));
  const auto optimizer = make_optimizer({{.name = "a", .parameter = a, .weight_decay = 0.1}, {.name = "b", .parameter = b}},
                                        {.name = "lamb", .eps = 1e-6, .max_grad_norm = 1});
  a.mutable_grad() = at::full({2, 2}, 3.0);
  b.mutable_grad() = at::full({2}, 4.0);
  optimizer->step(0.1);
  const double norm = std::sqrt(4 * 9.0 + 2 * 16.0);
  EXPECT_TRUE(at::allclose(optimizer->state().at("exp_avg.b"), at::full({2}, 0.1 * 4 / norm)));
}

TEST(Optimizer, AdafactorOfRankOneSquaresIsScaledSigns) {
  // Squares of the form r c^T are kept exactly by their factors, so the first update has the gradient's signs and size 1.
  const Tensor rows = at::tensor({1.0f, 2.0f, 3.0f}).unsqueeze(1), columns = at::tensor({1.0f, -2.0f}).unsqueeze(0);
  for (const std::string form : {"fairseq", "torch", "big_vision"}) {
    Tensor w = leaf(at::ones({3, 2}));
    OptimizerOptions options{.name = "adafactor", .adafactor = {.form = form, .min_dim_size_to_factor = 2}};
    const auto optimizer = make_optimizer({{.name = "w", .parameter = w}}, options);
    EXPECT_EQ(optimizer->state().count("exp_avg_sq_row.w"), 1u);
    w.mutable_grad() = rows * columns;
    optimizer->step(0.1);
    EXPECT_TRUE(at::allclose(w, 1 - 0.1 * columns.sign().expand({3, 2}), 1e-4, 1e-5)) << form;
  }
}

TEST(Optimizer, FairseqsExactAdafactorCompoundsItsLearningRate) {
  // Two parameters of root mean square 1/2 and 1 in one group: the second one's rate holds the first one's factor, too.
  const auto second_step = [](const std::string& form) {
    Tensor a = leaf(at::full({2}, 0.5)), b = leaf(at::ones({2}));
    OptimizerOptions options{.name = "adafactor", .adafactor = {.form = form, .scale_parameter = true}};
    const auto optimizer = make_optimizer({{.name = "a", .parameter = a}, {.name = "b", .parameter = b}}, options);
    a.mutable_grad() = at::ones({2});
    b.mutable_grad() = at::ones({2});
    optimizer->step(0.1);
    return 1 - b[0].item<double>();
  };
  EXPECT_NEAR(second_step("fairseq"), 0.1, 1e-6);
  EXPECT_NEAR(second_step("fairseq_exact"), 0.05, 1e-6);
}

TEST(Optimizer, ParametersWithoutAGradientAreLeftAlone) {
  for (const auto& name : optimizers().names()) {
    Tensor w = leaf(at::ones({2, 2})), b = leaf(at::ones({3}));
    const auto optimizer = make_optimizer({{.name = "w", .parameter = w, .weight_decay = 0.1}, {.name = "b", .parameter = b}}, optimizer_test::options(name));
    b.mutable_grad() = at::ones({3});
    optimizer->step(0.1);
    EXPECT_TRUE(at::equal(w, at::ones({2, 2}))) << name;
    EXPECT_FALSE(at::equal(b, at::ones({3}))) << name;
  }
}

TEST(Optimizer, StretchesOnManyProcessesDoTogetherWhatOneDoesToTheWhole) {
  for (const auto& name : optimizer_test::elementwise) {
    Tensor w = leaf(at::linspace(-1, 1, 12).reshape({3, 4})), part = leaf(w.detach());
    const auto one = make_optimizer({{.name = "w", .parameter = w, .weight_decay = 0.1}}, optimizer_test::options(name));
    ASSERT_TRUE(one->elementwise());
    std::vector<std::unique_ptr<Optimizer>> many;
    for (const auto& [begin, end] : {std::pair{0, 5}, std::pair{5, 5}, std::pair{5, 12}}) {
      many.push_back(make_optimizer({{.name = "w", .parameter = part, .weight_decay = 0.1, .begin = begin, .end = end}}, optimizer_test::options(name)));
    }
    for (int step = 0; step < 3; ++step) {
      w.mutable_grad() = gradient(w, step);
      // A gradient that lies otherwise in memory must be read by its elements' places.
      part.mutable_grad() = gradient(w, step).t().contiguous().t();
      one->step(0.1);
      for (const auto& optimizer : many) optimizer->step(0.1);
    }
    EXPECT_TRUE(at::allclose(w, part, 1e-6, 1e-7)) << name;
    // Whole state loads into a stretch, which takes its part.
    many[2]->load_state(one->state());
    for (const auto& [key, tensor] : many[2]->state()) {
      if (key == "step.w") continue;
      EXPECT_TRUE(at::equal(tensor, one->state().at(key).reshape({-1}).slice(0, 5, 12))) << key;
    }
  }
}

TEST(Optimizer, OptimizersOfWholeTensorsRefuseStretches) {
  for (const auto& name : optimizer_test::whole) {
    Tensor w = leaf(at::ones({4}));
    EXPECT_FALSE(make_optimizer({{.name = "w", .parameter = w}}, optimizer_test::options(name))->elementwise());
    const auto message = optimizer_test::error_of([&] {
      make_optimizer({{.name = "w", .parameter = w, .begin = 0, .end = 2}}, optimizer_test::options(name));
    });
    EXPECT_NE(message.find("needs whole tensors"), std::string::npos) << name << ": " << message;
  }
}

TEST(Optimizer, ItsStateContinuesARunToTheSameWeights) {
  std::vector<OptimizerOptions> all;
  for (const auto& name : optimizers().names()) all.push_back(optimizer_test::options(name));
  for (const std::string form : {"fairseq_exact", "torch", "big_vision"}) {
    all.push_back({.name = "adafactor", .adafactor = {.form = form, .momentum = 0.9, .scale_parameter = true, .min_dim_size_to_factor = 2}});
  }
  for (const auto& options : all) {
    const auto parameters = [](Tensor& w, Tensor& b) {
      return std::vector<OptimizedParameter>{{.name = "w", .parameter = w, .weight_decay = 0.1}, {.name = "b", .parameter = b, .lr_scale = 0.5}};
    };
    Tensor w = leaf(at::linspace(-1, 1, 12).reshape({3, 4})), b = leaf(at::linspace(1, 2, 4));
    const auto run = [&](Optimizer& optimizer, Tensor& w_of, Tensor& b_of, int from, int to) {
      for (int step = from; step < to; ++step) {
        w_of.mutable_grad() = gradient(w_of, step);
        b_of.mutable_grad() = gradient(b_of, step);
        optimizer.step(0.01 * (step + 1));
      }
    };
    const auto first = make_optimizer(parameters(w, b), options);
    run(*first, w, b, 0, 2);
    TensorMap saved;
    for (const auto& [name, tensor] : first->state()) saved[name] = tensor.clone();
    Tensor w2 = leaf(w.detach()), b2 = leaf(b.detach());
    const auto second = make_optimizer(parameters(w2, b2), options);
    second->load_state(saved);
    run(*first, w, b, 2, 4);
    run(*second, w2, b2, 2, 4);
    EXPECT_TRUE(at::equal(w, w2) && at::equal(b, b2)) << options.name << " " << options.adafactor.form;
  }
}

TEST(Optimizer, AStateOfAnotherModelIsRefusedAndChangesNothing) {
  Tensor w = leaf(at::ones({2, 2})), other = leaf(at::ones({3, 2}));
  const auto a = make_optimizer({{.name = "w", .parameter = w}}, {}), b = make_optimizer({{.name = "w", .parameter = other}}, {}),
             c = make_optimizer({{.name = "x", .parameter = w}}, {});
  w.mutable_grad() = at::ones({2, 2});
  a->step(0.1);
  EXPECT_THROW(b->load_state(a->state()), Error);
  EXPECT_THROW(c->load_state(a->state()), Error);
  EXPECT_EQ(b->state().at("step.w").item<double>(), 0);
}

TEST(Optimizer, LowPrecisionParametersHaveFloat32State) {
  for (const auto& name : optimizers().names()) {
    Tensor exact = leaf(at::linspace(-1, 1, 12).reshape({3, 4}).to(at::kBFloat16).to(at::kFloat)), low = leaf(exact.detach().to(at::kBFloat16));
    const auto a = make_optimizer({{.name = "w", .parameter = exact}}, optimizer_test::options(name));
    const auto b = make_optimizer({{.name = "w", .parameter = low}}, optimizer_test::options(name));
    const Tensor g = gradient(exact, 1).to(at::kBFloat16);
    exact.mutable_grad() = g.to(at::kFloat);
    low.mutable_grad() = g;
    a->step(0.1);
    b->step(0.1);
    EXPECT_TRUE(at::equal(exact.to(at::kBFloat16), low)) << name;
    for (const auto& [key, tensor] : b->state()) EXPECT_NE(tensor.scalar_type(), at::kBFloat16) << name << " " << key;
  }
}

TEST(Optimizer, WhatMakesNoSenseIsNamed) {
  Tensor w = leaf(at::ones({4, 2}));
  const auto message = [&](OptimizedParameter parameter, const OptimizerOptions& options) {
    return optimizer_test::error_of([&] { make_optimizer({std::move(parameter)}, options); });
  };
  EXPECT_NE(message({.name = "w", .parameter = w}, {.name = "lambb"}).find("did you mean 'lamb'"), std::string::npos);
  EXPECT_NE(message({.name = "w", .parameter = w}, {.beta2 = 1}).find("beta2"), std::string::npos);
  EXPECT_NE(message({.name = "w", .parameter = w, .begin = 3, .end = 9}, {}).find("[3, 9)"), std::string::npos);
  EXPECT_NE(message({.name = "w", .parameter = w.detach().t()}, {}).find("not contiguous"), std::string::npos);
  EXPECT_NE(message({.name = "w", .parameter = w}, {.name = "adafactor", .adafactor = {.form = "torhc"}}).find("did you mean 'torch'"), std::string::npos);
}

TEST(ClipGradients, ScalesToTheLargestNormAndReturnsTheOneBefore) {
  Tensor a = leaf(at::ones({2})), b = leaf(at::ones({2})), none = leaf(at::ones({2}));
  a.mutable_grad() = at::ones({2}) * 3;
  b.mutable_grad() = at::ones({2}) * -4;
  const std::vector<NamedTensor> parameters = {{"a", a}, {"b", b}, {"none", none}};
  EXPECT_NEAR(clip_gradients(parameters, 0, std::numeric_limits<double>::infinity()), 4, 1e-6);
  EXPECT_NEAR(clip_gradients(parameters, 1.0), std::sqrt(50.0), 1e-5);
  EXPECT_NEAR(clip_gradients(parameters, 0.0), 1.0, 1e-5);
  EXPECT_NEAR(clip_gradients(parameters, 0.1, std::numeric_limits<double>::infinity()), 4 / std::sqrt(50.0), 1e-5);
  EXPECT_NEAR(a.grad()[0].item<double>(), 0.075, 1e-6);
  clear_gradients(parameters);
  EXPECT_FALSE(a.grad().defined());
  EXPECT_EQ(clip_gradients(parameters, 1.0), 0);
}

TEST(Optimizer, AShareIsUpdatedAsTheWholeButForTheLastBitAtItsEnds) {
  const Tensor whole = optimizer_test::leaf_of_waves(1000), shared = optimizer_test::leaf_of_waves(1000);
  const auto options = OptimizerOptions{.name = "adamw"};
  const auto alone = make_optimizer({{.name = "w", .parameter = whole, .weight_decay = 0.1}}, options);
  std::vector<std::unique_ptr<Optimizer>> shares;
  for (const auto& [begin, end] : {std::pair{0, 334}, std::pair{334, 668}, std::pair{668, 1000}}) {
    shares.push_back(make_optimizer({{.name = "w", .parameter = shared, .weight_decay = 0.1, .begin = begin, .end = end}}, options));
  }
  for (int step = 0; step < 20; ++step) {
    const Tensor gradient = at::sin(at::linspace(1, 400 + step, 1000));
    whole.mutable_grad() = gradient;
    shared.mutable_grad() = gradient;
    alone->step(1e-3);
    for (const auto& share : shares) share->step(1e-3);
  }
  const float *a = whole.const_data_ptr<float>(), *b = shared.const_data_ptr<float>();
  for (int64_t n = 0; n < 1000; ++n) {
    const bool at_an_end = (n % 334) >= 334 - 16 || n >= 1000 - 16;
    if (at_an_end) {
      EXPECT_NEAR(a[n], b[n], 1e-6) << n;
    } else {
      EXPECT_EQ(a[n], b[n]) << n;
    }
  }
}

TEST(Optimizers, ScaledStepsFollowARateOfTheirOwn) {
  for (const std::string name : {"sgd", "adamw"}) {
    const Tensor scaled = optimizer_test::leaf(at::ones({2, 2})), own = optimizer_test::leaf(at::ones({2, 2}));
    const auto by_scale = make_optimizer({{.name = "w", .parameter = scaled, .lr_scale = 0.5, .weight_decay = 0.1}}, optimizer_test::options(name));
    const auto alone = make_optimizer({{.name = "w", .parameter = own, .weight_decay = 0.1}}, optimizer_test::options(name));
    for (int t = 0; t < 3; ++t) {
      Tensor(scaled).mutable_grad() = optimizer_test::gradient(scaled, t);
      Tensor(own).mutable_grad() = optimizer_test::gradient(own, t);
      by_scale->scale_steps([](double lr_scale) { return lr_scale == 0.5 ? 3.0 : 1.0; });
      by_scale->step(0.1);
      alone->step(0.15);
    }
    EXPECT_TRUE(at::allclose(scaled, own, 1e-6, 1e-7)) << name;
  }
}

}  // namespace vlm
