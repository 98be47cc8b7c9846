/// Losses of sequences against their definitions in loops, and their gradients against finite differences.

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/losses/encouraging.h"
#include "vlm/losses/scst.h"

namespace vlm {
namespace sequence_losses_test {

constexpr int64_t kVocabulary = 12;

Tensor random_logits(int64_t rows, int64_t length, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<double> numbers;
  for (int64_t i = 0; i < rows * length * kVocabulary; ++i) numbers.push_back(2 * random.normal());
  return at::tensor(numbers, at::kDouble).view({rows, length, kVocabulary}).clone();
}

/// Three rows of up to five tokens; each has one end, and two have padding behind it.
Tensor some_targets() {
  return at::tensor({4, 9, 8, 7, 2,  8, 5, 2, 1, 1,  9, 10, 11, 2, 1}, at::kLong).view({3, 5});
}

/// Allowed at every place: the right token and those with (place + token) % 3 == 0.
Tensor some_masks(const Tensor& targets) {
  Tensor masks = at::zeros_like(targets.unsqueeze(2).expand({-1, -1, kVocabulary}).contiguous(), at::kBool);
  for (int64_t b = 0; b < targets.size(0); ++b) {
    for (int64_t t = 0; t < targets.size(1); ++t) {
      for (int64_t v = 0; v < kVocabulary; ++v) masks[b][t][v] = (t + v) % 3 == 0 || v == targets[b][t].item<int64_t>();
    }
  }
  return masks;
}

struct Token {
  std::vector<double> log_p;  ///< weighted; -infinity where not allowed
  std::vector<bool> allowed;
  int64_t right = 0;
  double nll = 0, loss = 0;
};

/// The definition, token by token: those that count, before the worst are dropped.
std::vector<Token> tokens_by_hand(const Tensor& logits, const SequenceTargets& targets, const LabelSmoothedCrossEntropyOptions& o) {
  std::vector<Token> out;
  for (int64_t b = 0; b < logits.size(0); ++b) {
    for (int64_t t = o.ignore_prefix_size; t < logits.size(1); ++t) {
      Token token;
      token.right = targets.ids[b][t].item<int64_t>();
      if (token.right == o.pad_id || (o.ignore_eos && token.right == o.eos_id)) continue;
      double total = 0, smooth = 0, count = 0;
      for (int64_t v = 0; v < kVocabulary; ++v) {
        bool allowed = !targets.constraint_masks.defined() || targets.constraint_masks[b][t][v].item<bool>();
        if (!o.constraint_range.empty()) allowed = allowed && (v < 4 || (v >= o.constraint_range[0] && v < o.constraint_range[1]));
        token.allowed.push_back(allowed);
        if (allowed) total += std::exp(logits[b][t][v].item<double>());
        if (allowed) ++count;
      }
      const double weight = targets.conf.defined() ? targets.conf[b].item<double>() : 1;
      for (int64_t v = 0; v < kVocabulary; ++v) {
        token.log_p.push_back(token.allowed[size_t(v)] ? weight * (logits[b][t][v].item<double>() - std::log(total)) : -INFINITY);
        if (token.allowed[size_t(v)]) smooth -= token.log_p.back();
      }
      token.nll = -token.log_p[size_t(token.right)];
      const bool constrained = targets.constraint_masks.defined() || !o.constraint_range.empty();
      const double share = o.label_smoothing / (count - 1 + (constrained ? 1e-6 : 0));
      token.loss = (1 - o.label_smoothing - share) * token.nll + share * smooth;
      out.push_back(token);
    }
  }
  return out;
}

double sum_of_losses(const std::vector<Token>& tokens) {
  double sum = 0;
  for (const auto& token : tokens) sum += token.loss;
  return sum;
}

/// Central differences of `loss` at every element, against what backward() gives.
void expect_gradient(const Tensor& at_logits, const std::function<Tensor(const Tensor&)>& loss) {
  const Tensor leaf = at_logits.clone().requires_grad_();
  loss(leaf).backward();
  const Tensor gradient = leaf.grad().flatten().contiguous();
  const at::NoGradGuard no_graph;
  constexpr double step = 1e-5;
  for (int64_t i = 0; i < gradient.size(0); ++i) {
    Tensor moved = at_logits.clone();
    double* x = moved.mutable_data_ptr<double>() + i;
    *x += step;
    const double above = loss(moved).item<double>();
    *x -= 2 * step;
    const double below = loss(moved).item<double>();
    ASSERT_NEAR(gradient[i].item<double>(), (above - below) / (2 * step), 1e-6) << "element " << i;
  }
}

struct Setting {
  const char* name;
  LabelSmoothedCrossEntropyOptions options;
  bool conf = false, masks = false;
};

std::vector<Setting> settings() {
  return {{"plain", {}},
          {"smoothed", {.label_smoothing = 0.1}, true},
          {"masks", {.label_smoothing = 0.2}, true, true},
          {"range", {.label_smoothing = 0.2, .constraint_range = {4, 12}}},
          {"both", {.label_smoothing = 0.2, .constraint_range = {4, 12}}, false, true},
          {"ignored", {.label_smoothing = 0.1, .ignore_prefix_size = 1, .ignore_eos = true}, true}};
}

SequenceTargets targets_of(const Setting& setting, const Tensor& ids) {
  SequenceTargets targets{ids, {}, {}};
  if (setting.conf) targets.conf = at::tensor({0.7, 2.0, 0.25}, at::kDouble);
  if (setting.masks) targets.constraint_masks = some_masks(ids);
  return targets;
}

}  // namespace sequence_losses_test

namespace sequence = sequence_losses_test;

TEST(LabelSmoothedCrossEntropy, IsTheSumOfItsDefinitionOverTokens) {
  const Tensor logits = sequence::random_logits(3, 5, 1);
  for (const auto& setting : sequence::settings()) {
    SCOPED_TRACE(setting.name);
    const auto targets = sequence::targets_of(setting, sequence::some_targets());
    const auto tokens = sequence::tokens_by_hand(logits, targets, setting.options);
    const SequenceLoss loss = label_smoothed_cross_entropy(logits, targets, setting.options);
    double nll = 0;
    for (const auto& token : tokens) nll += token.nll;
    EXPECT_NEAR(loss.loss.item<double>(), sequence::sum_of_losses(tokens), 1e-9);
    EXPECT_NEAR(loss.nll.item<double>(), nll, 1e-9);
    EXPECT_EQ(loss.ntokens, static_cast<int64_t>(tokens.size()));
    EXPECT_EQ(loss.sample_size, loss.ntokens);
  }
}

TEST(LabelSmoothedCrossEntropy, HasTheGradientOfItsValue) {
  const Tensor logits = sequence::random_logits(3, 5, 2);
  for (const auto& setting : sequence::settings()) {
    SCOPED_TRACE(setting.name);
    const auto targets = sequence::targets_of(setting, sequence::some_targets());
    sequence::expect_gradient(logits, [&](const Tensor& x) { return label_smoothed_cross_entropy(x, targets, setting.options).loss; });
  }
}

TEST(LabelSmoothedCrossEntropy, DropsTheWorstTokensOnceTheUpdatesArePast) {
  const Tensor logits = sequence::random_logits(3, 5, 3);
  const SequenceTargets targets{sequence::some_targets(), {}, {}};
  LabelSmoothedCrossEntropyOptions options{.label_smoothing = 0.1, .drop_worst_ratio = 0.3, .drop_worst_after = 10};
  auto tokens = sequence::tokens_by_hand(logits, targets, options);
  ASSERT_EQ(tokens.size(), 12u);
  EXPECT_EQ(label_smoothed_cross_entropy(logits, targets, options, 10).ntokens, 12);
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.loss < b.loss; });
  tokens.resize(8);  // int(12 * 0.7)
  const SequenceLoss loss = label_smoothed_cross_entropy(logits, targets, options, 11);
  EXPECT_EQ(loss.ntokens, 8);
  EXPECT_NEAR(loss.loss.item<double>(), sequence::sum_of_losses(tokens), 1e-9);
  options.sentence_avg = true;
  EXPECT_EQ(label_smoothed_cross_entropy(logits, targets, options, 11).sample_size, 3);
}

