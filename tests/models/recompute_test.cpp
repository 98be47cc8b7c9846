#include "vlm/models/layers/recompute.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tanh.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>

#include "tiny_models.h"
#include "vlm/models/trainable.h"

namespace vlm {
namespace recompute_test {

void seed(uint64_t number) {
  auto generator = at::detail::getDefaultCPUGenerator();
  generator.set_current_seed(number);
}

std::map<std::string, Tensor> gradients(const Model& model) {
  std::map<std::string, Tensor> out;
  for (auto& [name, parameter] : model.trainable()) {
    out[name] = parameter.grad().defined() ? parameter.grad().clone() : Tensor();
    Tensor(parameter).mutable_grad().reset();
  }
  return out;
}

/// The gradients of `loss` with and without recomputed blocks.
void expect_equal_gradients(Model& model, const std::function<Tensor()>& loss) {
  model.set_training(true);
  seed(7);
  const Tensor plain = loss();
  plain.backward();
  const auto expected = gradients(model);
  ASSERT_TRUE(model.set_recompute(true));
  seed(7);
  const Tensor again = loss();
  again.backward();
  model.set_recompute(false);
  EXPECT_EQ(again.item<double>(), plain.item<double>());
  size_t learnt = 0;
  for (const auto& [name, gradient] : gradients(model)) {
    ASSERT_EQ(gradient.defined(), expected.at(name).defined()) << name;
    if (!gradient.defined()) continue;
    ++learnt;
    EXPECT_TRUE(at::equal(gradient, expected.at(name))) << name;
  }
  EXPECT_GT(learnt, 5u);
}

std::unique_ptr<Model> make(const std::string& family, const std::string& config) {
  return make_model(family, Config::parse(config, "test"), 3);
}

TEST(Recompute, GivesTheSameGradientsToTheLastBitWhatDropoutDrawsIncluded) {
  const Tensor weight = at::randn({6, 6}).requires_grad_(), x = at::randn({5, 6}).requires_grad_();
  int64_t calls = 0;
  const auto fn = [&](const std::vector<Tensor>& in) {
    ++calls;
    EXPECT_FALSE(in[1].defined());
    return at::tanh(at::dropout(at::matmul(in[0], weight), 0.5, true)) + in[0];
  };
  recompute_test::seed(1);
  fn({x, Tensor()}).pow(2).sum().backward();
  const Tensor of_weight = weight.grad().clone(), of_x = x.grad().clone();
  weight.mutable_grad().reset();
  x.mutable_grad().reset();
  calls = 0;
  recompute_test::seed(1);
  const Tensor loss = recompute(fn, {x, Tensor()}).pow(2).sum();
  const Tensor drawn = at::randn({3});
  EXPECT_EQ(calls, 1);
  loss.backward();
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(at::equal(weight.grad(), of_weight));
  EXPECT_TRUE(at::equal(x.grad(), of_x));
  // The backward pass must not disturb what is drawn after it.
  const Tensor after = at::randn({3});
  recompute_test::seed(1);
  fn({x, Tensor()});
  EXPECT_TRUE(at::equal(at::randn({3}), drawn));
  EXPECT_TRUE(at::equal(at::randn({3}), after));
}

TEST(Recompute, IsAPlainCallWhereNoGradientsAreRecorded) {
  int64_t calls = 0;
  const auto fn = [&](const std::vector<Tensor>& in) {
    ++calls;
    return in[0] * 2;
  };
  at::NoGradGuard no_grad;
  EXPECT_FALSE(recompute(fn, {at::ones({2}).requires_grad_()}).requires_grad());
  EXPECT_EQ(calls, 1);
}

TEST(Recompute, InChunksEqualsTheWholeAndTellsThatMoreWillCome) {
  const Tensor weight = at::randn({4, 3}, at::kDouble).requires_grad_(), x = at::randn({7, 4}, at::kDouble).requires_grad_();
  const auto fn = [&](const Tensor& rows) { return at::tanh(at::matmul(rows, weight)); };
  const Tensor target = at::randn({7, 3}, at::kDouble);
  (fn(x) * target).sum().pow(2).backward();
  const Tensor of_weight = weight.grad().clone(), of_x = x.grad().clone();
  for (const int64_t chunk : {1, 2, 3, 7, 0}) {
    weight.mutable_grad().reset();
    x.mutable_grad().reset();
    std::vector<bool> more;
    std::vector<int64_t> rows;
    const auto watched = [&](const Tensor& part) {
      more.push_back(recomputing_more());
      rows.push_back(part.size(0));
      return fn(part);
    };
    const Tensor out = recompute_in_chunks(watched, x, chunk);
    EXPECT_FALSE(recomputing_more());
    more.clear();
    rows.clear();
    (out * target).sum().pow(2).backward();
    EXPECT_TRUE(of_weight.allclose(weight.grad(), 1e-10)) << "chunks of " << chunk;
    EXPECT_TRUE(of_x.allclose(x.grad(), 1e-10)) << "chunks of " << chunk;
    EXPECT_FALSE(recomputing_more());
    if (chunk == 3) {
      EXPECT_EQ(rows, (std::vector<int64_t>{3, 3, 1}));
      EXPECT_EQ(more, (std::vector<bool>{true, true, false}));
    }
  }
}

TEST(Recompute, OfAnErrorInTheBackwardPassLeavesTheFlagDown) {
  int64_t calls = 0;
  const Tensor weight = at::ones({}).requires_grad_();
  const auto fn = [&](const Tensor& rows) {
    if (++calls > 2) fail("the second time");
    return rows * weight;
  };
  const Tensor out = recompute_in_chunks(fn, at::ones({4, 1}), 2);
  EXPECT_ANY_THROW(out.sum().backward());
  EXPECT_FALSE(recomputing_more());
}

TEST(Recompute, OfTheBlocksOfEveryFamilyChangesNoGradient) {
  const Tensor ids = at::tensor(std::vector<int64_t>{1, 7, 9, 2, 0, 0, 1, 5, 4, 8, 2, 0}, at::kLong).view({2, 6});
  {
    const auto model = make("clip", R"(
embed_dim: 16
vision_cfg: {image_size: 16, patch_size: 4, width: 16, layers: 2, head_width: 8, patch_dropout: 0.5}
text_cfg: {context_length: 6, vocab_size: 20, width: 16, heads: 2, layers: 2}
)");
    auto& encoder = dynamic_cast<DualEncoder&>(*model);
    const Tensor pixels = at::randn({2, 3, 16, 16});
    expect_equal_gradients(*model, [&] { return (encoder.embed_images(pixels) * encoder.embed_texts(ids).roll(1, 1)).sum(); });
  }
  {
    const auto model = make("coca", testing::tiny_coca);
    auto& writer = dynamic_cast<PairCaptionTrainable&>(*model);
    const Tensor pixels = at::randn({2, 3, 16, 16}), padded = at::cat({ids, at::tensor(std::vector<int64_t>(12, 0), at::kLong).view({2, 6})}, 1);
    expect_equal_gradients(*model, [&] {
      const auto out = writer.captioned_pairs(pixels, padded);
      return (out.image * out.text.roll(1, 1)).sum() + out.logits.pow(2).mean();
    });
  }
  {
    const auto model = make("blip", testing::tiny_blip_config("BlipForQuestionAnswering"));
    auto& answerer = dynamic_cast<AnswerTrainable&>(*model);
    const Tensor pixels = at::randn({2, 3, 32, 32});
    const AnswerBatch batch{.pixels = pixels, .question = ids, .question_mask = ids.ne(0).to(at::kLong),
                            .row = at::tensor(std::vector<int64_t>{0, 1, 1}, at::kLong),
                            .answer = at::tensor(std::vector<int64_t>{28, 6, 3, 28, 7, 3, 28, 12, 3}, at::kLong).view({3, 3}),
                            .answer_mask = at::ones({3, 3}, at::kLong)};
    expect_equal_gradients(*model, [&] { return answerer.answer_logits(batch).pow(2).mean(); });
  }
}

TEST(Recompute, OfAFrozenTowerIsLeftOut) {
  const auto model = make("clip", R"(
embed_dim: 16
vision_cfg: {image_size: 16, patch_size: 8, width: 16, layers: 2, head_width: 8}
text_cfg: {context_length: 6, vocab_size: 20, width: 16, heads: 2, layers: 1}
)");
  for (auto& [name, parameter] : model->state()) Tensor(parameter).set_requires_grad(false);
  model->set_recompute(true);
  auto& encoder = dynamic_cast<DualEncoder&>(*model);
  EXPECT_FALSE(encoder.embed_images(at::randn({2, 3, 16, 16})).requires_grad());
}

}  // namespace recompute_test
}  // namespace vlm
