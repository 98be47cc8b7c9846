#include "vlm/train/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

#include "error_of.h"

namespace vlm {

namespace schedule_test {

std::string refusal(const ScheduleOptions& options) {
  return testing::error_of([&] { learning_rate(options, 1.0, 0, 10, 0); });
}

}  // namespace schedule_test

using schedule_test::refusal;

TEST(Schedule, ThePresentKeysMeanOpenClipsCurves) {
  const ScheduleOptions cosine{.warmup_steps = 4};
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 2, 0, 20), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 2, 3, 20), 2);
  EXPECT_DOUBLE_EQ(learning_rate(cosine, 2, 4, 20), 2);
  EXPECT_NEAR(learning_rate(cosine, 2, 12, 20), 1, 1e-12);
  EXPECT_NEAR(learning_rate(cosine, 2, 20, 20), 0, 1e-12);
  const ScheduleOptions cooldown{.name = "const-cooldown", .cooldown_steps = 4, .cooldown_power = 2, .cooldown_end_lr = 1};
  EXPECT_DOUBLE_EQ(learning_rate(cooldown, 2, 15, 20), 2);
  EXPECT_DOUBLE_EQ(learning_rate(cooldown, 2, 16, 20), 2);
  EXPECT_DOUBLE_EQ(learning_rate(cooldown, 2, 18, 20), 1.25);
  EXPECT_DOUBLE_EQ(learning_rate(cooldown, 2, 20, 20), 1);
}

TEST(Schedule, WarmUpAsAPartOfAllStepsIsTheSameInSteps) {
  for (const std::string style : {"open_clip", "fairseq", "timm", "big_vision", "hf"}) {
    const ScheduleOptions ratio{.style = style, .warmup_ratio = 0.25}, steps{.style = style, .warmup_steps = 5};
    for (int64_t step = 0; step < 20; ++step) EXPECT_DOUBLE_EQ(learning_rate(ratio, 1, step, 20), learning_rate(steps, 1, step, 20)) << style;
  }
}

TEST(Schedule, FairseqsCosineBeginsANewLowerCycleWhereTheOldOneEnds) {
  const ScheduleOptions o{.style = "fairseq", .warmup_steps = 2, .min_lr = 0.1, .period = 4, .period_mult = 2, .shrink = 0.5};
  EXPECT_DOUBLE_EQ(initial_learning_rate(o, 1, 100), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 1, 100), 0.55);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 2, 100), 1);
  EXPECT_NEAR(learning_rate(o, 1, 6, 100), 0.5, 1e-12);     // the second cycle's top …
  EXPECT_NEAR(learning_rate(o, 1, 10, 100), 0.275, 1e-12);  // … its middle, of 8 steps
  EXPECT_NEAR(learning_rate(o, 1, 14, 100), 0.25, 1e-12);
}

TEST(Schedule, FairseqsPolynomialReachesItsPeakAndItsEnd) {
  const ScheduleOptions o{.style = "fairseq", .name = "polynomial_decay", .warmup_steps = 5, .min_lr = 0.1};
  EXPECT_DOUBLE_EQ(initial_learning_rate(o, 1, 20), 0.2);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 0, 20), 0);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 5, 20), 1);
  EXPECT_NEAR(learning_rate(o, 1, 19, 20), 0.1 + 0.9 / 15, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 25, 20), 0.1);
  EXPECT_DOUBLE_EQ(initial_learning_rate({.style = "fairseq", .name = "polynomial_decay"}, 1, 20), 1);
}

TEST(Schedule, TriStageHoldsAndDecaysByItsRatios) {
  const ScheduleOptions o{.style = "fairseq", .name = "tri_stage", .phase_ratio = {0.1, 0.4, 0.5}, .init_lr_scale = 0.5, .final_lr_scale = 0.01};
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 0, 100), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 10, 100), 1);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 49, 100), 1);
  EXPECT_NEAR(learning_rate(o, 1, 75, 100), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate(o, 1, 100, 100), 0.01, 1e-12);
  EXPECT_NEAR(learning_rate(o, 1, 500, 100), 0.01, 1e-12);
}

