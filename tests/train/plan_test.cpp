#include "vlm/train/plan.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/data/scenes.h"
#include "vlm/io/atomic_file.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/sentencepiece_trainer.h"

namespace vlm {

namespace plan_test {

class Plan : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::quiet);
    folder_ = new testing::TemporaryFolder;
    make_scenes(SceneSetOptions{.out = *folder_ / "scenes", .count = 100, .seed = 3});
    std::vector<std::string> captions;
    for (const auto& row : nlohmann::json::parse(read_file(*folder_ / "scenes/captions_train.json"))) {
      const auto& caption = row.at("caption");
      captions.push_back(caption.is_array() ? caption.at(0).get<std::string>() : caption.get<std::string>());
    }
    write_file_atomically(*folder_ / "tokenizer.model", train_sentencepiece(captions, SentencePieceTrainerOptions{.vocab_size = 120}));
  }
  static void TearDownTestSuite() {
    delete folder_;
    set_log_level(LogLevel::info);
  }
  static Recipe recipe(const std::vector<std::string>& overrides = {}) {
    Config config = Config::parse(R"(
model:
  config:
    embed_dim: 16
    vision_cfg: {image_size: 32, patch_size: 16, width: 32, layers: 1, head_width: 16}
    text_cfg: {context_length: 16, vocab_size: 200, width: 32, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
data: {batch_size: 16}
train: {epochs: 3}
)", "test recipe");
    config.override_with({"out=" + (*folder_ / "not/there/yet").string(), "model.tokenizer=" + (*folder_ / "tokenizer.model").string(),
                          "data.train.path=" + (*folder_ / "scenes/train-000000.tar").string()});
    config.override_with(overrides);
    Recipe out;
    config.read(out);
    return out;
  }
  static testing::TemporaryFolder* folder_;
};
testing::TemporaryFolder* Plan::folder_ = nullptr;

}  // namespace plan_test

using plan_test::Plan;

TEST_F(Plan, CountsParametersMemoryAndSteps) {
  const Recipe recipe = Plan::recipe();
  const TrainingPlan plan = plan_training(recipe, {.measure = false});
  int64_t parameters = 0, of_parts = 0;
  for (const auto& [name, tensor] : make_model("clip", recipe.model.config, 0)->state()) parameters += tensor.is_floating_point() ? tensor.numel() : 0;
  for (const auto& [name, count] : plan.parts) of_parts += count;
  EXPECT_EQ(plan.parameters, parameters);
  EXPECT_EQ(of_parts, parameters);
  EXPECT_EQ(plan.gradient_bytes, 4 * plan.trainable);
  EXPECT_EQ(plan.optimizer_bytes, 8 * plan.trainable);
  EXPECT_EQ(plan.steps_per_epoch, plan.samples / 16);
  EXPECT_EQ(plan.total_steps, 3 * plan.steps_per_epoch);
  EXPECT_GT(plan.disk_free, 0);
  EXPECT_TRUE(plan.to_json().at("step_seconds").is_null());
  EXPECT_TRUE(plan.to_json().at("memory_bytes").at("total").is_null());
}

TEST_F(Plan, MoreProcessesMakeFewerStepsOfLargerBatches) {
  Recipe averaged = recipe();
  averaged.train.ema.enabled = true;
  const TrainingPlan plan = plan_training(averaged, {.world_size = 2, .measure = false});
  EXPECT_EQ(plan.global_batch, 32);
  EXPECT_EQ(plan.steps_per_epoch, plan.samples / 32);
  EXPECT_EQ(plan.ema_bytes, plan.weight_bytes);
}

TEST_F(Plan, MeasuresTheWholeBatchWhereThatIsQuickAndScalesWhereItIsNot) {
  const TrainingPlan whole = plan_training(recipe(), {.steps = 2});
  EXPECT_EQ(whole.measured_batch, 16);
  EXPECT_GT(whole.step_seconds, 0);
  EXPECT_GT(whole.total_seconds(), whole.step_seconds);
  const TrainingPlan scaled = plan_training(recipe(), {.budget_seconds = 0});
  EXPECT_EQ(scaled.measured_batch, 8);
  EXPECT_GT(scaled.step_seconds, 0);
  EXPECT_FALSE(std::filesystem::exists(recipe().out)) << "a plan writes nothing";
}

TEST_F(Plan, ARecipeThatCannotBeRunFailsAsTrainingWould) {
  EXPECT_THROW(plan_training(recipe({"data.train.path=''"})), Error);
  EXPECT_THROW(plan_training(recipe({"objective.name=clpi"})), Error);
  EXPECT_THROW(plan_training(recipe({"data.batch_size=5000"}), {.measure = false}), Error);
}

}  // namespace vlm
