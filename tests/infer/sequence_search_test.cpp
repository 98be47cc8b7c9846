#include "vlm/infer/sequence_search.h"

#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "toy_replies.h"
#include "vlm/core/error.h"

namespace vlm {
namespace sequence_test {

using testing::toy_tokens;
using testing::ToyLogits;
using testing::ToyState;
using Ids = std::vector<int64_t>;
constexpr float no = -std::numeric_limits<float>::infinity();

struct Setting {
  ToyLogits logits;
  SequenceSearchOptions options;
  std::vector<Ids> answers;   // of the trie
  std::vector<Ids> prefixes;  // of each row, not padded
  int64_t rows = 3;
};

Tensor padded_prefix(const Setting& s) {
  if (s.prefixes.empty()) return {};
  size_t columns = 0;
  for (const Ids& prefix : s.prefixes) columns = std::max(columns, prefix.size());
  Tensor out = at::full({s.rows, static_cast<int64_t>(columns)}, toy_tokens.pad, at::kLong);
  for (size_t i = 0; i < s.prefixes.size(); ++i) std::copy(s.prefixes[i].begin(), s.prefixes[i].end(), out.data_ptr<int64_t>() + i * columns);
  return out;
}

struct Run {
  std::vector<std::vector<SequenceHypothesis>> found;
  int64_t rows_fed = 0, steps = 0;
};

Run run(Setting s, bool leaves_out = true) {
  ToyState state(s.logits, s.rows, leaves_out);
  if (!s.answers.empty()) s.options.trie = std::make_shared<const TokenTrie>(s.answers, toy_tokens.end);
  Run out;
  out.found = sequence_search(state, s.rows, 7, toy_tokens, {.size = s.logits.vocabulary, .unknown = 3}, padded_prefix(s), s.options);
  out.rows_fed = state.rows_fed;
  out.steps = state.steps;
  return out;
}

/// Which ids `answers` allow after `ids` (begin included), as the reference's trie does.
Ids allowed(const std::vector<Ids>& answers, const Ids& ids) {
  std::set<int64_t> out;
  bool known = false;
  for (const Ids& answer : answers) {
    Ids whole = {0};
    whole.insert(whole.end(), answer.begin(), answer.end());
    whole.push_back(2);
    if (ids.size() > whole.size() || !std::equal(ids.begin(), ids.end(), whole.begin())) continue;
    known = true;
    if (ids.size() < whole.size()) out.insert(whole[ids.size()]);
  }
  if (!known) return {2};
  return {out.begin(), out.end()};
}

/// The rules of the specification, one after the other, over whole tables of K x V scores: slow, and without anything clever.
std::vector<SequenceHypothesis> literal(const Setting& s, int64_t row) {
  const SequenceSearchOptions& o = s.options;
  const int64_t vocabulary = s.logits.vocabulary, beams = std::min(o.beam, vocabulary - 1);
  const auto max_len = std::min(static_cast<int64_t>(o.max_len_a * 7 + static_cast<double>(o.max_len_b)), toy_tokens.max_length - 1);
  size_t columns = 0;
  for (const Ids& prefix : s.prefixes) columns = std::max(columns, prefix.size());
  const Ids prefix = s.prefixes.empty() ? Ids() : s.prefixes[static_cast<size_t>(row)];
  int64_t from = -1, to = -1;
  if (!o.constraint_range.empty()) {
    from = std::stoll(o.constraint_range);
    to = std::stoll(o.constraint_range.substr(o.constraint_range.find(',') + 1));
  }
  std::vector<Ids> ids(static_cast<size_t>(beams), {toy_tokens.begin});
  std::vector<std::vector<float>> sums(static_cast<size_t>(beams));
  std::vector<bool> ignored(static_cast<size_t>(beams), false);
  std::vector<SequenceHypothesis> finished;
  for (int64_t t = 0; t <= max_len; ++t) {
    struct Entry {
      float score;
      int64_t beam, token;
    };
    std::vector<Entry> entries;
    for (int64_t k = 0; k < (t == 0 ? 1 : beams); ++k) {
      const Ids& so_far = ids[static_cast<size_t>(k)];
      Tensor logits = at::tensor(s.logits(row, so_far)).div_(o.temperature);
      float* x = logits.data_ptr<float>();
      const auto constrain = [&](float* values, const Ids& after) {
        if (!s.answers.empty()) {
          const Ids next = allowed(s.answers, after);
          for (int64_t v = 0; v < vocabulary; ++v) {
            if (std::find(next.begin(), next.end(), v) == next.end()) values[v] = no;
          }
        }
        if (from >= 0) {
          for (int64_t v = 0; v < vocabulary; ++v) {  // special ids stay, unless the range ends below them
            if ((v >= 4 && v < from) || v >= to) values[v] = no;
          }
        }
      };
      const auto length = static_cast<int64_t>(prefix.size());
      if (!o.zero_shot && (s.answers.empty() || t >= length)) {
        Ids after = {0};
        if (t >= length) after.insert(after.end(), so_far.begin() + 1 + length, so_far.end());
        constrain(x, after);
      }
      Tensor lprobs = at::log_softmax(logits, 0);
      float* p = lprobs.data_ptr<float>();
      if (o.zero_shot) constrain(p, so_far);
      if (t < std::min(static_cast<int64_t>(columns), max_len)) {
        for (int64_t v = 0; t < length && v < vocabulary; ++v) {
          if (v != prefix[static_cast<size_t>(t)]) p[v] = no;
        }
      } else if (t < o.min_len) {
        p[2] = no;
      }
      for (int64_t v = 0; v < vocabulary; ++v) {
        if (std::isnan(p[v])) p[v] = no;
      }
      p[1] = no;
      p[3] -= static_cast<float>(o.unk_penalty);
      for (int64_t v = 0; v < 4 && (o.gen_code || o.gen_box) && t < max_len; ++v) p[v] = no;
      if (o.gen_box) {
        p[vocabulary - 1] = no;
        for (int64_t v = from; v < vocabulary && (t + 1) % 5 == 0; ++v) p[v] = no;
      }
      if (t == max_len) {
        for (int64_t v = 0; v < vocabulary; ++v) p[v] = v == 2 ? (o.ignore_eos ? 1.0F : p[v]) : no;
      }
      const int64_t n = o.no_repeat_ngram;
      for (size_t i = 0; n > 0 && i + static_cast<size_t>(n) <= so_far.size(); ++i) {
        const Ids gram(so_far.begin() + static_cast<std::ptrdiff_t>(i), so_far.begin() + static_cast<std::ptrdiff_t>(i) + n);
        if (std::equal(gram.begin(), gram.end() - 1, so_far.end() - (n - 1))) p[gram.back()] = no;
      }
      for (int64_t v = 0; v < vocabulary; ++v) entries.push_back({t == 0 ? p[v] : p[v] + sums[static_cast<size_t>(k)].back(), k, v});
    }
    std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) { return a.score > b.score; });
    entries.resize(std::min(static_cast<size_t>(2 * beams), entries.size() - 1));
    std::vector<size_t> going, masked;
    for (size_t rank = 0; rank < entries.size(); ++rank) {
      const Entry& e = entries[rank];
      const bool first = static_cast<int64_t>(rank) < beams, skip = first && ignored[rank], ends = e.token == 2 && e.score > no;
      if (ends && first && !skip && static_cast<int64_t>(finished.size()) < beams) {
        SequenceHypothesis h;
        const auto& parent = sums[static_cast<size_t>(e.beam)];
        h.ids.assign(ids[static_cast<size_t>(e.beam)].begin() + 1, ids[static_cast<size_t>(e.beam)].end());
        h.ids.push_back(2);
        for (size_t i = 0; i < parent.size(); ++i) h.positional_scores.push_back(i == 0 ? parent[0] : parent[i] - parent[i - 1]);
        h.positional_scores.push_back(parent.empty() ? e.score : e.score - parent.back());
        h.score = o.normalize_scores ? e.score / static_cast<float>(std::pow(static_cast<double>(t + 1), o.len_penalty)) : e.score;
        finished.push_back(h);
      }
      (ends || skip ? masked : going).push_back(rank);
    }
    if (static_cast<int64_t>(finished.size()) == beams) break;
    const size_t count = going.size();
    going.insert(going.end(), masked.begin(), masked.end());
    std::vector<Ids> next_ids;
    std::vector<std::vector<float>> next_sums;
    for (size_t i = 0; i < static_cast<size_t>(beams); ++i) {
      const Entry& e = entries[going[i]];
      next_ids.push_back(ids[static_cast<size_t>(e.beam)]);
      next_ids.back().push_back(e.token);
      next_sums.push_back(sums[static_cast<size_t>(e.beam)]);
      next_sums.back().push_back(e.score);
      ignored[i] = i >= count;
    }
    ids = next_ids;
    sums = next_sums;
  }
  std::stable_sort(finished.begin(), finished.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  if (static_cast<int64_t>(finished.size()) > o.n_best) finished.resize(static_cast<size_t>(o.n_best));
  return finished;
}

void expect_literal(const Setting& s, const Run& run, float tolerance, const std::string& what) {
  for (int64_t row = 0; row < s.rows; ++row) {
    const auto expected = literal(s, row);
    const auto& found = run.found[static_cast<size_t>(row)];
    ASSERT_EQ(found.size(), expected.size()) << what << " row " << row;
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].ids, expected[i].ids) << what << " row " << row << " hypothesis " << i;
      EXPECT_NEAR(found[i].score, expected[i].score, tolerance) << what << " row " << row;
      ASSERT_EQ(found[i].positional_scores.size(), expected[i].positional_scores.size());
      for (size_t k = 0; k < found[i].positional_scores.size(); ++k) EXPECT_NEAR(found[i].positional_scores[k], expected[i].positional_scores[k], tolerance) << what;
    }
  }
}