TEST(Schedule, TriangularShrinksItsTopAndOnRequestItsBottom) {
  ScheduleOptions o{.style = "fairseq", .name = "triangular", .max_lr = 1.1, .period = 8, .shrink = 0.5};
  EXPECT_NEAR(learning_rate(o, 0.1, 4, 100), 1.1, 1e-12);
  EXPECT_NEAR(learning_rate(o, 0.1, 8, 100), 0.1, 1e-12);
  EXPECT_NEAR(learning_rate(o, 0.1, 12, 100), 0.55, 1e-12);
  o.shrink_min = true;
  EXPECT_NEAR(learning_rate(o, 0.1, 8, 100), 0.05, 1e-12);
}

TEST(Schedule, TimmsCurveRunsBeneathItsWarmUpUnlessThatIsAPrefix) {
  ScheduleOptions o{.style = "timm", .warmup_steps = 10, .min_lr = 0};
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 5, 20), 0.5);
  EXPECT_NEAR(learning_rate(o, 1, 10, 20), 0.5, 1e-12);
  o.warmup_prefix = "true";
  EXPECT_NEAR(learning_rate(o, 1, 10, 20), 1, 1e-12);
  EXPECT_NEAR(learning_rate(o, 1, 15, 20), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate(o, 1, 20, 20), 0);
}

TEST(Schedule, EpochsCountWholeAndOnlyForTimm) {
  const ScheduleOptions o{.style = "timm", .name = "step", .warmup_steps = 1, .period = 2, .shrink = 0.5, .in_epochs = true};
  for (const auto& [step, expected] : {std::pair{0, 0.0}, {9, 0.0}, {10, 1.0}, {29, 1.0}, {30, 0.5}, {50, 0.25}}) {
    EXPECT_DOUBLE_EQ(learning_rate(o, 1, step, 60, 10), expected) << step;
  }
  EXPECT_NE(refusal(o).find("steps in an epoch"), std::string::npos);
  EXPECT_NE(refusal({.in_epochs = true}).find("style timm"), std::string::npos);
}

