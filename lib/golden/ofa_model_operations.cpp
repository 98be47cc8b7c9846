#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <c10/core/InferenceMode.h>

#include "vlm/core/strings.h"
#include "vlm/golden/ofa_case.h"
#include "vlm/models/ofa/encoder.h"
#include "vlm/models/ofa/positions.h"
#include "vlm/models/state.h"

namespace vlm::golden {

namespace ofa_model_operations {

Result rel_buckets(const Case& c) {
  const auto tokens = c.param<int64_t>("token_bucket_size", 256), side = c.param<int64_t>("image_bucket_size", 42);
  const Tensor offsets = c.in("offsets");
  Tensor buckets = at::empty({offsets.numel()}, at::kLong);
  for (int64_t i = 0; i < offsets.numel(); ++i) buckets[i] = token_bucket(offsets[i].item<int64_t>(), tokens);
  const Tensor numbers = at::cat({at::zeros({1}, at::kLong), patch_positions(side, side, side)});
  Result result;
  result.set("out.token_bucket", buckets);
  result.set("out.image_bucket", image_buckets(numbers, numbers, side));
  return result;
}

Result resnet(const Case& c) {
  const auto model = ofa_model(c);
  model->set_training(c.param("train", false));
  const Tensor pixels = c.in("patch_images").clone().requires_grad_();
  const Tensor features = model->encoder->embed_images->forward(pixels);
  const Tensor loss = (features * c.in("cotangent")).sum();
  loss.backward();
  Result result;
  result.set("out.features", features);
  result.set("out.loss", loss);
  result.set("grad.patch_images", pixels.grad());
  for (const auto& [name, tensor] : model->state()) {
    if (c.wants("grad." + name) && tensor.grad().defined()) result.set("grad." + name, tensor.grad());
    if (c.wants("out.buffer." + name)) result.set("out.buffer." + name, tensor);
  }
  return result;
}

Result encoder(const Case& c) {
  const auto model = ofa_model(c);
  const c10::InferenceMode inference;
  const auto out = model->encode(ofa_instruction(c));
  Result result;
  result.set("out.last_hidden_state", out->states);
  result.set("out.padding_mask", out->padding.defined() ? out->padding.to(at::kLong) : at::zeros({out->states.size(0), out->states.size(1)}, at::kLong));
  result.set("out.position_embedding", out->positions);
  result.set("out.layer_input.0", out->layer_input);
  return result;
}

Result forward(const Case& c) {
  const auto model = ofa_model(c);
  const c10::InferenceMode inference;
  Result result;
  result.set("out.logits", model->reply_logits(*model->encode(ofa_instruction(c)), c.in("prev_output_tokens")));
  return result;
}

Result incremental(const Case& c) {
  const auto model = ofa_model(c);
  const c10::InferenceMode inference;
  const auto state = model->begin_reply(model->encode(ofa_instruction(c)));
  const Tensor previous = c.in("prev_output_tokens");
  std::vector<Tensor> steps;
  for (int64_t t = 0; t < previous.size(1); ++t) steps.push_back(state->step(previous.slice(1, t, t + 1)));
  Result result;
  result.set("out.logits", at::stack(steps, 1));
  return result;
}

Result mue_forward(const Case& c) {
  const auto model = ofa_model(c);
  const c10::InferenceMode inference;
  model->set_exit_thresholds({.image = c.param("img_thres", 2.0), .text = c.param("txt_thres", 2.0), .decoder = c.param("decoder_thres", 2.0)});
  const auto encoded = model->encode(ofa_instruction(c));
  Result result;
  result.set("out.encoder", encoded->states);
  result.set("out.logits", model->reply_logits(*encoded, c.in("prev_output_tokens")));
  result.set("out.exit_layers", at::tensor(model->exit_layers(), at::kLong));
  return result;
}

}  // namespace ofa_model_operations

void add_ofa_model_operations(Operations& operations) {
  using namespace ofa_model_operations;
  operations["ofa.rel_buckets"] = rel_buckets;
  operations["ofa.resnet"] = resnet;
  operations["ofa.encoder"] = encoder;
  operations["ofa.incremental"] = incremental;
  operations["ofa.mue_forward"] = mue_forward;
  for (const char* kind : {"ofa.forward", "ofa.forward_text_only", "ofa.prompt_forward", "ofa.adapter_forward"}) operations[kind] = forward;
}

}  // namespace vlm::golden