Setting drawn_setting(uint64_t number, bool closed) {
  SplitMix64 random(mix({number, 99}));
  Setting s;
  s.logits.seed = number;
  s.logits.vocabulary = 6 + static_cast<int64_t>(random.below(9));
  s.logits.grid = closed || random.chance(0.3) ? 0 : 0.5;
  SequenceSearchOptions& o = s.options;
  o.beam = 1 + static_cast<int64_t>(random.below(7));
  o.n_best = 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(o.beam)));
  o.max_len_b = 1 + static_cast<int64_t>(random.below(7));
  o.max_len_a = random.chance(0.2) ? 0.15 : 0;
  o.min_len = static_cast<int64_t>(random.below(static_cast<uint64_t>(std::min<int64_t>(3, o.max_len_b + 1))));
  o.normalize_scores = random.chance(0.6);
  o.len_penalty = random.chance(0.5) ? 1.0 : random.uniform(-0.5, 2.0);
  o.unk_penalty = random.chance(0.5) ? 0.0 : random.uniform(-1.0, 2.0);
  o.temperature = random.chance(0.6) ? 1.0 : random.uniform(0.5, 2.0);
  o.no_repeat_ngram = random.chance(0.5) ? 0 : 1 + static_cast<int64_t>(random.below(3));
  o.ignore_eos = random.chance(0.1);
  o.zero_shot = random.chance(0.3);
  if (random.chance(0.4)) {
    for (int64_t row = 0; row < s.rows; ++row) {
      Ids prefix;
      for (uint64_t k = random.below(4); k > 0; --k) prefix.push_back(3 + static_cast<int64_t>(random.below(static_cast<uint64_t>(s.logits.vocabulary - 3))));
      s.prefixes.push_back(prefix);
    }
    s.prefixes[0].push_back(5);  // one at least
  }
  if (!closed) return s;
  if (random.chance(0.3)) {
    const auto from = static_cast<int64_t>(random.below(static_cast<uint64_t>(s.logits.vocabulary)));
    o.constraint_range = concat(from, ",", from + 1 + static_cast<int64_t>(random.below(6)));
    o.gen_code = random.chance(0.3);
    o.gen_box = random.chance(0.3);
  } else {
    for (uint64_t i = 1 + random.below(8); i > 0; --i) {
      Ids answer;
      for (uint64_t k = 1 + random.below(3); k > 0; --k) answer.push_back(4 + static_cast<int64_t>(random.below(static_cast<uint64_t>(s.logits.vocabulary - 4))));
      s.answers.push_back(answer);
    }
  }
  return s;
}

}  // namespace sequence_test