/// The prompt of an answer has no allowed token at all; OFA pads it, and it must not touch anything.
TEST(LabelSmoothedCrossEntropy, KeepsPaddedPlacesWithoutAllowedTokensOutOfTheGradient) {
  const SequenceTargets targets{sequence::some_targets(), {}, sequence::some_masks(sequence::some_targets())};
  targets.ids.select(1, 0).fill_(1);
  targets.constraint_masks.select(1, 0).fill_(false);
  const Tensor logits = sequence::random_logits(3, 5, 4).requires_grad_();
  const SequenceLoss loss = label_smoothed_cross_entropy(logits, targets, {.label_smoothing = 0.1});
  loss.loss.backward();
  EXPECT_TRUE(std::isfinite(loss.loss.item<double>()));
  EXPECT_TRUE(logits.grad().isfinite().all().item<bool>());
  EXPECT_EQ(logits.grad().select(1, 0).abs().sum().item<double>(), 0);
}

TEST(LabelSmoothedCrossEntropy, IsZeroWhereNothingCounts) {
  const Tensor logits = sequence::random_logits(1, 3, 5).requires_grad_();
  const SequenceLoss loss = label_smoothed_cross_entropy(logits, {at::tensor({1, 1, 1}, at::kLong).view({1, 3}), {}, {}}, {.label_smoothing = 0.1});
  loss.loss.backward();
  EXPECT_EQ(loss.loss.item<double>(), 0);
  EXPECT_EQ(loss.ntokens, 0);
  EXPECT_EQ(logits.grad().abs().sum().item<double>(), 0);
}

