#include "vlm/train/mplug_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "temporary_folder.h"
#include "tiny_mplug.h"
#include "vlm/core/error.h"

namespace vlm {
namespace mplug_objective_test {

std::shared_ptr<const Tokenizer> word_pieces() {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "vocab.txt", testing::tiny_vocabulary());
  write_file_atomically(folder / "config.json", R"({"model_type": "mplug"})");
  return load_tokenizer(folder.path());
}

Batch pairs() {
  Batch batch;
  batch.images = at::randn({3, 3, 16, 16});
  batch.texts = {"a red cat", "the big dog sits on the sofa", "two blue balls"};
  batch.numbers = {0, 1, 2};
  batch.image_index = at::tensor({0, 1, 2}, at::kLong);
  batch.samples.resize(3);
  return batch;
}

double total(const std::vector<LossTerm>& terms) {
  double sum = 0;
  for (const auto& term : terms) sum += term.value.item<double>();
  return sum;
}

}  // namespace mplug_objective_test

TEST(MplugObjective, TeachesWhatTheModelHas) {
  using namespace mplug_objective_test;
  const auto communicator = make_single_communicator();
  for (const auto& [task, expected] : {std::pair<std::string, std::vector<std::string>>{"retrieval", {"ita", "itm"}},
                                       std::pair<std::string, std::vector<std::string>>{"pretrain", {"ita", "itm", "mlm", "prefix"}}}) {
    const auto model = testing::tiny_mplug(task);
    const auto objective = objectives().get("mplug")({*model, word_pieces(), *communicator}, Config::parse("stage: " + task, "test"));
    EXPECT_TRUE(model->has_copies());
    std::vector<std::string> names;
    for (const auto& term : objective->losses(pairs())) {
      names.push_back(term.name);
      EXPECT_TRUE(std::isfinite(term.value.item<double>())) << term.name;
    }
    EXPECT_EQ(names, expected);
    EXPECT_EQ(model->queue_ptr.item<int64_t>(), 3);
  }
  const auto answers = testing::tiny_mplug("vqa");
  EXPECT_THROW(objectives().get("mplug")({*answers, word_pieces(), *communicator}, Config::parse("{}", "test")), Error);
}

TEST(MplugObjective, LossFallsAndCopiesFollow) {
  using namespace mplug_objective_test;
  const auto communicator = make_single_communicator();
  const auto model = testing::tiny_mplug("pretrain");
  const auto objective = objectives().get("mplug")({*model, word_pieces(), *communicator}, Config::parse("{momentum: 0.9, mlm_probability: 0.5, alpha_ramp: false}", "test"));
  const Batch batch = pairs();
  const Tensor copy = model->copies.vision_proj->weight.clone();
  const double before = total(objective->losses(batch));
  for (int step = 0; step < 25; ++step) {
    objective->begin_step(step, 25);
    Tensor sum;
    for (const auto& term : objective->losses(batch)) sum = sum.defined() ? sum + term.value : term.value;
    sum.backward();
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model->trainable()) {
      if (!tensor.grad().defined()) continue;
      tensor.sub_(tensor.grad(), name == "temp" ? 0 : 0.02);
      tensor.mutable_grad().reset();
    }
  }
  EXPECT_LT(total(objective->losses(batch)), before - 0.5);
  EXPECT_GT((model->copies.vision_proj->weight - copy).abs().max().item<double>(), 1e-4);
}

TEST(MplugObjective, CaptionsAreCutBetweenWords) {
  SplitMix64 random(3);
  std::set<std::string> beginnings;
  for (int i = 0; i < 40; ++i) {
    const auto [prefix, rest] = split_for_prefix("a red cat", random);
    EXPECT_FALSE(rest.empty());
    EXPECT_EQ(prefix.empty() ? rest : prefix + " " + rest, "a red cat");
    beginnings.insert(prefix);
  }
  EXPECT_EQ(beginnings, (std::set<std::string>{"", "a", "a red"}));
  EXPECT_EQ(split_for_prefix("", random), (std::pair<std::string, std::string>{}));
}

}  // namespace vlm