using sequence_test::Ids;
using sequence_test::run;
using sequence_test::Setting;

TEST(SequenceSearch, FollowsTheRulesToTheLastBitAndTie) {
  for (uint64_t number = 0; number < 250; ++number) {
    const Setting s = sequence_test::drawn_setting(number, false);
    sequence_test::expect_literal(s, run(s), 0.0F, concat("setting ", number));
    if (HasFailure()) return;
  }
}

TEST(SequenceSearch, FollowsTheRulesWithTriesAndRanges) {
  for (uint64_t number = 1000; number < 1250; ++number) {
    const Setting s = sequence_test::drawn_setting(number, true);
    sequence_test::expect_literal(s, run(s), 1e-5F, concat("setting ", number));
    if (HasFailure()) return;
  }
}

TEST(SequenceSearch, ADecoderThatCannotLeavePicturesOutGivesTheSame) {
  bool fed_less = false;
  for (uint64_t number = 2000; number < 2060; ++number) {
    const Setting s = sequence_test::drawn_setting(number, number % 2 == 0);
    const auto with = run(s, true), without = run(s, false);
    for (size_t row = 0; row < with.found.size(); ++row) {
      ASSERT_EQ(with.found[row].size(), without.found[row].size());
      for (size_t i = 0; i < with.found[row].size(); ++i) {
        EXPECT_EQ(with.found[row][i].ids, without.found[row][i].ids);
        EXPECT_EQ(with.found[row][i].score, without.found[row][i].score);
      }
    }
    fed_less = fed_less || with.rows_fed < without.rows_fed;
  }
  EXPECT_TRUE(fed_less);
}

