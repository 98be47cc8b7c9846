/// Losses of sequences (specs: ofa, 6; objectives, 3.2 to 3.4). Both topics describe the same functions under different names.

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/tensor.h>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/eval/caption_reward.h"
#include "vlm/golden/case.h"
#include "vlm/losses/encouraging.h"
#include "vlm/losses/scst.h"

namespace vlm::golden {

namespace ofa_losses {

LabelSmoothedCrossEntropyOptions criterion_options(const Case& c) {
  LabelSmoothedCrossEntropyOptions o;
  o.label_smoothing = c.param("label_smoothing", o.label_smoothing);
  o.uniform = c.param<std::string>("variant", "ofa") != "ofa";
  const auto range = c.param<std::string>("constraint_range", "");
  if (!range.empty()) {
    for (const auto& id : split(range, ",")) o.constraint_range.push_back(std::stoll(id));
  }
  o.ignore_prefix_size = c.param("ignore_prefix_size", o.ignore_prefix_size);
  o.ignore_eos = c.param("ignore_eos", o.ignore_eos);
  o.drop_worst_ratio = c.param("drop_worst_ratio", o.drop_worst_ratio);
  o.drop_worst_after = c.param("drop_worst_after", o.drop_worst_after);
  o.use_rdrop = c.param("use_rdrop", o.use_rdrop);
  o.reg_alpha = c.param("reg_alpha", o.reg_alpha);
  o.sentence_avg = c.param("sentence_avg", o.sentence_avg);
  o.pad_id = c.param("pad_id", o.pad_id);
  o.eos_id = c.param("eos_id", o.eos_id);
  return o;
}

SequenceTargets sequence_targets(const Case& c) {
  SequenceTargets out{c.in("target"), {}, {}};
  if (c.has_in("conf")) out.conf = c.in("conf");
  if (c.has_in("constraint_masks")) out.constraint_masks = c.in("constraint_masks");
  return out;
}

Result differentiated(const SequenceLoss& loss, const Tensor& logits) {
  loss.loss.backward();
  Result result;
  result.set("out.loss", loss.loss);
  result.set("out.nll_loss", loss.nll);
  if (loss.kl.defined()) result.set("out.kl", loss.kl);
  result.set("out.ntokens", at::scalar_tensor(loss.ntokens, at::kLong));
  result.set("out.sample_size", at::scalar_tensor(loss.sample_size, at::kLong));
  result.set("grad.logits", logits.grad());
  return result;
}

Tensor logits_of(const Case& c) { return c.in("logits").clone().requires_grad_(); }

Result criterion(const Case& c) {
  const Tensor logits = logits_of(c);
  return differentiated(label_smoothed_cross_entropy(logits, sequence_targets(c), criterion_options(c), c.param("update_num", int64_t(0))), logits);
}

/// R-Drop for classes is that for sequences of one token.
Result rdrop_of_classes(const Case& c) {
  const Tensor a = c.in("logits_a").clone().requires_grad_(), b = c.in("logits_b").clone().requires_grad_();
  LabelSmoothedCrossEntropyOptions options;
  options.use_rdrop = true;
  options.reg_alpha = c.param("reg_alpha", options.reg_alpha);
  options.pad_id = -100;
  const SequenceTargets targets{c.in("target").unsqueeze(1), {}, {}};
  const SequenceLoss loss = label_smoothed_cross_entropy(at::cat({a, b}).unsqueeze(1), targets.doubled(), options);
  loss.loss.backward();
  Result result;
  result.set("out.loss", loss.loss);
  result.set("out.kl", loss.kl);
  result.set("grad.logits_a", a.grad());
  result.set("grad.logits_b", b.grad());
  return result;
}

Result rdrop(const Case& c) {
  if (c.param<std::string>("variant", "ofa") == "classification") return rdrop_of_classes(c);
  const Tensor logits = logits_of(c);
  auto options = criterion_options(c);
  options.use_rdrop = true;
  SequenceTargets targets = sequence_targets(c);
  if (targets.ids.size(0) != logits.size(0)) targets = targets.doubled();
  return differentiated(label_smoothed_cross_entropy(logits, targets, options, c.param("update_num", int64_t(0))), logits);
}

Result encouraging(const Case& c) {
  const Tensor logits = logits_of(c);
  EncouragingOptions options;
  options.criterion = criterion_options(c);
  options.log_end = c.param("log_end", options.log_end);
  options.drop_best_ratio = c.param("drop_best_ratio", options.drop_best_ratio);
  options.drop_best_after = c.param("drop_best_after", options.drop_best_after);
  return differentiated(encouraging_loss(logits, sequence_targets(c), options, c.param("update_num", int64_t(0))), logits);
}

Result scst(const Case& c) {
  const Tensor logits = logits_of(c);
  const Tensor reward = c.has_in("reward") ? c.in("reward") : scst_reward(c.in("scores"), c.in("scores").size(0) / c.param("num_images", int64_t(1)));
  Result result = differentiated(scst_loss(logits, c.in("target"), reward, criterion_options(c)), logits);
  result.set("out.reward", reward);
  return result;
}

Tensor float_numbers(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

CiderOptions cider_options(const Case& c) {
  CiderOptions options;
  options.n = c.param("n", options.n);
  options.sigma = c.param("sigma", options.sigma);
  return options;
}

/// df: "corpus" (the references of the call), the frequencies themselves, or a file of them.
Result cider_d(const Case& c) {
  const auto df = c.params.value("df", nlohmann::json("corpus"));
  DocumentFrequency frequency;
  if (df.is_object()) frequency = parse_document_frequency(df, "params.df");
  if (df.is_string() && df != "corpus") frequency = read_document_frequency(c.file(df));
  Result result;
  result.set("out.scores", float_numbers(caption_rewards(c.in_strings("hypotheses"), c.params.at("references"), c.params.at("gt_index"),
                                                         df == "corpus" ? nullptr : &frequency, cider_options(c))));
  return result;
}

/// The references of a picture are joined by "&&"; the corpus comes in groups of one picture each.
Result scst_reward_of_texts(const Case& c) {
  const auto generated = c.in_strings("generated"), corpus = c.in_strings("corpus");
  std::vector<std::vector<std::string>> references, groups;
  for (const auto& joined : c.in_strings("references")) references.push_back(split(joined, "&&"));
  auto next = corpus.begin();
  for (const int64_t size : c.params.at("corpus_group_sizes").get<std::vector<int64_t>>()) {
    if (size > corpus.end() - next) fail("corpus_group_sizes speaks of more sentences than the ", corpus.size(), " of the corpus");
    groups.emplace_back(next, next + size);
    next += size;
  }
  const auto options = cider_options(c);
  const auto frequency = count_reward_frequency(groups, options.n);
  const auto samples = c.params.at("samples_per_image").get<int64_t>();
  std::vector<int64_t> picture;
  for (size_t i = 0; i < generated.size(); ++i) picture.push_back(static_cast<int64_t>(i) / samples);
  const Tensor scores = float_numbers(caption_rewards(generated, references, picture, &frequency, options));
  Result result;
  result.set("out.scores", scores);
  result.set("out.reward", scst_reward(scores, samples));
  return result;
}

}  // namespace ofa_losses

void add_ofa_loss_operations(Operations& operations) {
  operations["ofa.criterion"] = operations["loss.label_smoothed_ce"] = ofa_losses::criterion;
  operations["ofa.criterion_rdrop"] = operations["loss.rdrop"] = ofa_losses::rdrop;
  operations["ofa.encouraging_loss"] = ofa_losses::encouraging;
  operations["ofa.scst_loss"] = operations["loss.scst"] = ofa_losses::scst;
  operations["loss.scst_reward"] = ofa_losses::scst_reward_of_texts;
  operations["ofa.cider_d"] = ofa_losses::cider_d;
}

}  // namespace vlm::golden
