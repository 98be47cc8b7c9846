/// What goes wrong while a run is training: full disks, damaged data, ranks that die or fall silent, weights that explode.

#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>

#include "training_runs.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"

namespace vlm::training_runs {

class Faults : public TrainingRuns {
 protected:
  /// How often a text occurs.
  static int count(const std::string& text, const std::string& part) {
    int out = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++out;
    return out;
  }
};

/// No file of the process may grow beyond so many kilobytes: what a full disk is to those who write, without one.
std::string limit_files(int64_t kilobytes) { return concat("ulimit -f ", kilobytes); }

TEST_F(Faults, AFullDiskIsAWarningUntilTheLastCheckpointAndLeavesTheEarlierOne) {
  const std::string plan = "train.steps=60 train.save_every_steps=10";
  {
    Process first(pretrain("full", plan), log("full"));
    ASSERT_TRUE(wait_until([&] { return step_of(run("full")) >= 11 || !first.running(); }));
    first.send(SIGTERM);
    ASSERT_EQ(first.wait(), 75) << first.output();
  }
  const fs::path before = run("full") / "checkpoints" / fs::read_symlink(run("full") / "checkpoints/latest");
  const std::string weights = read_file(before / "open_clip_model.safetensors");
  // The recipe fits, as do the log's first lines; its later ones and the weights do not.
  const auto room = static_cast<int64_t>(fs::file_size(run("full") / "metrics.jsonl") / 1024) + 4;
  Process limited(pretrain("full", plan), log("full"), limit_files(room));
  EXPECT_EQ(limited.wait(), 1) << limited.output();
  const std::string said = limited.output();
  EXPECT_GE(count(said, "training goes on, and the checkpoints before it are as they were"), 2) << said;
  EXPECT_EQ(count(said, "cannot write " + (run("full") / "metrics.jsonl").string()), 1) << "said once, not every step\n" << said;
  EXPECT_TRUE(holds(said, "error: checkpoint ")) << said;
  EXPECT_TRUE(read_file(before / "open_clip_model.safetensors") == weights);
  EXPECT_FALSE(fs::exists(run("full") / "model"));
  train(pretrain("full", plan), "full");
  train(pretrain("roomy", plan), "roomy");
  EXPECT_EQ(log_of(run("full")), log_of(run("roomy"))) << "with room again it goes on from there";
  EXPECT_TRUE(weights_of(run("full")) == weights_of(run("roomy")));
}

TEST_F(Faults, AShareOfACheckpointThatOneRankCannotWriteDoesNotHoldUpTheOthers) {
  for (const int64_t limited : {0, 1}) {
    const std::string name = concat("share", limited);
    const auto ranks = start_ranks(2, pretrain(name, "train.steps=12 train.save_every_steps=4 train.zero1=true"), log(name),
                                   [&](int64_t rank) { return rank == limited ? limit_files(16) : ""; });
    for (const auto& rank : ranks) EXPECT_EQ(rank->wait(60), 1) << rank->output();
    EXPECT_EQ(log_of(run(name)).size(), 12u) << "training went on: " << ranks[0]->output();
    EXPECT_GE(count(ranks[0]->output(), "training goes on, and the checkpoints before it are as they were"), 2) << ranks[0]->output();
    EXPECT_FALSE(fs::exists(run(name) / "checkpoints/latest"));
  }
}

TEST_F(Faults, AShardThatBecomesUnreadableEndsAllRanksWithItsName) {
  const fs::path shard = run("cut") / "train-000000.tar";
  fs::create_directories(run("cut"));
  fs::copy_file(scenes() / "train-000000.tar", shard);
  const auto ranks = start_ranks(2, pretrain("cut", "train.steps=100000 train.save_every_minutes=0 data.train.path=" + shard.string()), log("cut"));
  ASSERT_TRUE(wait_until([&] { return step_of(run("cut")) >= 3 || !ranks[0]->running(); }));
  fs::resize_file(shard, 1024);
  for (const auto& rank : ranks) {
    EXPECT_EQ(rank->wait(30), 1);
    EXPECT_TRUE(holds(rank->output(), shard.string())) << rank->output();
  }
}

TEST_F(Faults, ShardsThatOneRankDoesNotSeeAreToldBeforeTheFirstStep) {
  const fs::path folder = run("unseen");
  fs::create_directories(folder);
  fs::copy_file(scenes() / "train-000000.tar", folder / "train-000000.tar");
  fs::copy_file(scenes() / "val-000000.tar", folder / "val-000000.tar");
  const std::string both = " data.train.path=" + (folder / "train-000000.tar").string() + "::" + (folder / "val-000000.tar").string();
  const std::string one = " data.train.path=" + (folder / "train-000000.tar").string();
  const auto ranks = start_ranks(2, pretrain("unseen", "$ONE"), log("unseen"), [&](int64_t rank) { return "ONE='" + (rank == 0 ? both : one) + "'"; });
  for (const auto& rank : ranks) {
    EXPECT_EQ(rank->wait(30), 2) << rank->output();
    EXPECT_TRUE(holds(rank->output(), "rank 1 sees 249 samples, rank 0 sees ")) << rank->output();
  }
  EXPECT_FALSE(fs::exists(folder / "metrics.jsonl"));
}

TEST_F(Faults, AWrongRecipeOnOneRankEndsAll) {
  const auto ranks = start_ranks(2, pretrain("wrong", "$WRONG"), log("wrong"),
                                 [&](int64_t rank) { return rank == 1 ? "WRONG=objective.name=clpi" : "WRONG="; });
  for (const auto& rank : ranks) EXPECT_NE(rank->wait(30), 0);
  EXPECT_TRUE(holds(ranks[0]->output(), "rank 1")) << ranks[0]->output();
  Process launcher(launch(2, "wrong", "train.precision=fp15", "--restarts 3"), log("wrong_both"));
  EXPECT_EQ(launcher.wait(30), 2) << launcher.output();
  EXPECT_TRUE(holds(launcher.output(), "train.precision is 'fp15'")) << launcher.output();
}

TEST_F(Faults, ABrokenPictureIsLeftOutAndCounted) {
  std::string shard = read_file(scenes() / "train-000000.tar");
  const size_t picture = shard.find("\x89PNG");
  ASSERT_NE(picture, std::string::npos);
  shard.replace(picture + 8, 16, std::string(16, 'x'));
  write_file_atomically(run("broken") / "train-000000.tar", shard);
  Process process(pretrain("broken", "train.steps=11 data.epoch_end=exact data.train.path=" + (run("broken") / "train-000000.tar").string()), log("broken"));
  EXPECT_EQ(process.wait(), 0) << process.output();
  EXPECT_TRUE(holds(process.output(), "248 samples, 1 skipped (bad_image=1)")) << process.output();
}

TEST_F(Faults, ARunThatDivergesStopsWithTheSamplesItWasAt) {
  Process process(launch(2, "diverges", "train.lr=1e30 train.nan_limit=4 train.save_every_steps=1 train.steps=200"), log("diverges"));
  EXPECT_EQ(process.wait(60), 1) << process.output();
  EXPECT_TRUE(holds(process.output(), "is no number (samples scene")) << process.output();
  EXPECT_TRUE(holds(process.output(), "4 steps in a row")) << process.output();
  EXPECT_LT(log_of(run("diverges")).size(), 20u);
}

TEST_F(Faults, WithoutALauncherARankThatIsKilledIsNamedByTheOthersWithinSeconds) {
  for (const int64_t victim : {0, 1}) {
    const std::string name = concat("victim", victim);
    const auto ranks = start_ranks(3, pretrain(name, "train.steps=100000 train.save_every_minutes=0"), log(name));
    ASSERT_TRUE(wait_until([&] { return step_of(run(name)) >= 2 || !ranks[0]->running(); }));
    const auto begin = Clock::now();
    ranks[static_cast<size_t>(victim)]->send(SIGKILL);
    for (int64_t rank = 0; rank < 3; ++rank) {
      const auto& process = ranks[static_cast<size_t>(rank)];
      const int code = process->wait(30);
      if (rank == victim) continue;
      EXPECT_EQ(code, 1) << process->output();
      EXPECT_LT(seconds_since(begin), 10) << process->output();
      EXPECT_TRUE(holds(process->output(), victim == 0 ? "rank 0 at 127.0.0.1 has ended" : "rank 1 (host ")) << process->output();
    }
  }
}

TEST_F(Faults, ARankThatIsStoppedDoesNotKeepTheOthersWaitingForEver) {
  std::vector<std::vector<std::unique_ptr<Process>>> groups;
  for (const int64_t victim : {0, 1}) {
    const std::string name = concat("stopped", victim);
    groups.push_back(start_ranks(2, pretrain(name, "train.steps=100000 train.save_every_minutes=0"), log(name),
                                 [](int64_t) { return std::string("export VLM_SILENCE_SECONDS=6"); }));
    ASSERT_TRUE(wait_until([&] { return step_of(run(name)) >= 2 || !groups.back()[0]->running(); }));
    groups.back()[static_cast<size_t>(victim)]->send(SIGSTOP);
  }
  for (const size_t victim : {0u, 1u}) {
    const auto& other = groups[victim][1 - victim];
    EXPECT_EQ(other->wait(30), 1) << other->output();
    EXPECT_TRUE(holds(other->output(), victim == 0 ? "rank 0 at 127.0.0.1 has not answered for 6 s" : "rank 1 (host ")) << other->output();
  }
}

}  // namespace vlm::training_runs
