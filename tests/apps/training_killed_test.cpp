/// Runs that are killed at any moment and started again: what comes out is what would have come out otherwise, to the last bit.

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <random>
#include <thread>

#include "training_runs.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"

namespace vlm::training_runs {

class Killed : public TrainingRuns {
 protected:
  /// A checkpoint every step, and everything that draws random numbers or keeps a state of its own.
  static constexpr const char* plan = "train.steps=40 train.save_every_steps=1 train.ema.enabled=true model.config.vision_cfg.patch_dropout=0.25";

  static bool is_writing(const fs::path& run) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
      if (ends_with(entry.path().filename().string(), ".part")) return true;
    }
    return false;
  }

  static void expect_same(const std::string& expected, const std::string& found) {
    EXPECT_EQ(log_of(run(expected)).size(), 40u);
    EXPECT_EQ(log_of(run(expected)), log_of(run(found)));
    EXPECT_TRUE(weights_of(run(expected)) == weights_of(run(found)));
    for (const auto& entry : fs::directory_iterator(run(expected) / "checkpoints/latest")) {
      const std::string name = entry.path().filename().string();
      if (!ends_with(name, ".safetensors")) continue;
      EXPECT_TRUE(read_file(entry.path()) == read_file(run(found) / "checkpoints/latest" / name)) << name;
    }
  }
};

TEST_F(Killed, AtRandomMomentsAndWhileACheckpointIsWrittenItEndsAsIfNothingHadHappened) {
  train(pretrain("whole", plan), "whole");
  std::mt19937 random(7);
  int64_t reached = 0;
  int in_the_middle_of_writing = 0;
  for (int kill = 0; kill < 6; ++kill) {
    Process process(pretrain("killed", plan), log("killed"));
    const int64_t target = reached + 1 + static_cast<int64_t>(random() % 4);
    ASSERT_TRUE(wait_until([&] { return step_of(run("killed")) >= target || !process.running(); }));
    if (kill % 2 == 0) {
      wait_until([&] { return is_writing(run("killed")) || !process.running(); });
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 20000));
    }
    process.send(SIGKILL);
    ASSERT_EQ(process.wait(), 128 + SIGKILL) << process.output();
    in_the_middle_of_writing += is_writing(run("killed"));
    reached = step_of(run("killed"));
    ASSERT_LT(reached, 40) << "it was over before it could be killed";
  }
  EXPECT_GE(in_the_middle_of_writing, 1) << "no kill has hit a checkpoint that was being written";
  train(pretrain("killed", plan), "killed");
  EXPECT_TRUE(holds(read_file(log("killed")), "going on from"));
  EXPECT_FALSE(is_writing(run("killed"))) << "what killed runs have left half written is to go away";
  expect_same("whole", "killed");
}

TEST_F(Killed, WithTwoRanksWhetherTheLauncherDiesOrARank) {
  const std::string shared = std::string(plan) + " train.zero1=true";
  train(launch(2, "whole2", shared), "whole2");
  int64_t reached = 0;
  for (int kill = 0; kill < 3; ++kill) {
    Process launcher(launch(2, "killed2", shared), log("killed2"));
    ASSERT_TRUE(wait_until([&] { return step_of(run("killed2")) >= reached + 3 || !launcher.running(); }));
    const pid_t ranks[] = {process_of_rank(launcher.pid(), 0), process_of_rank(launcher.pid(), 1)};
    ASSERT_GT(ranks[0], 0);
    ASSERT_GT(ranks[1], 0);
    const auto begin = Clock::now();
    if (kill == 0) {
      launcher.send(SIGKILL);
    } else {
      ::kill(ranks[kill - 1], SIGKILL);
    }
    EXPECT_EQ(launcher.wait(), 128 + SIGKILL);
    if (kill > 0) {
      EXPECT_LT(seconds_since(begin), 10) << "the others end within seconds";
      EXPECT_TRUE(holds(launcher.output(), concat("rank ", kill - 1, " (process ", ranks[kill - 1], ") was killed by signal 9"))) << launcher.output();
    }
    for (const pid_t rank : ranks) EXPECT_TRUE(wait_until([&] { return has_ended(rank); }, 10));
    reached = step_of(run("killed2"));
    ASSERT_LT(reached, 40);
  }
  train(launch(2, "killed2", shared), "killed2");
  expect_same("whole2", "killed2");
}

TEST_F(Killed, ADamagedCheckpointIsPassedOverForTheOneBeforeAndTheRunEndsTheSame) {
  const std::string saved = "train.steps=6 train.save_every_steps=2 train.keep_last=3";
  train(pretrain("damaged", saved), "damaged");
  const std::string weights = weights_of(run("damaged"));
  const auto curve = log_of(run("damaged"));
  const auto newest = run("damaged") / "checkpoints/step-00000006/open_clip_model.safetensors";
  fs::resize_file(newest, fs::file_size(newest) - 100);
  Process again(pretrain("damaged", saved), log("damaged"));
  ASSERT_EQ(again.wait(), 0) << again.output();
  EXPECT_TRUE(holds(again.output(), "step-00000006 cannot be used (open_clip_model.safetensors has")) << again.output();
  EXPECT_TRUE(holds(again.output(), "step-00000004 (step 4 of 6)")) << again.output();
  EXPECT_EQ(log_of(run("damaged")), curve);
  EXPECT_TRUE(weights_of(run("damaged")) == weights);
}

TEST_F(Killed, ASignalToTheLauncherMakesAllRanksWriteACheckpointThatTheSameCommandGoesOnFrom) {
  const std::string shared = "train.steps=40 train.zero1=true";
  Process launcher(launch(2, "signalled", shared), log("signalled"));
  ASSERT_TRUE(wait_until([&] { return step_of(run("signalled")) >= 2 || !launcher.running(); }));
  launcher.send(SIGTERM);
  EXPECT_EQ(launcher.wait(), 75) << launcher.output();
  const int64_t reached = step_of(run("signalled"));
  const auto checkpoint = run("signalled") / "checkpoints/latest";
  EXPECT_EQ(fs::read_symlink(checkpoint).string(), concat("step-", std::string(8 - std::to_string(reached).size(), '0'), reached));
  for (const char* share : {"optimizer-00000-of-00002.safetensors", "optimizer-00001-of-00002.safetensors"}) EXPECT_TRUE(fs::exists(checkpoint / share));
  train(launch(2, "signalled", shared), "signalled");
  EXPECT_EQ(log_of(run("signalled")).size(), 40u);
  train(launch(2, "unsignalled", shared), "unsignalled");
  EXPECT_EQ(log_of(run("signalled")), log_of(run("unsignalled")));
  EXPECT_TRUE(weights_of(run("signalled")) == weights_of(run("unsignalled")));
}

}  // namespace vlm::training_runs
