#include "vlm/text/bpe.h"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <set>
#include <thread>

#include "vlm/core/rng.h"

namespace vlm {

namespace bpe_test {

/// The definition, word for word.
std::vector<int32_t> brute_force(std::vector<int32_t> word, const std::vector<std::array<int32_t, 3>>& merges) {
  for (;;) {
    size_t best = merges.size();
    for (size_t i = 0; i + 1 < word.size(); ++i) {
      for (size_t rank = 0; rank < best; ++rank) {
        if (merges[rank][0] == word[i] && merges[rank][1] == word[i + 1]) best = rank;
      }
    }
    if (best == merges.size()) return word;
    std::vector<int32_t> out;
    for (size_t i = 0; i < word.size(); ++i) {
      if (i + 1 < word.size() && word[i] == merges[best][0] && word[i + 1] == merges[best][1]) {
        out.push_back(merges[best][2]);
        ++i;
      } else {
        out.push_back(word[i]);
      }
    }
    word = out;
  }
}

}  // namespace bpe_test

TEST(BpeMerges, AgreesWithItsDefinitionOnShortAndLongWords) {
  SplitMix64 random(7);
  for (int trial = 0; trial < 200; ++trial) {
    BpeMerges merges;
    std::vector<std::array<int32_t, 3>> table;
    std::set<std::pair<int32_t, int32_t>> seen;
    const auto symbols = static_cast<int32_t>(2 + random.below(3));
    int32_t next = symbols;
    while (table.size() < 12) {
      const auto left = static_cast<int32_t>(random.below(uint64_t(next))), right = static_cast<int32_t>(random.below(uint64_t(next)));
      if (!seen.insert({left, right}).second) continue;
      table.push_back({left, right, next});
      merges.add(left, right, next++);
    }
    for (const size_t length : {size_t(1), size_t(2), size_t(7), size_t(48), size_t(49), size_t(200)}) {
      std::vector<int32_t> word;
      for (size_t i = 0; i < length; ++i) word.push_back(static_cast<int32_t>(random.below(uint64_t(symbols))));
      auto got = word;
      merges.apply(got);
      ASSERT_EQ(got, bpe_test::brute_force(word, table)) << "trial " << trial << ", length " << length;
    }
  }
}

TEST(BpeMerges, DoesNotTakeQuadraticTimeForAHostileWord) {
  BpeMerges merges;
  for (int32_t i = 0; i < 16; ++i) merges.add(i, i, i + 1);
  std::vector<int32_t> word(1 << 20, 0);
  merges.apply(word);
  EXPECT_EQ(word.size(), 16u);
}

TEST(WordCache, GivesBackWhatItWasToldFromManyThreads) {
  WordCache cache;
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      SplitMix64 random(uint64_t(t) + 1);
      for (int i = 0; i < 20000; ++i) {
        const auto n = static_cast<int64_t>(random.below(5000));
        const std::string word = "w" + std::to_string(n);
        std::vector<int64_t> ids{-7};
        if (!cache.append(word, ids)) {
          const int64_t fresh[] = {n, n + 1};
          cache.remember(word, fresh, 2);
        } else if (ids != std::vector<int64_t>{-7, n, n + 1}) {
          ++wrong;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  std::vector<int64_t> ids;
  EXPECT_FALSE(cache.append(std::string(1000, 'x'), ids));
}

TEST(ByteSymbols, MapEveryByteToItsOwnPrintableCharacterAndBack) {
  const ByteSymbols bytes;
  std::set<std::string> distinct;
  for (int byte = 0; byte < 256; ++byte) {
    EXPECT_EQ(bytes.to_bytes(bytes.symbol[byte]), std::string(1, static_cast<char>(byte)));
    distinct.insert(bytes.symbol[byte]);
  }
  EXPECT_EQ(distinct.size(), 256u);
  EXPECT_EQ(bytes.symbol[' '], "Ġ");
  EXPECT_EQ(bytes.order[0], '!');
  EXPECT_EQ(bytes.order[188], 0);
}

}  // namespace vlm
