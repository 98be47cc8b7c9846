#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/text/text_infilling.h"

namespace vlm {
namespace text_infilling_test {

/// Specials, then words of one piece ("Ġ1" …) and continuations ("1" …) of the same number.
class NumberTokenizer : public Tokenizer {
 public:
  explicit NumberTokenizer(int64_t words) : Tokenizer("numbers", {0, 2, 1, 3}), words_(words) {}
  std::string clean(std::string_view text) const override { return std::string(text); }
  std::vector<int64_t> encode(std::string_view) const override { return {}; }
  std::string decode(const std::vector<int64_t>&) const override { return {}; }
  int64_t vocab_size() const override { return 4 + 2 * words_ + 2; }
  std::string id_to_piece(int64_t id) const override {
    static const char* const first[] = {"<s>", "<pad>", "</s>", "<unk>"};
    if (id < 4) return first[id];
    if (id < 4 + words_) return "\xc4\xa0" + std::to_string(id - 4);
    if (id < mask()) return std::to_string(id - 4 - words_);
    return id == mask() ? "<mask>" : "<code_0>";
  }
  std::optional<int64_t> piece_to_id(std::string_view piece) const override {
    for (int64_t id = 0; id < vocab_size(); ++id) {
      if (id_to_piece(id) == piece) return id;
    }
    return std::nullopt;
  }
  int64_t mask() const { return 4 + 2 * words_; }