TEST(LabelSmoothedCrossEntropy, RefusesWhatDoesNotFit) {
  const Tensor logits = sequence::random_logits(3, 5, 11);
  const Tensor ids = sequence::some_targets();
  EXPECT_THROW(label_smoothed_cross_entropy(logits, {ids + 5, {}, {}}), Error);
  EXPECT_THROW(label_smoothed_cross_entropy(logits, {ids.slice(1, 1), {}, {}}), Error);
  EXPECT_THROW(label_smoothed_cross_entropy(logits, {ids, at::tensor({1.0, 2.0}, at::kDouble), {}}), Error);
  EXPECT_THROW(label_smoothed_cross_entropy(logits, {ids, {}, {}}, {.constraint_range = {8, 13}}), Error);
  EXPECT_THROW(label_smoothed_cross_entropy(logits, {ids, {}, {}}, {.label_smoothing = 1}), Error);
}

TEST(LabelSmoothedCrossEntropy, AddsTheMeansOfTwoBatches) {
  const Tensor logits = sequence::random_logits(3, 5, 6);
  const SequenceTargets targets{sequence::some_targets(), {}, {}};
  const SequenceLoss a = label_smoothed_cross_entropy(logits, targets), b = label_smoothed_cross_entropy(logits * 2, targets, {.ignore_eos = true});
  const SequenceLoss sum = sum_of_means(a, b);
  EXPECT_NEAR(sum.loss.item<double>(), a.loss.item<double>() / 12 + b.loss.item<double>() / 9, 1e-12);
  EXPECT_EQ(sum.sample_size, 1);
}

TEST(RDrop, AddsHalfOfBothDivergences) {
  const Tensor logits = sequence::random_logits(6, 5, 7);
  for (const auto& setting : sequence::settings()) {
    SCOPED_TRACE(setting.name);
    const auto targets = sequence::targets_of(setting, sequence::some_targets()).doubled();
    auto options = setting.options;
    options.use_rdrop = true;
    options.reg_alpha = 0.7;
    const auto tokens = sequence::tokens_by_hand(logits, targets, options);
    const size_t half = tokens.size() / 2;
    double divergence = 0;
    for (size_t i = 0; i < half; ++i) {
      const auto &p = tokens[i].log_p, &q = tokens[i + half].log_p;
      for (size_t v = 0; v < p.size(); ++v) {
        if (tokens[i].allowed[v]) divergence += (std::exp(q[v]) * (q[v] - p[v]) + std::exp(p[v]) * (p[v] - q[v])) / 2;
      }
    }
    const SequenceLoss loss = label_smoothed_cross_entropy(logits, targets, options);
    EXPECT_NEAR(loss.kl.item<double>(), divergence, 1e-9);
    EXPECT_NEAR(loss.loss.item<double>(), sequence::sum_of_losses(tokens) + 0.7 * divergence, 1e-9);
    EXPECT_EQ(loss.sample_size, static_cast<int64_t>(tokens.size()));
    sequence::expect_gradient(logits, [&](const Tensor& x) { return label_smoothed_cross_entropy(x, targets, options).loss; });
  }
}