TEST(Schedule, BigVisionsStairChangesAtItsSteps) {
  const ScheduleOptions o{.style = "big_vision", .name = "stair", .steps = {10, 20}, .mults = {0.5, 0.1}};
  for (const auto& [step, expected] : {std::pair{9, 1.0}, {10, 0.5}, {19, 0.5}, {20, 0.1}, {29, 0.1}}) {
    EXPECT_DOUBLE_EQ(learning_rate(o, 1, step, 30), expected) << step;
  }
  const ScheduleOptions rsqrt{.style = "big_vision", .name = "rsqrt", .warmup_steps = 4, .cooldown_steps = 10, .timescale = 6};
  EXPECT_DOUBLE_EQ(learning_rate(rsqrt, 1, 0, 30), 0);
  EXPECT_NEAR(learning_rate(rsqrt, 1, 10, 30), 1 / std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(learning_rate(rsqrt, 1, 25, 30), 0.5 / std::sqrt(1 + 21 / 6.0), 1e-12);
}

TEST(Schedule, TransformersSchedulesEndAtTheirLastStep) {
  EXPECT_DOUBLE_EQ(learning_rate({.style = "hf", .name = "linear", .warmup_steps = 5}, 1, 15, 25), 0.5);
  EXPECT_DOUBLE_EQ(learning_rate({.style = "hf", .name = "linear"}, 1, 30, 25), 0);
  EXPECT_DOUBLE_EQ(learning_rate({.style = "hf", .name = "polynomial", .min_lr = 0.1, .power = 2}, 1, 26, 25), 0.1);
  EXPECT_NEAR(learning_rate({.style = "hf", .num_cycles = 1}, 1, 25, 25), 1, 1e-12);
  EXPECT_NEAR(learning_rate({.style = "ctp", .min_lr = 0.2}, 1, 5, 10), 0.6, 1e-12);
}

TEST(Schedule, WhatMakesNoCurveIsAUsageError) {
  EXPECT_NE(refusal({.name = "cosin"}).find("did you mean 'cosine'"), std::string::npos);
  EXPECT_NE(refusal({.style = "tim"}).find("did you mean 'timm'"), std::string::npos);
  EXPECT_NE(refusal({.style = "fairseq", .name = "inverse_sqrt"}).find("needs warm-up"), std::string::npos);
  EXPECT_NE(refusal({.style = "fairseq", .name = "triangular"}).find("max_lr"), std::string::npos);
  EXPECT_NE(refusal({.style = "fairseq", .period_mult = 0.5}).find("period_mult"), std::string::npos);
  EXPECT_NE(refusal({.warmup_steps = 3, .warmup_ratio = 0.1}).find("give one"), std::string::npos);
  EXPECT_NE(refusal({.style = "big_vision", .name = "stair", .steps = {3}}).find("as many"), std::string::npos);
}

TEST(Schedule, EveryCurveStaysFiniteForAnyStepOfShortRuns) {
  const std::vector<std::pair<std::string, std::vector<std::string>>> all = {
      {"open_clip", {"cosine", "const", "const-cooldown"}}, {"fairseq", {"cosine", "polynomial_decay", "tri_stage", "triangular", "step"}},
      {"timm", {"cosine", "poly", "step"}}, {"big_vision", {"cosine", "linear", "polynomial", "rsqrt", "stair"}},
      {"hf", {"cosine", "linear", "polynomial"}}, {"ctp", {"cosine"}}};
  for (const auto& [style, names] : all) {
    for (const auto& name : names) {
      for (const int64_t total : {0, 1, 2, 7}) {
        for (const int64_t warmup : {0, 1, 7, 9}) {
          const ScheduleOptions o{.style = style, .name = name, .warmup_steps = warmup, .max_lr = 2, .cooldown_steps = 2, .shrink = 0.5};
          for (int64_t step = 0; step < 12; ++step) {
            const double rate = learning_rate(o, 1, step, total);
            EXPECT_TRUE(std::isfinite(rate) && rate >= -1e-12 && rate <= 2.5) << style << " " << name << " " << total << " " << warmup << " " << step << ": " << rate;
          }
        }
      }
    }
  }
}

TEST(Schedule, AlbefsWarmUpClimbsStairsWithinTheFirstEpochAndThenFallsByEpochs) {
  const ScheduleOptions o{.style = "albef", .warmup_steps = 200, .warmup_init_lr = 1, .min_lr = 0.5};
  const auto rate = [&](int64_t step) { return learning_rate(o, 3, step, 4 * 1000, 1000); };
  EXPECT_DOUBLE_EQ(rate(0), 1);
  EXPECT_DOUBLE_EQ(rate(100), 1);   // the rate is set after an iteration
  EXPECT_DOUBLE_EQ(rate(101), 2);
  EXPECT_DOUBLE_EQ(rate(200), 2);
  EXPECT_DOUBLE_EQ(rate(201), 3);
  EXPECT_DOUBLE_EQ(rate(999), 3);   // the rest of the epoch runs at the peak
  EXPECT_NEAR(rate(2000), 0.5 + 2.5 / 2, 1e-12);
  EXPECT_DOUBLE_EQ(rate(2000), rate(2999));
  EXPECT_DOUBLE_EQ(rate(4000), 0.5);
  EXPECT_NE(refusal(o).find("epochs"), std::string::npos);
  EXPECT_TRUE(has_own_rates(o));
  EXPECT_FALSE(has_own_rates({}));
}

}  // namespace vlm
