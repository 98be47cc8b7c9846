#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/registry.h"
#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/core/thread_pool.h"

namespace vlm {

TEST(ErrorType, ContextIsPutInFrontOnTheWayUp) {
  try {
    with_context("outer", [] { with_context("inner", [] { fail("broken at ", 3); }); });
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "outer: inner: broken at 3");
    EXPECT_EQ(error.code(), ExitCode::failed);
  }
}

TEST(Strings, TheNearestWordIsFoundOnlyIfItIsNear) {
  EXPECT_EQ(nearest("epohcs", {"epochs", "lr", "seed"}), "epochs");
  EXPECT_EQ(nearest("banana", {"epochs", "lr", "seed"}), "");
}

TEST(Strings, ShellPatternsMatchWholeNames) {
  EXPECT_TRUE(glob_match("clip.*", "clip.vit"));
  EXPECT_TRUE(glob_match("*loss*", "clip.loss"));
  EXPECT_TRUE(glob_match("a?c", "abc"));
  EXPECT_FALSE(glob_match("clip", "clip.vit"));
  EXPECT_FALSE(glob_match("clip.?", "clip.vit"));
}

TEST(Strings, SplitKeepsEmptyParts) { EXPECT_EQ(split("a,,b,", ","), (std::vector<std::string>{"a", "", "b", ""})); }

TEST(Registry, AnUnknownNameListsWhatThereIs) {
  Registry<int> registry("objective");
  registry.add("clip", 1);
  EXPECT_EQ(registry.get("clip"), 1);
  try {
    registry.get("clpi");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'clip'"), std::string::npos);
  }
  EXPECT_THROW(registry.add("clip", 2), Error);
}

TEST(RandomStreams, SplitMixGivesThePublishedNumbers) {
  SplitMix64 random(1234567);  // the test vector of the generator's authors
  EXPECT_EQ(random.next(), 6457827717110365317ull);
  EXPECT_EQ(random.next(), 3203168211198807973ull);
}

TEST(RandomStreams, APermutationHoldsEveryNumberOnceAndDependsOnTheSeed) {
  const auto a = permutation(1000, 7), b = permutation(1000, 7), c = permutation(1000, 8);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  EXPECT_EQ(std::set<int64_t>(a.begin(), a.end()).size(), 1000u);
}

TEST(ThreadPool, GivesResultsAndExceptionsThroughTheFuture) {
  for (const int threads : {0, 3}) {
    ThreadPool pool(threads);
    std::vector<std::future<int>> futures;
    for (int i = 0; i < 100; ++i) futures.push_back(pool.submit([i] { return i * i; }));
    for (int i = 0; i < 100; ++i) EXPECT_EQ(futures[static_cast<size_t>(i)].get(), i * i);
    auto failing = pool.submit([]() -> int { fail("no"); });
    EXPECT_THROW(failing.get(), Error);
  }
}

TEST(Json, WhatIsNestedTooDeepIsRefusedLikeWhatIsNoJson) {
  EXPECT_TRUE(is_shallow_json(R"({"a": ["[[[[", "\"[[", []]})", 3));
  EXPECT_FALSE(is_shallow_json("[[[[]]]]", 3));
  EXPECT_TRUE(parse_json(std::string(1'000'000, '[') + std::string(1'000'000, ']')).is_discarded());
  EXPECT_TRUE(parse_json("{").is_discarded());
  EXPECT_EQ(parse_json(R"([{"a": [1]}])").dump(), R"([{"a":[1]}])");
}

}  // namespace vlm
