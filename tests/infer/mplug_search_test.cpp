#include "vlm/infer/mplug_search.h"

#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tiny_mplug.h"
#include "vlm/core/error.h"

namespace vlm {
namespace mplug_search_test {

using Ids = std::vector<int64_t>;

/// Probabilities of the next id by all ids so far.
using Next = std::function<std::vector<float>(const Ids&)>;

class Told : public DecoderState {
 public:
  Told(Next next, int64_t rows) : next_(std::move(next)), rows_(static_cast<size_t>(rows)) {}
  Tensor step(const Tensor& ids, const Tensor&) override {
    std::vector<Tensor> out;
    for (size_t r = 0; r < rows_.size(); ++r) {
      for (int64_t k = 0; k < ids.size(1); ++k) rows_[r].push_back(ids[static_cast<int64_t>(r)][k].item<int64_t>());
      std::vector<float> p = next_(rows_[r]);
      for (auto& value : p) value = std::log(std::max(value, 1e-9F));
      out.push_back(at::tensor(p));
    }
    return at::stack(out);
  }
  void select(const Tensor& rows) override {
    std::vector<Ids> chosen;
    for (int64_t i = 0; i < rows.size(0); ++i) chosen.push_back(rows_[static_cast<size_t>(rows[i].item<int64_t>())]);
    rows_ = std::move(chosen);
  }

 private:
  Next next_;
  std::vector<Ids> rows_;
};

const GenerationTokens tokens{.begin = 1, .end = 2, .pad = 0, .max_length = 20};

std::vector<RankedText> search(const Next& next, int64_t beams, int64_t steps, int64_t n_best, int64_t min_new = 0) {
  Told state(next, 1);
  GenerateOptions options = GenerateOptions::beam(beams, steps);
  options.rules = "mplug";
  options.min_new_tokens = min_new;
  options.length_penalty = 0.6;
  return mplug_search(state, at::full({1, 1}, 1, at::kLong), {}, tokens, options, steps, n_best).front();
}

float penalty(int64_t length) { return static_cast<float>(std::pow((5.0 + static_cast<double>(length)) / 6, 0.6)); }

}  // namespace mplug_search_test

TEST(MplugSearch, EndsWhenTheBestBeamDoesAndKeepsAllOfThem) {
  using namespace mplug_search_test;
  const Next next = [](const Ids& ids) { return ids.size() == 1 ? std::vector<float>{0, 0, 0, 0.7F, 0.3F} : std::vector<float>{0, 0, 0.9F, 0.05F, 0.05F}; };
  const auto found = search(next, 2, 10, 2);
  EXPECT_EQ(found[0].ids, (Ids{1, 3, 2}));
  EXPECT_EQ(found[1].ids, (Ids{1, 4, 2}));
  EXPECT_NEAR(found[0].score, (std::log(0.7F) + std::log(0.9F)) / penalty(2), 1e-5);
}

TEST(MplugSearch, BeamThatEndsBelowTheBestOneGoesOnBehindItsEnd) {
  using namespace mplug_search_test;
  // First step: 3 is best, the end second. The ended beam goes on with 4 and becomes the best one.
  const Next next = [](const Ids& ids) -> std::vector<float> {
    if (ids.size() == 1) return {0, 0, 0.45F, 0.55F, 0};
    if (ids[1] == 2) return ids.size() == 2 ? std::vector<float>{0, 0, 0, 0, 1} : std::vector<float>{0, 0, 1, 0, 0};
    return {0, 0, 0.1F, 0.5F, 0.4F};
  };
  const auto found = search(next, 2, 10, 2);
  EXPECT_EQ(found[0].ids, (Ids{1, 2, 4, 2}));  // text behind an end
  EXPECT_NEAR(found[0].score, std::log(0.45F) / penalty(3), 1e-5);
}

TEST(MplugSearch, OneBeamIsGreedyAndStopsAtTheLastStep) {
  using namespace mplug_search_test;
  const Next next = [](const Ids&) { return std::vector<float>{0, 0, 0.2F, 0.3F, 0.5F}; };
  EXPECT_EQ(search(next, 1, 3, 1)[0].ids, (Ids{1, 4, 4, 4}));
}

TEST(MplugSearch, EndDoesNotComeBeforeItsTime) {
  using namespace mplug_search_test;
  const Next next = [](const Ids&) { return std::vector<float>{0, 0, 0.9F, 0.06F, 0.04F}; };
  EXPECT_EQ(search(next, 2, 6, 1, 2)[0].ids, (Ids{1, 3, 3, 2}));
}

TEST(MplugSearch, FindsTheBestOfAllTextsWithEnoughBeams) {
  using namespace mplug_search_test;
  // As many beams as ids: after the first step none is cut, so two steps look at all 25 texts.
  const Next next = [](const Ids& ids) {
    std::vector<float> p(5);
    float sum = 0;
    for (size_t i = 0; i < 5; ++i) {
      p[i] = i == 2 ? 1e-9F : static_cast<float>(1 + (7 * i + 3 * static_cast<size_t>(ids.back()) + 5 * ids.size() * i) % 11);
      sum += p[i];
    }
    for (auto& value : p) value /= sum;
    return p;
  };
  float best = -1e9F;
  Ids argmax;
  for (int64_t a = 0; a < 5; ++a) {
    for (int64_t b = 0; b < 5; ++b) {
      const float sum = std::log(next({1})[static_cast<size_t>(a)]) + std::log(next({1, a})[static_cast<size_t>(b)]);
      if (sum > best) best = sum, argmax = {1, a, b};
    }
  }
  const auto found = search(next, 5, 2, 1);
  EXPECT_EQ(found[0].ids, argmax);
  EXPECT_NEAR(found[0].score, best / penalty(2), 1e-5);
}

TEST(MplugSearch, TooManyBeamsOrTextsAreRefused) {
  using namespace mplug_search_test;
  const Next next = [](const Ids&) { return std::vector<float>{0.2F, 0.2F, 0.2F, 0.2F, 0.2F}; };
  EXPECT_THROW(search(next, 6, 3, 1), Error);
  EXPECT_THROW(search(next, 2, 3, 3), Error);
}

TEST(MplugSearch, IsHowMplugWritesUnlessToldOtherwise) {
  const auto model = testing::tiny_mplug("vqa");
  const UsualSearch usual = dynamic_cast<Answerer&>(*model).usual_answer_search();
  EXPECT_EQ(usual.rules, "mplug");
  EXPECT_EQ(usual.beams, 2);
  EXPECT_EQ(usual.max_new_tokens, 5);
  EXPECT_EQ(dynamic_cast<Captioner&>(*model).usual_caption_search().max_new_tokens, 25);
}

}  // namespace vlm
