#include "vlm/infer/token_trie.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/infer/best_candidates.h"

namespace vlm {

using TrieIds = std::vector<int64_t>;

TEST(TokenTrie, SaysWhatMayFollowAnyPrefix) {
  SplitMix64 random(4);
  for (int trial = 0; trial < 50; ++trial) {
    std::vector<TrieIds> sequences;
    for (uint64_t i = random.below(12); i > 0; --i) {
      TrieIds sequence;
      for (uint64_t k = random.below(4); k > 0; --k) sequence.push_back(3 + static_cast<int64_t>(random.below(4)));
      sequences.push_back(sequence);
    }
    const TokenTrie trie(sequences, 2);
    for (int probe = 0; probe < 60; ++probe) {
      TrieIds prefix;
      for (uint64_t k = random.below(4); k > 0; --k) prefix.push_back(3 + static_cast<int64_t>(random.below(4)));
      std::set<int64_t> next;
      for (TrieIds sequence : sequences) {
        sequence.push_back(2);
        if (sequence.size() > prefix.size() && std::equal(prefix.begin(), prefix.end(), sequence.begin())) next.insert(sequence[prefix.size()]);
      }
      const auto found = trie.next(trie.find(prefix));
      const bool unknown = next.empty() && !prefix.empty();
      EXPECT_EQ(TrieIds(found.begin(), found.end()), unknown ? TrieIds{2} : TrieIds(next.begin(), next.end()));
    }
  }
}

TEST(TokenTrie, NothingFollowsTheEnd) {
  const TokenTrie trie({{5, 6}, {5}}, 2);
  EXPECT_EQ(trie.nodes(), 5);  // nothing; 5; 5 end; 5 6; 5 6 end
  EXPECT_EQ(trie.largest(), 6);
  EXPECT_TRUE(trie.next(trie.find(TrieIds{5, 2})).empty());
  EXPECT_THROW(TokenTrie({{-1}}, 2), Error);
}

TEST(BestCandidates, AreThoseOfASortWithTheLowerIndexFirstOnTies) {
  SplitMix64 random(1);
  for (int trial = 0; trial < 50; ++trial) {
    const auto vocabulary = static_cast<int64_t>(1 + random.below(700)), count = static_cast<int64_t>(1 + random.below(12));
    std::vector<Candidate> all;
    BestCandidates best(count);
    for (int64_t beam = 0; beam < 3; ++beam) {
      std::vector<float> values;
      const float base = -static_cast<float>(random.below(3));
      for (int64_t v = 0; v < vocabulary; ++v) {
        values.push_back(static_cast<float>(random.below(40)));
        all.push_back({values.back() + base, beam, v});
      }
      best.offer(beam, values.data(), nullptr, vocabulary, base);
    }
    std::stable_sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) { return a.score > b.score; });
    all.resize(std::min(all.size(), static_cast<size_t>(count)));
    const auto found = best.take();
    ASSERT_EQ(found.size(), all.size());
    for (size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(found[i].beam, all[i].beam);
      EXPECT_EQ(found[i].token, all[i].token);
      EXPECT_EQ(found[i].score, all[i].score);
    }
  }
}

}  // namespace vlm