 private:
  int64_t words_;
};

constexpr int64_t kWords = 300;

/// begin, `words` words of 1 to `longest` tokens, end.
std::vector<int64_t> text(int64_t words, int64_t longest, SplitMix64& random) {
  std::vector<int64_t> ids = {0};
  for (int64_t w = 0; w < words; ++w) {
    ids.push_back(4 + w);
    for (uint64_t more = random.below(static_cast<uint64_t>(longest)); more > 0; --more) ids.push_back(4 + kWords + w);
  }
  ids.push_back(2);
  return ids;
}

int64_t masks(const std::vector<int64_t>& ids) { return std::count(ids.begin(), ids.end(), NumberTokenizer(kWords).mask()); }

}  // namespace text_infilling_test

namespace infilling = text_infilling_test;

TEST(TextInfilling, KnowsWordStartsByTheirPieces) {
  const infilling::NumberTokenizer tokenizer(2);
  const std::vector<bool> expected = {true, true, true, true, true, true, false, false, false, true};
  auto table = word_start_table(tokenizer);
  EXPECT_EQ(table, expected);  // <s> <pad> </s> <unk> Ġ0 Ġ1 0 1 <mask> <code_0>
  EXPECT_EQ(infilling_ids(tokenizer).random_high, 9);
}

TEST(TextInfilling, KeepsBothEndsAndTheOrderOfWhatItLeaves) {
  const infilling::NumberTokenizer tokenizer(infilling::kWords);
  for (const char* length : {"span-poisson", "word", "subword"}) {
    for (const int64_t replace : {-1, 0, 1}) {
      const TextInfilling infill({.mask_length = length, .replace_length = replace}, tokenizer);
      for (uint64_t seed = 0; seed < 200; ++seed) {
        SplitMix64 random(seed);
        const auto ids = infilling::text(static_cast<int64_t>(random.below(40)), 3, random);
        const auto out = infill(ids, random);
        ASSERT_GE(out.size(), 2u);
        EXPECT_EQ(out.front(), 0);
        EXPECT_EQ(out.back(), 2);
        auto at = ids.begin();
        for (const int64_t id : out) {
          if (id == tokenizer.mask()) continue;
          at = std::find(at, ids.end(), id);
          ASSERT_NE(at, ids.end()) << length << ", replace_length " << replace << ", seed " << seed;
          ++at;
        }
      }
    }
  }
}

TEST(TextInfilling, HidesAWordAsAWhole) {
  const infilling::NumberTokenizer tokenizer(infilling::kWords);
  const TextInfilling infill({.mask_length = "word", .replace_length = -1}, tokenizer);
  SplitMix64 random(5);
  for (int64_t words : {1, 7, 50, 90}) {
    const auto ids = infilling::text(words, 4, random);
    const auto out = infill(ids, random);
    ASSERT_EQ(out.size(), ids.size());
    int64_t hidden = 0;
    for (size_t i = 1; i + 1 < ids.size(); ++i) {
      const bool starts = ids[i] < 4 + infilling::kWords;
      if (starts && out[i] == tokenizer.mask()) ++hidden;
      EXPECT_TRUE(starts || (out[i] == tokenizer.mask()) == (out[i - 1] == tokenizer.mask())) << "token " << i;
    }
    EXPECT_EQ(hidden, static_cast<int64_t>(std::ceil(static_cast<float>(words) * 0.3f)));
  }
}

TEST(TextInfilling, HidesTheExpectedShareInStretches) {
  const infilling::NumberTokenizer tokenizer(infilling::kWords);
  const TextInfilling each({.replace_length = -1}, tokenizer), one({.replace_length = 1}, tokenizer);
  double hidden = 0, stretches = 0;
  constexpr int draws = 400, words = 254;
  for (uint64_t seed = 0; seed < draws; ++seed) {
    SplitMix64 random(seed), again(seed);
    const auto ids = infilling::text(words, 1, random);
    infilling::text(words, 1, again);
    const auto out = each(ids, random);
    const auto inserted = static_cast<double>(out.size() - ids.size());  // nothing is removed
    hidden += (static_cast<double>(infilling::masks(out)) - inserted) / words / draws;
    stretches += (static_cast<double>(infilling::masks(one(ids, again))) - inserted) / draws;
  }
  // 0.3 is drawn; stretches that overlap or reach the end hide less.
  EXPECT_GT(hidden, 0.25);
  EXPECT_LT(hidden, 0.301);
  // 77 words in stretches of 3 / (1 - e^-3) words on average; of their first words at most the share that the other words of
  // stretches cover is lost inside another stretch.
  const double drawn = 77 * (1 - std::exp(-3.0)) / 3;
  EXPECT_GT(stretches, drawn * (1 - (77 - drawn) / words));
  EXPECT_LT(stretches, drawn);
}

TEST(TextInfilling, WritesRandomTokensOfTextOnly) {
  const infilling::NumberTokenizer tokenizer(infilling::kWords);
  const TextInfilling infill({.mask_ratio = 1, .mask_length = "word", .random_ratio = 1}, tokenizer);
  SplitMix64 random(1);
  const auto ids = infilling::text(200, 1, random), out = infill(ids, random);
  ASSERT_EQ(out.size(), ids.size());
  int64_t changed = 0;
  for (size_t i = 1; i + 1 < out.size(); ++i) {
    EXPECT_GE(out[i], 4);
    EXPECT_LT(out[i], *tokenizer.piece_to_id("<code_0>"));
    if (out[i] != ids[i]) ++changed;
  }
  EXPECT_GT(changed, 190);
}

TEST(TextInfilling, LeavesTextsWithoutWordsAlone) {
  const TextInfilling infill({}, infilling::NumberTokenizer(2));
  SplitMix64 random(1);
  EXPECT_EQ(infill({0, 2}, random), (std::vector<int64_t>{0, 2}));
  EXPECT_THROW(infill({0, 99, 2}, random), Error);
  EXPECT_THROW(TextInfilling({.mask_length = "span"}, infilling::NumberTokenizer(2)), Error);
  EXPECT_THROW(TextInfilling({.replace_length = 2}, infilling::NumberTokenizer(2)), Error);
}

TEST(PoissonLengths, HaveTheMeanAndTheShareOfNone) {
  const PoissonLengths lengths(3);
  SplitMix64 random(2);
  double sum = 0, none = 0;
  constexpr int draws = 20000;
  for (int i = 0; i < draws; ++i) {
    const int64_t length = lengths.at(random.uniform());
    sum += static_cast<double>(length);
    none += length == 0;
  }
  EXPECT_NEAR(sum / draws, 3, 0.05);
  EXPECT_NEAR(none / draws, std::exp(-3.0), 0.01);
  EXPECT_EQ(lengths.at(0), 0);
  EXPECT_EQ(lengths.at(std::nextafter(1.0, 0.0)), static_cast<int64_t>(lengths.probabilities().size()) - 1);
}

}  // namespace vlm
