#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/data/epoch_plan.h"

namespace vlm::test {

namespace epoch_plan_test {

using Ids = std::vector<std::pair<int64_t, int64_t>>;

Ids ids(const EpochPlan& plan, int64_t consumer, int64_t from, int64_t to) {
  Ids out;
  for (int64_t n = from; n < to; ++n) out.emplace_back(plan.at(consumer, n).shard, plan.at(consumer, n).index);
  return out;
}

Ids all_of(const std::vector<int64_t>& sizes) {
  Ids out;
  for (size_t s = 0; s < sizes.size(); ++s) {
    for (int64_t i = 0; i < sizes[s]; ++i) out.emplace_back(s, i);
  }
  return out;
}

const std::vector<std::vector<int64_t>> many_sizes = {
    {}, {0}, {1}, {7}, {5, 3, 7, 0, 4, 6}, {0, 0, 9}, {2, 2, 2, 2, 2, 2, 2, 2, 2}, {100, 1, 50}};

}  // namespace epoch_plan_test

using epoch_plan_test::Ids;
using epoch_plan_test::many_sizes;

TEST(EpochPlan, GivesEverySampleExactlyOnceForAnyNumberOfConsumers) {
  for (const auto& sizes : many_sizes) {
    for (int64_t consumers = 1; consumers < 13; ++consumers) {
      for (const bool shuffle : {false, true}) {
        const EpochPlan plan(sizes, 5, 2, consumers, shuffle);
        Ids got;
        for (int64_t g = 0; g < consumers; ++g) {
          const Ids part = epoch_plan_test::ids(plan, g, 0, plan.length(g));
          got.insert(got.end(), part.begin(), part.end());
        }
        std::sort(got.begin(), got.end());
        EXPECT_EQ(got, epoch_plan_test::all_of(sizes));
      }
    }
  }
}

TEST(EpochPlan, IsTheSameReadForwardsBackwardsAndInTurns) {
  const EpochPlan plan({5, 3, 7, 2}, 9, 0, 2, true), again({5, 3, 7, 2}, 9, 0, 2, true);
  for (int64_t n = plan.length(0) - 1; n >= 0; --n) {
    EXPECT_EQ(plan.at(0, n), again.list(0)[static_cast<size_t>(n)]);
    if (n < plan.length(1)) {
      EXPECT_EQ(plan.at(1, n), again.list(1)[static_cast<size_t>(n)]);
    }
  }
  EXPECT_THROW(plan.at(0, plan.length(0)), Error);
  EXPECT_THROW(plan.at(2, 0), Error);
}

TEST(EpochPlan, ChangesWithEpochAndSeed) {
  const std::vector<int64_t> sizes = {50, 50};
  const auto list = [&](uint64_t seed, int64_t epoch) { return EpochPlan(sizes, seed, epoch, 1, true).list(0); };
  EXPECT_EQ(list(1, 0), list(1, 0));
  EXPECT_NE(list(1, 0), list(1, 1));
  EXPECT_NE(list(1, 0), list(2, 0));
}

TEST(EpochPlan, LosesAndRepeatsNothingHoweverOftenTheConsumersChange) {
  SplitMix64 random(21);
  for (int round = 0; round < 300; ++round) {
    const auto& sizes = many_sizes[random.below(many_sizes.size())];
    const bool shuffle = random.chance(0.5);
    std::vector<CursorStage> stages;
    Ids got;
    for (uint64_t stage = random.below(4);; --stage) {
      const auto consumers = static_cast<int64_t>(1 + random.below(9));
      const EpochPlan plan(sizes, 3, 1, consumers, shuffle, stages);
      stages.push_back({consumers, {}});
      for (int64_t g = 0; g < consumers; ++g) {
        const int64_t length = plan.length(g);
        // The last stage reads to the end.
        const int64_t used = stage == 0 ? length : static_cast<int64_t>(random.below(static_cast<uint64_t>(length) + 1));
        const Ids part = epoch_plan_test::ids(plan, g, 0, used);
        got.insert(got.end(), part.begin(), part.end());
        stages.back().consumed.push_back(used);
      }
      if (stage == 0) break;
    }
    std::sort(got.begin(), got.end());
    ASSERT_EQ(got, epoch_plan_test::all_of(sizes)) << round;
  }
}

TEST(EpochPlan, DealsWhatIsLeftInTheOrderOfOneConsumer) {
  const std::vector<int64_t> sizes = {4, 6, 5};
  const auto whole = EpochPlan(sizes, 3, 0, 1, true).list(0);
  const EpochPlan left(sizes, 3, 0, 2, true, {{1, {7}}});
  for (int64_t n = 0; n < 8; ++n) EXPECT_EQ(left.at(n % 2, n / 2), whole[static_cast<size_t>(7 + n)]);
}

TEST(BatchTurns, GoesRoundTheWorkersAndLetsThoseThatAreDoneDropOut) {
  BatchTurns turns({5, 2, 9}, {0, 0, 0}, 2, EpochEnd::exact);
  EXPECT_EQ(turns.remaining(), 3 + 1 + 5);
  std::vector<int64_t> workers, counts;
  while (turns.remaining() > 0) {
    const auto turn = turns.next();
    workers.push_back(turn.worker);
    counts.push_back(turn.count);
  }
  EXPECT_EQ(workers, (std::vector<int64_t>{0, 1, 2, 0, 2, 0, 2, 2, 2}));
  EXPECT_EQ(counts, (std::vector<int64_t>{2, 2, 2, 2, 2, 1, 2, 2, 1}));
  EXPECT_EQ(turns.next().worker, -1);
}

TEST(BatchTurns, GoesOnFromAnyPointAsIfItHadNotStopped) {
  for (const EpochEnd end : {EpochEnd::exact, EpochEnd::drop, EpochEnd::pad}) {
    BatchTurns whole({5, 2, 9, 0}, {0, 0, 0, 0}, 2, end);
    for (int i = 0; i < 14; ++i) {
      BatchTurns copy({5, 2, 9, 0}, whole.used(), 2, end);
      EXPECT_EQ(copy.remaining(), whole.remaining());
      const auto a = whole.next(), b = copy.next();
      EXPECT_EQ(std::tuple(a.worker, a.begin, a.count), std::tuple(b.worker, b.begin, b.count)) << i;
    }
  }
}

TEST(BatchTurns, DropsShortBatchesOrFillsThemUp) {
  BatchTurns drop({5, 1}, {0, 0}, 2, EpochEnd::drop);
  EXPECT_EQ(drop.remaining(), 2);
  drop.next(), drop.next();
  EXPECT_EQ(drop.next().worker, -1);
  BatchTurns pad({3, 0}, {0, 0}, 2, EpochEnd::pad);
  EXPECT_EQ(pad.remaining(), 2);
  for (int i = 0; i < 5; ++i) {
    const auto turn = pad.next();
    EXPECT_EQ(std::tuple(turn.worker, turn.begin, turn.count), std::tuple(0, 2 * i, 2));
  }
  EXPECT_THROW(parse_epoch_end("Exact"), Error);
}

TEST(ResampledOrder, SkipsAsIfItHadRead) {
  const std::vector<int64_t> sizes = {3, 0, 5, 1};
  ResampledOrder read(sizes, {}, 4, 1, 2);
  for (int64_t n = 0; n < 200; ++n) {
    ResampledOrder skipped(sizes, {}, 4, 1, 2);
    skipped.skip(n);
    EXPECT_EQ(skipped.draws(), read.draws());
    EXPECT_EQ(skipped.position(), read.position());
    EXPECT_EQ(skipped.next(), read.next());
  }
}

TEST(ResampledOrder, DrawsByWeight) {
  ResampledOrder order({1, 1, 1}, {1, 0, 3}, 4, 1, 0);
  std::vector<int> counts(3, 0);
  for (int i = 0; i < 4000; ++i) ++counts[static_cast<size_t>(order.draw())];
  EXPECT_EQ(counts[1], 0);
  EXPECT_NEAR(counts[2], 3000, 120);
  EXPECT_THROW(ResampledOrder({0, 5}, {1, 0}, 1, 0, 0), Error);
  EXPECT_THROW(ResampledOrder({}, {}, 1, 0, 0), Error);
}

TEST(Cursor, ReadsWhatItWrote) {
  Cursor cursor;
  cursor.seed = ~uint64_t(0);
  cursor.epoch = 3;
  cursor.world_size = 2;
  cursor.consumed = {4, 5};
  cursor.sizes_hash = "18446744073709551615";
  cursor.step = 77;
  cursor.earlier = {{3, {1, 2, 3}}};
  const auto json = cursor.to_json();
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["consumers"], 2);
  EXPECT_EQ(Cursor::from_json(nlohmann::json::parse(json.dump())).to_json(), json);
}

TEST(Cursor, RefusesOneThatDoesNotFitItself) {
  Cursor cursor;
  cursor.consumed = {4};
  cursor.sizes_hash = "1";
  const nlohmann::json good = nlohmann::json::parse(cursor.to_json().dump());
  EXPECT_NO_THROW(Cursor::from_json(good));
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, nlohmann::json>>{{"version", 2},
                                                           {"consumed", {1, 2}},
                                                           {"consumed", {-1}},
                                                           {"consumers", 2},
                                                           {"world_size", 0},
                                                           {"epoch", -1},
                                                           {"seed", "x"},
                                                           {"earlier", {{{"consumers", 2}, {"consumed", {1}}}}},
                                                           {"earlier", 3}}) {
    auto bad = good;
    bad[key] = value;
    EXPECT_THROW(Cursor::from_json(bad), Error) << key << value;
  }
  for (const char* key : {"version", "seed", "epoch", "consumers", "consumed", "sizes_hash"}) {
    auto bad = good;
    bad.erase(key);
    EXPECT_THROW(Cursor::from_json(bad), Error) << key;
  }
}

}  // namespace vlm::test
