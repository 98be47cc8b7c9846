/// The same run on one process and on many: nothing that a rank learns may be lost or counted twice.

#include <gtest/gtest.h>
#include <signal.h>

#include <cmath>

#include "training_runs.h"

namespace vlm::training_runs {

class OverRanks : public TrainingRuns {};

/// All numbers are float32: a loss of 3 to 4 is good for 4e-7. Ranks add up the same gradients in another order, which changes
/// their last bits, and so every update a little.
constexpr double loss_rounding = 2e-5;

/// AdamW divides a gradient by its own size: where that is next to nothing (biases of keys, which change no attention), what
/// rounding leaves of it still moves the weight. Measured were differences of up to 8e-5. Less than one update of size lr
/// (5e-4) is asked for; a wrong batch or a lost rank changes most weights by several of them.
constexpr double weight_rounding = 2.5e-4;

struct Kind {
  const char* name;
  const char* overrides;
};

TEST_F(OverRanks, LossesAndWeightsAreThoseOfOneProcess) {
  const Kind kinds[] = {
      {"clip", ""},
      {"merged", "objective.options.merge_equal_texts=true train.grad_clip_norm=1"},
      {"siglip", "model.family=siglip objective.name=siglip objective.options.exchange=ring"},
      {"accumulated", "data.global_batch_size=12 train.accumulate=2"},
      {"zero1", "train.zero1=true train.ema.enabled=true"},
  };
  for (const auto& kind : kinds) {
    const std::string name = kind.name;
    Process one(launch(1, name + "1", kind.overrides), log(name + "1")), two(launch(2, name + "2", kind.overrides), log(name + "2")),
        four(launch(4, name + "4", kind.overrides), log(name + "4"));
    ASSERT_EQ(one.wait(), 0) << one.output();
    ASSERT_EQ(two.wait(), 0) << two.output();
    ASSERT_EQ(four.wait(), 0) << four.output();
    const auto alone = losses_of(run(name + "1"));
    ASSERT_EQ(alone.size(), 20u);
    EXPECT_GT(std::abs(alone.front() - alone.back()), 0.2) << name << ": a curve that stays where it is proves nothing";
    for (const char* ranks : {"2", "4"}) {
      EXPECT_LT(largest_difference(alone, losses_of(run(name + ranks))), loss_rounding) << name << " on " << ranks << " ranks";
      EXPECT_LT(largest_weight_difference(run(name + "1"), run(name + ranks)), weight_rounding) << name << " on " << ranks << " ranks";
    }
  }
  // What the comparison would see if ranks had learnt from other batches.
  train(pretrain("other", "data.seed=1"), "other");
  EXPECT_GT(largest_difference(losses_of(run("clip1")), losses_of(run("other"))), 500 * loss_rounding);
  EXPECT_GT(largest_weight_difference(run("clip1"), run("other")), 4 * weight_rounding);
}

TEST_F(OverRanks, WhereNoOptimiserEnlargesRoundingWeightsAgreeToIt) {
  // SGD moves a weight in proportion to its gradient, so that what rounding leaves stays as small as it is.
  const char* const sgd = "train.optimizer.name=sgd train.lr=0.05";
  Process one(launch(1, "sgd1", sgd), log("sgd1")), two(launch(2, "sgd2", sgd), log("sgd2")), four(launch(4, "sgd4", sgd), log("sgd4"));
  ASSERT_EQ(one.wait(), 0) << one.output();
  ASSERT_EQ(two.wait(), 0) << two.output();
  ASSERT_EQ(four.wait(), 0) << four.output();
  for (const char* run_of : {"sgd2", "sgd4"}) {
    EXPECT_LT(largest_difference(losses_of(run("sgd1")), losses_of(run(run_of))), loss_rounding) << run_of;
    EXPECT_LT(largest_weight_difference(run("sgd1"), run(run_of)), 5e-6) << run_of;
  }
  train(pretrain("sgd_other", std::string(sgd) + " data.seed=1"), "sgd_other");
  EXPECT_GT(largest_weight_difference(run("sgd1"), run("sgd_other")), 1e-3) << "other batches must be seen";
}

TEST_F(OverRanks, ASharedOptimiserStateGivesTheSameRun) {
  for (const int64_t ranks : {2, 3}) {
    const std::string plain = "plain" + std::to_string(ranks), shared = "shared" + std::to_string(ranks);
    Process first(launch(ranks, plain, "train.zero1=false"), log(plain)), second(launch(ranks, shared, "train.zero1=true"), log(shared));
    ASSERT_EQ(first.wait(), 0) << first.output();
    ASSERT_EQ(second.wait(), 0) << second.output();
    // The same gradients to the last bit; the few elements at the ends of a share are not updated by vector instructions, which round
    // products and sums at once.
    const auto expected = losses_of(run(plain)), found = losses_of(run(shared));
    EXPECT_EQ(expected.at(0), found.at(0));
    EXPECT_LT(largest_difference(expected, found), loss_rounding / 10) << ranks;
    EXPECT_LT(largest_weight_difference(run(plain), run(shared)), weight_rounding / 10) << ranks;
  }
}

TEST_F(OverRanks, ARunGoesOnWithAnotherNumberOfRanksInTheMiddleOfAnEpoch) {
  // 249 samples: an epoch has 20 steps.
  const std::string plan = "data.global_batch_size=12 train.steps=30 train.zero1=true";
  train(pretrain("undisturbed", plan), "undisturbed");
  int64_t reached = 0;
  for (const int64_t ranks : {2, 1}) {
    Process process(launch(ranks, "moved", plan), log("moved"));
    ASSERT_TRUE(wait_until([&] { return step_of(run("moved")) >= reached + 3 || !process.running(); }));
    process.send(SIGTERM);
    EXPECT_EQ(process.wait(), 75) << process.output();
    EXPECT_GE(step_of(run("moved")), reached + 3);
    reached = step_of(run("moved"));
  }
  EXPECT_LT(reached, 20) << "the second change was to come within the first epoch";
  Process last(launch(3, "moved", plan), log("moved"));
  ASSERT_EQ(last.wait(), 0) << last.output();
  EXPECT_TRUE(holds(last.output(), "going on from")) << last.output();
  EXPECT_EQ(log_of(run("moved")).size(), 30u);
  EXPECT_LT(largest_difference(losses_of(run("undisturbed")), losses_of(run("moved"))), loss_rounding) << "every batch is the one of the undisturbed run";
  EXPECT_LT(largest_weight_difference(run("undisturbed"), run("moved")), weight_rounding);
}

}  // namespace vlm::training_runs
