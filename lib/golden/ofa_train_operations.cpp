#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/tensor.h>

#include <cmath>
#include <optional>
#include <set>

#include "vlm/golden/ofa_case.h"
#include "vlm/losses/label_smoothed_cross_entropy.h"
#include "vlm/models/names/ofa_names.h"
#include "vlm/models/tuning.h"

namespace vlm::golden {

namespace ofa_train_operations {

LabelSmoothedCrossEntropyOptions criterion(const Case& c, const OfaModel& model) {
  LabelSmoothedCrossEntropyOptions out;
  out.label_smoothing = c.param("label_smoothing", 0.0);
  out.constraint_range = c.param("constraint_range", std::vector<int64_t>());
  out.ignore_prefix_size = c.param("ignore_prefix_size", int64_t(0));
  out.ignore_eos = c.param("ignore_eos", false);
  out.drop_worst_ratio = c.param("drop_worst_ratio", 0.0);
  out.drop_worst_after = c.param("drop_worst_after", int64_t(0));
  out.use_rdrop = c.param("use_rdrop", false);
  out.reg_alpha = c.param("reg_alpha", 1.0);
  out.sentence_avg = c.param("sentence_avg", false);
  out.pad_id = model.architecture().pad;
  out.eos_id = model.architecture().eos;
  return out;
}

/// Prompts and adapters leave the rest as it is.
void freeze(OfaModel& model) {
  const OfaConfig& config = model.architecture();
  if (!config.encoder_prompt.on && !config.decoder_prompt.on && !config.adapter) return;
  std::set<std::string> tuned;
  if (config.adapter) tuned.merge(tuned_parameters(model, {.kind = "adapter"}));
  if (config.encoder_prompt.on || config.decoder_prompt.on) tuned.merge(tuned_parameters(model, {.kind = "prefix"}));
  for (auto& [name, tensor] : model.trainable()) Tensor(tensor).set_requires_grad(tuned.count(name) > 0);
}

SequenceLoss loss_of(const Case& c, OfaModel& model, const std::string& prefix) {
  const auto encoded = model.encode(ofa_instruction(c, prefix));
  const auto take = [&](const char* name) { return c.has_in(prefix + name) ? c.in(prefix + name) : Tensor(); };
  const SequenceTargets targets{c.in(prefix + "target"), take("conf"), take("constraint_masks")};
  return label_smoothed_cross_entropy(model.reply_logits(*encoded, c.in(prefix + "prev_output_tokens")), targets, criterion(c, model), c.param("update_num", int64_t(0)));
}

Result step(const Case& c, bool two_batches) {
  const auto model = ofa_model(c);
  freeze(*model);
  model->set_training(c.param("train", true));
  SequenceLoss loss = loss_of(c, *model, two_batches ? "v1." : "");
  if (two_batches) loss = sum_of_means(loss, loss_of(c, *model, "v2."));
  loss.loss.backward();
  Result result;
  result.set("out.loss", loss.loss.detach());
  result.set("out.sample_size", at::tensor(loss.sample_size, at::kLong));
  const bool fairseq = c.param<std::string>("layout", "hf") == "fairseq";
  TensorMap gradients, state;
  for (const auto& [name, tensor] : model->state()) {
    state.emplace(name, tensor);
    if (tensor.grad().defined()) gradients.emplace(name, tensor.grad());
  }
  if (fairseq) {
    gradients = ofa_from_hf(gradients);
    state = ofa_from_hf(state);
  }
  std::vector<double> norms;
  double total = 0;
  for (const auto& [name, gradient] : gradients) total += std::pow(at::linalg_vector_norm(gradient).item<double>(), 2);
  for (const auto& name : c.param("grad_norm_names", std::vector<std::string>())) {
    const auto found = gradients.find(name);
    norms.push_back(found == gradients.end() ? 0.0 : at::linalg_vector_norm(found->second).item<double>());
  }
  result.set("out.grad_norms", at::tensor(norms, at::kFloat));
  result.set("out.total_grad_norm", std::sqrt(total));
  for (const auto& [name, gradient] : gradients) {
    if (c.wants("grad." + name)) result.set("grad." + name, gradient);
  }
  for (const auto& [name, tensor] : state) {
    if (c.wants("out.buffer." + name)) result.set("out.buffer." + name, tensor);
  }
  return result;
}

Result train_step(const Case& c) { return step(c, false); }
Result pretrain_step(const Case& c) { return step(c, true); }

}  // namespace ofa_train_operations

void add_ofa_train_operations(Operations& operations) {
  operations["ofa.train_step"] = ofa_train_operations::train_step;
  operations["ofa.pretrain_step"] = ofa_train_operations::pretrain_step;
}

}  // namespace vlm::golden
