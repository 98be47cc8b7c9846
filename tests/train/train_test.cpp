#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/data/scenes.h"
#include "vlm/infer/pipeline.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/text/sentencepiece_trainer.h"
#include "vlm/train/checkpoint.h"
#include "vlm/train/trainer.h"

namespace vlm {

TEST(Checkpoint, TheLatestCompleteOneIsFoundAndHalfOnesAreNot) {
  const testing::TemporaryFolder run;
  const auto write = [&](int64_t step) {
    write_checkpoint(run.path(), step, 2, [&](const auto& folder) { write_file_atomically(folder / "trainer.json", std::to_string(step)); });
  };
  EXPECT_TRUE(latest_checkpoint(run.path()).empty());
  for (const int64_t step : {5, 10, 15}) write(step);
  EXPECT_EQ(latest_checkpoint(run.path()).filename(), "step-00000015");
  EXPECT_EQ(read_file(run / "checkpoints/latest/trainer.json"), "15");
  EXPECT_FALSE(std::filesystem::exists(run / "checkpoints/step-00000005"));
  EXPECT_THROW(write_checkpoint(run.path(), 20, 2, [](const auto& folder) {
    write_file_atomically(folder / "weights", "half");
    fail("killed");
  }), Error);
  EXPECT_EQ(latest_checkpoint(run.path()).filename(), "step-00000015");
  EXPECT_THROW(checkpoint_to_resume(run.path(), "/nowhere"), Error);
  EXPECT_TRUE(checkpoint_to_resume(run.path(), "none").empty());
}

namespace train_test {

/// A recipe that learns a few drawn scenes in a second.
class TinyRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::quiet);
    folder_ = new testing::TemporaryFolder;
    make_scenes(SceneSetOptions{.out = *folder_ / "scenes", .count = 200, .seed = 3});
    std::vector<std::string> captions;
    for (const auto& row : nlohmann::json::parse(read_file(*folder_ / "scenes/captions_train.json"))) {
      const auto& caption = row.at("caption");
      if (caption.is_string()) captions.push_back(caption);
      if (caption.is_array()) captions.insert(captions.end(), caption.begin(), caption.end());
    }
    write_file_atomically(*folder_ / "tokenizer.model", train_sentencepiece(captions, SentencePieceTrainerOptions{.vocab_size = 120}));
  }
  static void TearDownTestSuite() {
    delete folder_;
    set_log_level(LogLevel::info);
  }

  static Recipe recipe(const std::string& out, const std::vector<std::string>& overrides = {}) {
    Config config = Config::parse(R"(
model:
  config:
    embed_dim: 16
    vision_cfg: {image_size: 32, patch_size: 16, width: 32, layers: 1, head_width: 16, patch_dropout: 0.25}
    text_cfg: {context_length: 16, vocab_size: 200, width: 32, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
data: {batch_size: 32, threads: 2, preprocess: {resize_mode: longest, fill_color: 255}, augment: {pad_square: true, shift: 4}}
train: {epochs: 3, lr: 2e-3, schedule: {warmup_steps: 3}, eval_every_epochs: 0, save_every_epochs: 1}
)", "test recipe");
    config.override_with({"out=" + (*folder_ / out).string(), "model.tokenizer=" + (*folder_ / "tokenizer.model").string(),
                          "data.train.path=" + (*folder_ / "scenes/train-000000.tar").string(),
                          "data.val.path=" + (*folder_ / "scenes/test-000000.tar").string()});
    config.override_with(overrides);
    Recipe out_recipe;
    config.read(out_recipe);
    return out_recipe;
  }

  static std::vector<double> losses(const std::string& out) {
    std::vector<double> found;
    std::ifstream in(*folder_ / out / "log.jsonl");
    for (std::string line; std::getline(in, line);) {
      const auto entry = nlohmann::json::parse(line);
      if (entry.contains("loss")) found.push_back(entry["loss"]);
    }
    return found;
  }

  static testing::TemporaryFolder* folder_;
};
testing::TemporaryFolder* TinyRun::folder_ = nullptr;

}  // namespace train_test

using train_test::TinyRun;

TEST_F(TinyRun, LearnsAndLeavesAModelFolder) {
  const TrainResult result = run_training(recipe("learns", {"train.epochs=8"}));
  EXPECT_TRUE(result.finished);
  const auto curve = losses("learns");
  ASSERT_EQ(static_cast<int64_t>(curve.size()), result.steps);
  EXPECT_LT(result.last_loss, curve.front() - 0.3);
  const auto pipeline = DualEncoderPipeline::load(result.model);
  EXPECT_EQ(pipeline.embed_texts({"a red circle"}).sizes(), (std::vector<int64_t>{1, 16}));
}

TEST_F(TinyRun, ARunStoppedAtAnyStepResumesToTheSameCurveAndWeights) {
  const TrainResult whole = run_training(recipe("whole"));
  const auto expected = losses("whole");
  for (const int64_t stop : {1, 6, 11}) {
    const std::string name = "stopped" + std::to_string(stop);
    int64_t steps = 0;
    TrainerOptions options;
    options.should_stop = [&] { return ++steps == stop; };
    const TrainResult half = run_training(recipe(name), options);
    EXPECT_FALSE(half.finished);
    EXPECT_EQ(half.steps, stop);
    const TrainResult rest = run_training(recipe(name));
    EXPECT_TRUE(rest.finished);
    EXPECT_EQ(losses(name), expected) << "stopped after step " << stop;
    const auto a = read_safetensors(whole.model / "open_clip_model.safetensors"), b = read_safetensors(rest.model / "open_clip_model.safetensors");
    for (const auto& [tensor_name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(tensor_name))) << tensor_name << " after stopping at " << stop;
  }
}

TEST_F(TinyRun, TheCurveDoesNotDependOnTheDecodingThreads) {
  run_training(recipe("threads0", {"train.epochs=1", "data.threads=0"}));
  run_training(recipe("threads3", {"train.epochs=1", "data.threads=3"}));
  EXPECT_EQ(losses("threads0"), losses("threads3"));
}

TEST_F(TinyRun, AChangedPlanIsNotResumedInSilence) {
  run_training(recipe("changed", {"train.epochs=1"}));
  try {
    run_training(recipe("changed", {"train.epochs=2"}));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--resume none"), std::string::npos) << error.what();
  }
}

TEST_F(TinyRun, WhatARecipeLacksIsNamed) {
  const auto message = [&](const std::vector<std::string>& overrides) {
    try {
      run_training(recipe("lacking", overrides));
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message({"model.tokenizer=''"}).find("model.tokenizer is missing"), std::string::npos);
  EXPECT_NE(message({"data.train.path=''"}).find("data.train.path is missing"), std::string::npos);
  EXPECT_NE(message({"objective.name=clpi"}).find("did you mean 'clip'"), std::string::npos);
  EXPECT_NE(message({"model.family=clap"}).find("did you mean 'clip'"), std::string::npos);
}

}  // namespace vlm