// With a beam for every sequence there is, nothing can be missed.
TEST(SequenceSearch, AWideBeamFindsTheBestOfAllSequences) {
  Setting s;
  s.logits = {.vocabulary = 60, .seed = 5};
  s.rows = 2;
  s.answers = {};
  for (int64_t a = 4; a < 8; ++a) {
    s.answers.push_back({a});
    for (int64_t b = 4; b < 8; ++b) s.answers.push_back({a, b});
  }
  s.options.beam = s.options.n_best = 40;
  s.options.max_len_b = 2;
  for (const bool normalize : {false, true}) {
    s.options.normalize_scores = normalize;
    const auto found = run(s).found;
    for (int64_t row = 0; row < 2; ++row) {
      std::vector<std::pair<double, Ids>> all;
      for (Ids answer : s.answers) {
        answer.push_back(2);
        Ids so_far = {0};
        double sum = 0;
        for (const int64_t id : answer) {
          const auto logits = s.logits(row, so_far);
          double total = 0;
          for (const int64_t other : sequence_test::allowed(s.answers, so_far)) total += std::exp(static_cast<double>(logits[static_cast<size_t>(other)]));
          sum += logits[static_cast<size_t>(id)] - std::log(total);
          so_far.push_back(id);
        }
        all.emplace_back(normalize ? sum / static_cast<double>(answer.size()) : sum, answer);
      }
      std::sort(all.rbegin(), all.rend());
      ASSERT_EQ(found[static_cast<size_t>(row)].size(), all.size());
      for (size_t i = 0; i < all.size(); ++i) {
        EXPECT_EQ(found[static_cast<size_t>(row)][i].ids, all[i].second);
        EXPECT_NEAR(found[static_cast<size_t>(row)][i].score, all[i].first, 1e-5);
      }
    }
  }
}

TEST(SequenceSearch, AForcedPrefixAndASmallTrieCostOneRowAStep) {
  Setting s;
  s.answers = {{5}, {6}};
  s.prefixes = {{4, 5, 6, 7}, {7, 7, 7, 7}, {8, 4, 8, 4}};
  s.options.max_len_b = 12;
  s.options.n_best = 2;
  const auto out = run(s);
  for (const auto& found : out.found) EXPECT_EQ(found.size(), 2U);
  EXPECT_EQ(out.rows_fed, 3 * 5 + 3 * 2);  // begin and prefix, then two answers
  EXPECT_EQ(out.steps, 6);
}

