#include "vlm/losses/label_smoothed_cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/exp.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/losses/token_likelihood.h"

namespace vlm {

namespace sequence_criterion {

void check(const Tensor& logits, const SequenceTargets& targets, const LabelSmoothedCrossEntropyOptions& options) {
  const Tensor& ids = targets.ids;
  if (logits.dim() != 3 || ids.dim() != 2 || logits.size(0) != ids.size(0) || logits.size(1) != ids.size(1)) {
    fail("a loss of sequences takes logits [B, T, V] and targets [B, T], not ", logits.sizes(), " and ", ids.sizes());
  }
  // On a GPU asking would wait for the model; there the gather fails.
  if (ids.is_cpu() && ids.numel() > 0 && ids.max().item<int64_t>() >= logits.size(2)) {
    fail("target id ", ids.max().item<int64_t>(), " is not in the model's vocabulary of ", logits.size(2), "; the tokenizer is not the model's");
  }
  if (targets.conf.defined() && (targets.conf.dim() != 1 || targets.conf.size(0) != ids.size(0))) {
    fail("a loss of sequences takes one weight for each of ", ids.size(0), " rows, not ", targets.conf.sizes());
  }
  if (targets.constraint_masks.defined() && targets.constraint_masks.sizes() != logits.sizes()) {
    fail("constraint_masks must be as large as the logits, ", logits.sizes(), ", not ", targets.constraint_masks.sizes());
  }
  if (options.use_rdrop && ids.size(0) % 2) fail("R-Drop takes each example twice, but the batch has ", ids.size(0), " rows");
  if (!(options.label_smoothing >= 0 && options.label_smoothing < 1)) {
    fail_usage("label_smoothing is ", options.label_smoothing, "; it must be at least 0 and below 1");
  }
  if (!(options.drop_worst_ratio >= 0 && options.drop_worst_ratio <= 1)) {
    fail_usage("drop_worst_ratio is ", options.drop_worst_ratio, "; it must be from 0 to 1");
  }
  const auto& range = options.constraint_range;
  if (!range.empty() && (range.size() != 2 || range[0] < 4 || range[0] > range[1] || range[1] > logits.size(2))) {
    fail_usage("constraint_range must be two ids, the smaller first, from 4 to the vocabulary's ", logits.size(2));
  }
}

/// [B, T], bool: the tokens that are no padding, nor ignored.
Tensor counted(const SequenceTargets& targets, const LabelSmoothedCrossEntropyOptions& options) {
  Tensor kept = targets.ids.ne(options.pad_id);
  if (options.ignore_prefix_size > 0) {
    kept.slice(1, 0, std::min(options.ignore_prefix_size, kept.size(1))).zero_();
  }
  if (options.ignore_eos) kept.logical_and_(targets.ids.ne(options.eos_id));
  return kept;
}

/// The share of the target that each token gets, [] or [B T] like `allowed`.
Tensor smoothing_share(const Tensor& allowed, const LabelSmoothedCrossEntropyOptions& options) {
  const Tensor tokens = allowed.sum(-1).to(at::kDouble);
  return options.label_smoothing / (options.uniform ? tokens : tokens - 1 + 1e-6);
}

/// sum of (exp q - exp p)(q - p) / 2: both divergences at once.
Tensor symmetric_divergence(const Tensor& log_p, const Tensor& allowed) {
  // What is forbidden in both passes does not tell them apart; 0 in both says so, where -infinity would give NaN.
  const Tensor finite = allowed.defined() ? log_p.masked_fill(allowed.logical_not(), 0) : log_p;
  const auto halves = finite.chunk(2, 0);
  return ((at::exp(halves[1]) - at::exp(halves[0])) * (halves[1] - halves[0])).sum() / 2;
}

Tensor rows_of(const Tensor& allowed, const Tensor& kept) {
  return allowed.defined() && allowed.dim() == 2 ? allowed.index_select(0, kept) : allowed;
}

/// The places in `loss` of those that stay.
Tensor without_worst(const Tensor& loss, const LabelSmoothedCrossEntropyOptions& options) {
  const int64_t half = options.use_rdrop ? loss.size(0) / 2 : loss.size(0);
  const auto stay = static_cast<int64_t>(static_cast<double>(half) * (1 - options.drop_worst_ratio));
  const Tensor places = std::get<1>(at::topk(loss.detach().slice(0, 0, half), stay, 0, /*largest=*/false));
  return options.use_rdrop ? at::cat({places, places + half}) : places;
}

}  // namespace sequence_criterion

SequenceTargets SequenceTargets::doubled() const {
  const auto twice = [](const Tensor& x) { return x.defined() ? at::cat({x, x}) : x; };
  return {twice(ids), twice(conf), twice(constraint_masks)};
}

Tensor allowed_tokens(const SequenceTargets& targets, const LabelSmoothedCrossEntropyOptions& options, int64_t vocabulary) {
  Tensor range;
  if (!options.constraint_range.empty()) {
    range = at::zeros({vocabulary}, targets.ids.options().dtype(at::kBool));
    range.slice(0, 0, 4).fill_(true);
    range.slice(0, options.constraint_range[0], options.constraint_range[1]).fill_(true);
  }
  if (!targets.constraint_masks.defined()) return range;
  const Tensor masks = targets.constraint_masks.to(at::kBool).reshape({-1, vocabulary});
  return range.defined() ? masks.logical_and(range) : masks;
}

Tensor log_probabilities_of(const Tensor& kept, const Tensor& logits, const SequenceTargets& targets,
                            const LabelSmoothedCrossEntropyOptions& options) {
  const int64_t length = logits.size(1), vocabulary = logits.size(2);
  const Tensor allowed = sequence_criterion::rows_of(allowed_tokens(targets, options, vocabulary), kept);
  Tensor rows = logits.reshape({-1, vocabulary}).index_select(0, kept);
  if (allowed.defined()) rows = rows.masked_fill(allowed.logical_not(), -std::numeric_limits<double>::infinity());
  Tensor log_p = at::log_softmax(rows, 1, rows.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
  if (targets.conf.defined()) {
    log_p = log_p * targets.conf.to(log_p.scalar_type()).index_select(0, kept.floor_divide(length)).unsqueeze(1);
    // A weight of 0 makes NaN of what is forbidden.
    if (allowed.defined()) log_p = log_p.masked_fill(allowed.logical_not(), -std::numeric_limits<double>::infinity());
  }
  return log_p;
}

SequenceLoss label_smoothed_cross_entropy(const Tensor& logits, const SequenceTargets& targets,
                                          const LabelSmoothedCrossEntropyOptions& options, int64_t update_num) {
  namespace criterion = sequence_criterion;
  criterion::check(logits, targets, options);
  const int64_t length = logits.size(1), vocabulary = logits.size(2);
  const double smoothing = options.label_smoothing;

  Tensor scores = logits.reshape({-1, vocabulary});  // [B T, V]
  const Tensor allowed = allowed_tokens(targets, options, vocabulary);
  if (allowed.defined()) scores = scores.masked_fill(allowed.logical_not(), -std::numeric_limits<double>::infinity());

  // Padded places are computed and then left out: choosing rows of the logits would copy them all.
  const Tensor counted = criterion::counted(targets, options).flatten();
  const Tensor ids = at::where(counted, targets.ids.flatten(), 0);
  const auto [all_nll, all_smooth] = token_likelihood(scores, ids, allowed, smoothing > 0);

  SequenceLoss out;
  out.kept = at::nonzero(counted).squeeze(1);
  const auto weigh = [&](const Tensor& values) {
    const Tensor chosen = values.index_select(0, out.kept);
    return targets.conf.defined() ? chosen * targets.conf.to(chosen.scalar_type()).index_select(0, out.kept.floor_divide(length)) : chosen;
  };
  Tensor nll = weigh(all_nll), loss = nll;  // [n]
  if (smoothing > 0) {
    const Tensor smooth = weigh(all_smooth);
    if (allowed.defined()) {
      const Tensor share = criterion::smoothing_share(criterion::rows_of(allowed, out.kept), options).to(nll.scalar_type());
      loss = (options.uniform ? nll * (1 - smoothing) : nll * (1 - smoothing - share)) + smooth * share;
    } else {
      const double share = smoothing / static_cast<double>(options.uniform ? vocabulary : vocabulary - 1);
      loss = nll * (options.uniform ? 1 - smoothing : 1 - smoothing - share) + smooth * share;
    }
  }
  if (options.drop_worst_ratio > 0 && update_num > options.drop_worst_after) {
    const Tensor stay = criterion::without_worst(loss, options);
    out.kept = out.kept.index_select(0, stay);
    loss = loss.index_select(0, stay);
    nll = nll.index_select(0, stay);
  }
  out.loss = loss.sum();
  out.nll = nll.sum();
  if (options.use_rdrop) {
    const Tensor log_p = log_probabilities_of(out.kept, logits, targets, options);
    out.kl = criterion::symmetric_divergence(log_p, criterion::rows_of(allowed, out.kept));
    out.loss = out.loss + out.kl * options.reg_alpha;
  }
  out.ntokens = out.kept.size(0);
  out.sample_size = options.sentence_avg ? targets.ids.size(0) : out.ntokens;
  return out;
}

SequenceLoss sum_of_means(const SequenceLoss& first, const SequenceLoss& second) {
  // A batch in which nothing counts has a loss of 0, not 0 / 0.
  const auto mean = [](const Tensor& sum, const SequenceLoss& of) { return sum / static_cast<double>(std::max<int64_t>(1, of.sample_size)); };
  SequenceLoss out;
  out.loss = mean(first.loss, first) + mean(second.loss, second);
  out.nll = mean(first.nll, first) + mean(second.nll, second);
  out.ntokens = first.ntokens + second.ntokens;
  out.sample_size = 1;
  return out;
}

}  // namespace vlm
