#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "error_of.h"
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

namespace train_test {

/// Writes a checkpoint that holds a weight, as the trainer does.
void write(const std::filesystem::path& run, int64_t step, bool best = false, bool in_background = false) {
  const auto alone = make_single_communicator();
  CheckpointWriter writer(run, 2, *alone);
  CheckpointContent content;
  content.step = step;
  content.best = best;
  content.write_model = [step](const auto& folder) { write_file_atomically(folder / "weights", std::string(1000, static_cast<char>('a' + step % 26))); };
  content.optimizer = {{"exp_avg.w", at::ones({3})}};
  content.trainer = {{"step", step}, {"total_steps", 100}};
  content.cursor = nlohmann::ordered_json::object();
  writer.write(std::move(content), in_background);
  EXPECT_TRUE(writer.wait());
}

}  // namespace train_test

TEST(Checkpoint, TheNewestOnesAndTheBestAreKept) {
  const testing::TemporaryFolder run;
  EXPECT_TRUE(latest_checkpoint(run.path()).empty());
  train_test::write(run.path(), 5, /*best=*/true);
  for (const int64_t step : {10, 15, 20}) train_test::write(run.path(), step, false, /*in_background=*/step == 15);
  EXPECT_EQ(latest_checkpoint(run.path()).filename(), "step-00000020");
  EXPECT_EQ(std::filesystem::read_symlink(run / "checkpoints/latest"), "step-00000020");
  EXPECT_EQ(std::filesystem::read_symlink(run / "checkpoints/best"), "step-00000005");
  EXPECT_TRUE(std::filesystem::exists(run / "checkpoints/step-00000005/weights"));
  EXPECT_FALSE(std::filesystem::exists(run / "checkpoints/step-00000010"));
  EXPECT_THROW(checkpoint_to_resume(run.path(), "/nowhere"), Error);
  EXPECT_TRUE(checkpoint_to_resume(run.path(), "none").empty());
}

TEST(Checkpoint, ATruncatedOrAlteredOneIsPassedOverAndThatIsSaid) {
  const testing::TemporaryFolder run;
  train_test::write(run.path(), 10);
  train_test::write(run.path(), 20);
  const auto newest = run / "checkpoints/step-00000020/weights";
  const std::string whole = read_file(newest);
  std::filesystem::resize_file(newest, 500);
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(latest_checkpoint(run.path()).filename(), "step-00000010");
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("weights has 500 bytes, 1000 were written"), std::string::npos);
  std::string altered = whole;
  altered[123] ^= 1;
  write_file_atomically(newest, altered);
  EXPECT_EQ(latest_checkpoint(run.path()).filename(), "step-00000010");
  EXPECT_THROW(checkpoint_to_resume(run.path(), (run / "checkpoints/step-00000020").string()), Error);
  write_file_atomically(newest, whole);
  EXPECT_EQ(latest_checkpoint(run.path()).filename(), "step-00000020");
  std::filesystem::remove(newest);
  EXPECT_EQ(latest_checkpoint(run.path()).filename(), "step-00000010");
}

TEST(Checkpoint, OneThatCannotBeWrittenLeavesTheOthersAsTheyWere) {
  const testing::TemporaryFolder run;
  train_test::write(run.path(), 10);
  const auto alone = make_single_communicator();
  CheckpointWriter writer(run.path(), 2, *alone);
  for (const bool in_background : {false, true}) {
    CheckpointContent content;
    content.step = 20;
    content.write_model = [](const auto& folder) {
      write_file_atomically(folder / "weights", "half");
      fail("no space left on device");
    };
    if (in_background) {
      writer.write(std::move(content), true);
      EXPECT_FALSE(writer.wait());
    } else {
      EXPECT_THROW(writer.write(std::move(content), false), Error);
    }
    EXPECT_EQ(latest_checkpoint(run.path()).filename(), "step-00000010");
    EXPECT_FALSE(std::filesystem::exists(run / "checkpoints/step-00000020.part"));
  }
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
    std::ifstream in(*folder_ / out / "metrics.jsonl");
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

TEST_F(TinyRun, WhatTheFirstStepFindsCanBeWrittenDownAndBegunFrom) {
  TrainerOptions only;
  only.init_only = true;
  const TrainResult result = run_training(recipe("begin", {"train.epochs=1"}), only);
  EXPECT_TRUE(losses("begin").empty());
  EXPECT_EQ(read_safetensors(*folder_ / "begin/first_batch.safetensors").at("images").sizes(), (std::vector<int64_t>{32, 3, 32, 32}));
  run_training(recipe("begin", {"train.epochs=1"}));
  run_training(recipe("begun", {"train.epochs=1", "model.init=" + result.model.string()}));
  EXPECT_EQ(losses("begin"), losses("begun"));
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
    return testing::error_of([&] { run_training(recipe("lacking", overrides)); });
  };
  EXPECT_NE(message({"model.tokenizer=''"}).find("model.tokenizer is missing"), std::string::npos);
  EXPECT_NE(message({"data.train.path=''"}).find("data.train.path is missing"), std::string::npos);
  EXPECT_NE(message({"objective.name=clpi"}).find("did you mean 'clip'"), std::string::npos);
  EXPECT_NE(message({"model.family=clap"}).find("did you mean 'clip'"), std::string::npos);
}

}  // namespace vlm