TEST(SequenceSearch, APrefixThatEndsTheReplyIsTheReply) {
  Setting s;
  s.rows = 2;
  s.prefixes = {{4, 5, 2}, {6, 7, 8}};
  s.options.beam = s.options.n_best = 3;
  s.options.max_len_b = 6;
  const auto found = run(s).found;
  ASSERT_EQ(found[0].size(), 3U);  // as in the reference, every beam ends with it
  for (const auto& hypothesis : found[0]) EXPECT_EQ(hypothesis.ids, (Ids{4, 5, 2}));
  for (const auto& hypothesis : found[1]) EXPECT_EQ(Ids(hypothesis.ids.begin(), hypothesis.ids.begin() + 3), (Ids{6, 7, 8}));
}

TEST(SequenceSearch, SamplingRepeatsWithItsSeedAndVariesWithout) {
  Setting s;
  s.options.sample = true;
  s.options.beam = s.options.n_best = 3;
  s.options.max_len_b = 5;
  std::set<Ids> seen;
  for (int64_t seed = 0; seed < 20; ++seed) {
    s.options.seed = seed;
    const auto first = run(s), again = run(s, false);
    for (size_t row = 0; row < 3; ++row) {
      ASSERT_EQ(first.found[row].size(), 3U) << "each row that is drawn ends";
      for (size_t i = 0; i < 3; ++i) EXPECT_EQ(first.found[row][i].ids, again.found[row][i].ids);
      seen.insert(first.found[row][0].ids);
    }
  }
  EXPECT_GT(seen.size(), 30U);
}

TEST(SequenceSearch, SamplesComeInProportionToTheirProbability) {
  for (const int mode : {0, 1, 2}) {  // all, top k, top p
    Setting s;
    s.rows = 1;
    s.options.sample = true;
    s.options.beam = 2;
    s.options.n_best = 2;
    s.options.max_len_b = 1;
    if (mode == 1) s.options.top_k = 3;
    if (mode == 2) s.options.top_p = 0.6;
    // What may come first: anything but the end (min_len) and padding. Probabilities are those before these were taken out.
    Tensor p = at::log_softmax(at::tensor(s.logits(0, {0})), 0).exp();
    std::vector<std::pair<double, int64_t>> order;
    for (int64_t v = 0; v < 9; ++v) {
      if (v != 1 && v != 2) order.emplace_back(p[v].item<double>(), v);
    }
    std::sort(order.rbegin(), order.rend());
    if (mode == 1) order.resize(3);
    if (mode == 2) {
      double reached = 0;
      size_t kept = 0;
      while (kept < order.size() && reached < 0.6) reached += order[kept++].first;
      order.resize(kept);
      EXPECT_LT(kept, 7U);
    }
    double total = 0;
    for (const auto& [probability, id] : order) total += probability;
    std::map<int64_t, double> counts;
    const int64_t seeds = 3000;
    for (int64_t seed = 0; seed < seeds; ++seed) {
      s.options.seed = seed;
      const auto out = run(s);
      for (const auto& hypothesis : out.found[0]) {
        counts[hypothesis.ids[0]] += 1;
        EXPECT_NEAR(hypothesis.positional_scores[0], std::log(p[hypothesis.ids[0]].item<double>()), 1e-5) << "not renormalised";
      }
    }
    for (const auto& [probability, id] : order) {
      const double expected = 2 * static_cast<double>(seeds) * probability / total;
      EXPECT_NEAR(counts[id], expected, 4 * std::sqrt(expected) + 1) << "mode " << mode << " id " << id;
      counts.erase(id);
    }
    EXPECT_TRUE(counts.empty()) << "mode " << mode;
  }
}

TEST(SequenceSearch, OptionsThatContradictEachOtherAreRefused) {
  const auto refused = [](auto change) {
    Setting s;
    change(s);
    EXPECT_THROW(run(s), Error);
  };
  refused([](Setting& s) { s.options.beam = 0; });
  refused([](Setting& s) { s.options.n_best = 6; });
  refused([](Setting& s) { s.options.temperature = 0; });
  refused([](Setting& s) { s.options.top_k = 3; });
  refused([](Setting& s) { s.options.min_len = 30; });
  refused([](Setting& s) { s.options.constraint_range = "7"; });
  refused([](Setting& s) { s.options.constraint_range = "7,5"; });
  refused([](Setting& s) { s.answers = {{400}}; });
  refused([](Setting& s) {
    s.answers = {{5}};
    s.options.constraint_range = "4,6";
  });
}

}  // namespace vlm
