#include <ATen/Context.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <set>

#include "error_of.h"
#include "tiny_albef.h"
#include "vlm/losses/image_text_contrast.h"
#include "vlm/train/task_step.h"
#include "vlm/train/alignment_step.h"

namespace vlm {
namespace alignment_step_test {

constexpr int64_t batch_size = 3;

using testing::error_of;

AlignmentBatch batch(bool masked = true) {
  AlignmentBatch b;
  b.image = at::rand({batch_size, 3, 32, 32});
  b.image_aug = at::rand({batch_size, 3, 32, 32});
  b.ids = at::randint(5, 28, {batch_size, 7}, at::kLong);
  b.ids.select(1, 0).fill_(2);
  b.mask = b.ids.ne(0).to(at::kLong);
  b.uniform_image = at::rand({batch_size});
  b.uniform_text = at::rand({batch_size});
  if (masked) {
    b.masked_ids = b.ids.clone();
    b.masked_ids.select(1, 2).fill_(4);
    b.mlm_labels = b.ids.clone().fill_(-100);
    b.mlm_labels.select(1, 2).copy_(b.ids.select(1, 2));
  }
  return b;
}

std::set<std::string> names(const std::vector<std::pair<std::string, Tensor>>& losses) {
  std::set<std::string> out;
  for (const auto& [name, value] : losses) out.insert(name);
  return out;
}

}  // namespace alignment_step_test

TEST(AlignmentStep, EachMethodHasItsTerms) {
  using namespace alignment_step_test;
  using Names = std::set<std::string>;
  for (const char* method : {"albef", "tcl", "codis"}) {
    AlbefConfig config = testing::tiny_albef_config();
    config.codebook_size = std::string(method) == "codis" ? 5 : 0;
    const auto model = testing::tiny_albef_of<AlbefAligner>(config);
    AlignmentOptions options;
    options.method = alignment_method_named(method);
    const AlignmentStep step = alignment_step(*model, batch(), options);
    const Names terms = names(step.losses), parts = names(step.parts);
    EXPECT_EQ(terms, options.method == AlignmentMethod::codis ? (Names{"ita", "codebook", "itm", "mlm"}) : (Names{"ita", "itm", "mlm"}));
    EXPECT_EQ(parts, options.method == AlignmentMethod::albef ? (Names{"i2t", "t2i"})
                     : options.method == AlignmentMethod::tcl ? (Names{"i2t", "t2i", "i2i", "t2t", "i2i_local", "t2t_local"})
                                                              : (Names{"i2t", "t2i", "i2i", "t2t"}));
    step.total().backward();
    for (const auto& [name, tensor] : model->trainable()) {
      EXPECT_TRUE(tensor.grad().defined()) << method << ": nothing reaches " << name;
    }
    for (const auto& [online, copy] : model->momentum_tensors()) EXPECT_FALSE(copy.grad().defined());
  }
}

TEST(AlignmentStep, LooksAtTheQueuesAsTheyWereAndThenWritesThem) {
  using namespace alignment_step_test;
  const auto model = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config());
  const Tensor images = model->image_queue.clone(), texts = model->text_queue.clone();
  AlignmentOptions options;
  options.alpha = 0.3;
  const AlignmentStep step = alignment_step(*model, batch(), options);
  QueueContrastFeatures before = step.features;
  before.image_queue = images;
  before.text_queue = texts;
  EXPECT_TRUE(at::allclose(image_text_contrast(before, model->temp, step.targets, 0.3).i2t.loss, step.parts[0].second));
  EXPECT_FALSE(at::allclose(image_text_contrast(step.features, model->temp, step.targets, 0.3).i2t.loss, step.parts[0].second));
  EXPECT_TRUE(at::equal(model->image_queue.slice(1, 0, batch_size), step.features.image_m.t()));
  EXPECT_TRUE(at::equal(model->text_queue.slice(1, batch_size), texts.slice(1, batch_size)));
  EXPECT_EQ(model->queue_ptr.item<int64_t>(), batch_size);
}

TEST(AlignmentStep, MomentumNetworksMoveBeforeTheySee) {
  using namespace alignment_step_test;
  const auto model = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config());
  for (auto& [name, tensor] : model->trainable()) {
    if (name == "vision_proj.weight") tensor.detach().mul_(-1);
  }
  AlignmentOptions options;
  options.momentum = 0;  // the copies become the networks
  AlignmentBatch same = batch();
  same.image_aug = Tensor();
  const AlignmentStep step = alignment_step(*model, same, options);
  EXPECT_TRUE(at::allclose(step.features.image, step.features.image_m, 1e-5, 1e-6));
}

TEST(AlignmentStep, LimitsTheTemperatureInPretrainingOnly) {
  using namespace alignment_step_test;
  for (const bool clamp : {true, false}) {
    const auto model = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config());
    model->temp.detach().fill_(0.7);
    AlignmentOptions options;
    options.clamp_temperature = clamp;
    alignment_step(*model, batch(), options);
    EXPECT_FLOAT_EQ(model->temp.item<float>(), clamp ? 0.5f : 0.7f);
  }
}

TEST(AlignmentStep, SaysWhatTheModelLacks) {
  using namespace alignment_step_test;
  AlbefConfig config = testing::tiny_albef_config();
  config.momentum = false;
  const auto alone = testing::tiny_albef_of<AlbefAligner>(config);
  EXPECT_NE(error_of([&] { alignment_step(*alone, batch(), {}); }).find("momentum copies"), std::string::npos);
  const auto plain = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config());
  AlignmentOptions codis;
  codis.method = AlignmentMethod::codis;
  EXPECT_NE(error_of([&] { alignment_step(*plain, batch(), codis); }).find("codebook"), std::string::npos);
  const auto retrieval = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config(AlbefTask::retrieval));
  AlignmentBatch numbered = batch();
  numbered.idx = at::arange(batch_size);
  EXPECT_NE(error_of([&] { alignment_step(*retrieval, numbered, {}); }).find("vocabulary head"), std::string::npos);
}

TEST(AlignmentStep, FeaturesOfTheirOwnReachTheirProjections) {
  using namespace alignment_step_test;
  AlbefConfig config = testing::tiny_albef_config();
  config.independent_features = true;
  const auto model = testing::tiny_albef_of<AlbefAligner>(config);
  const AlignmentStep step = alignment_step(*model, batch(), {});
  EXPECT_FALSE(step.named.at("image_ind_aug").requires_grad());
  (step.named.at("image_ind").select(1, 0).sum() + step.named.at("text_ind").select(1, 0).sum()).backward();
  EXPECT_GT(model->vision_proj_ind->weight.grad().abs().sum().item<float>(), 0);
  EXPECT_GT(model->text_proj_ind->weight.grad().abs().sum().item<float>(), 0);
}

TEST(PicturePairs, AreWhatTheirLabelsSay) {
  at::manual_seed(2);
  std::set<int64_t> seen;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const int64_t b = 3 + repeat % 3;
    const Tensor pictures = normalize(at::rand({b, 4}));
    const PicturePairs pairs = draw_picture_pairs(pictures, at::rand({b, 4}));
    for (int64_t i = 0; i < b; ++i) {
      const auto first = pairs.first[i].item<int64_t>(), second = pairs.second[i].item<int64_t>(), label = pairs.labels[i].item<int64_t>();
      seen.insert(label);
      EXPECT_NE(first, second);
      EXPECT_EQ(first == i, label == 0);
      EXPECT_EQ(second == i, label == 1);
    }
  }
  EXPECT_EQ(seen, (std::set<int64_t>{0, 1, 2}));
}

}  // namespace vlm