TEST(RDrop, DropsTheSameTokensOfBothPasses) {
  const Tensor logits = sequence::random_logits(6, 5, 8);
  const auto targets = SequenceTargets{sequence::some_targets(), {}, {}}.doubled();
  const SequenceLoss loss = label_smoothed_cross_entropy(logits, targets, {.drop_worst_ratio = 0.5, .use_rdrop = true}, 1);
  ASSERT_EQ(loss.ntokens, 12);
  EXPECT_TRUE(loss.kept.slice(0, 6).equal(loss.kept.slice(0, 0, 6) + 15));
  EXPECT_THROW(label_smoothed_cross_entropy(logits.slice(0, 0, 3), {sequence::some_targets(), {}, {}}, {.use_rdrop = true}), Error);
}

TEST(EncouragingLoss, IsCrossEntropyAndTheBonus) {
  const Tensor logits = sequence::random_logits(3, 5, 9);
  for (const double end : {0.4, 1.0}) {
    EncouragingOptions options;
    options.criterion.label_smoothing = 0.1;
    options.log_end = end;
    const SequenceTargets targets{sequence::some_targets(), {}, {}};
    const auto bonus = [&](double p) { return p > end ? (p - end) / (end - 1) + std::log(1 - end) : std::log(std::max(1 - p, 1e-5)); };
    const auto tokens = sequence::tokens_by_hand(logits, targets, options.criterion);
    double sum = sequence::sum_of_losses(tokens);
    for (const auto& token : tokens) {
      sum += 0.9 * bonus(std::exp(token.log_p[size_t(token.right)]));
      for (const double log_p : token.log_p) sum += 0.1 / 12 * bonus(std::exp(log_p));
    }
    EXPECT_NEAR(encouraging_loss(logits, targets, options).loss.item<double>(), sum, 1e-9);
    sequence::expect_gradient(logits, [&](const Tensor& x) { return encouraging_loss(x, targets, options).loss; });
  }
}

TEST(Scst, RewardsWhatIsBetterThanTheOthers) {
  const Tensor reward = scst_reward(at::tensor({1.0, 2.0, 6.0, 5.0, 5.0, 5.0}, at::kDouble), 3);
  EXPECT_TRUE(reward.equal(at::tensor({-3.0, -1.5, 4.5, 0.0, 0.0, 0.0}, at::kDouble)));
  EXPECT_THROW(scst_reward(at::tensor({1.0, 2.0}, at::kDouble), 1), Error);
  EXPECT_THROW(scst_reward(at::tensor({1.0, 2.0, 3.0}, at::kDouble), 2), Error);
}

TEST(Scst, WeighsLogProbabilitiesByTheReward) {
  const Tensor logits = sequence::random_logits(3, 5, 10), reward = at::tensor({-3.0, 0.5, 2.0}, at::kDouble);
  const auto tokens = sequence::tokens_by_hand(logits, {sequence::some_targets(), reward, {}}, {});
  const SequenceLoss loss = scst_loss(logits, sequence::some_targets(), reward);
  double sum = 0;
  for (const auto& token : tokens) sum += token.nll;
  EXPECT_NEAR(loss.loss.item<double>(), sum, 1e-9);
  EXPECT_EQ(loss.ntokens, 12);
  sequence::expect_gradient(logits, [&](const Tensor& x) { return scst_loss(x, sequence::some_targets(), reward).loss; });
}

}  // namespace vlm
