#include "vlm/train/ema.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

double cosine_with_warmup(double base, double final, int64_t step, int64_t total_steps, int64_t warmup_steps) {
  if (step < warmup_steps) return warmup_steps == 1 ? 0 : base * static_cast<double>(step) / static_cast<double>(warmup_steps - 1);
  const double x = static_cast<double>(step - warmup_steps) / static_cast<double>(std::max<int64_t>(1, total_steps - warmup_steps));
  return final + 0.5 * (base - final) * (1 + std::cos(M_PI * std::min(x, 1.0)));
}

double ema_decay(const EmaOptions& options, int64_t step, int64_t total_steps) {
  const bool cosine = options.schedule == "cosine";
  if (!cosine && options.schedule != "constant") {
    fail_usage("unknown ema.schedule '", options.schedule, "'", did_you_mean(options.schedule, {"constant", "cosine"}), "; there are: constant, cosine");
  }
  if (step < options.start_step) return 0;
  return cosine ? cosine_with_warmup(options.decay, options.final_decay, step, total_steps, options.warmup_steps) : options.decay;
}

Ema::Ema(std::vector<NamedTensor> state, const EmaOptions& options) : model_(std::move(state)), options_(options) {
  if (!(options.decay >= 0 && options.decay <= 1)) fail_usage("ema.decay is ", options.decay, "; it is a part from 0 to 1");
  ema_decay(options, 0, 1);
  for (const auto& [name, tensor] : model_) {
    const bool low = tensor.is_floating_point() && tensor.element_size() < 4;
    average_.push_back(tensor.detach().to(low ? at::kFloat : tensor.scalar_type(), /*non_blocking=*/false, /*copy=*/true));
  }
}

void Ema::update(int64_t step, int64_t total_steps) {
  if (swapped_) fail("the average of the weights cannot be updated while the model computes with it");
  at::NoGradGuard no_grad;
  const double decay = ema_decay(options_, step, total_steps);
  for (size_t i = 0; i < model_.size(); ++i) {
    const Tensor now = model_[i].tensor.detach();
    const bool averaged = model_[i].tensor.requires_grad() || options_.average_buffers;
    if (averaged && now.is_floating_point() && decay > 0) {
      average_[i].mul_(decay).add_(now, 1 - decay);
    } else {
      average_[i].copy_(now);
    }
  }
}

TensorMap Ema::state() const {
  TensorMap out;
  for (size_t i = 0; i < model_.size(); ++i) out[model_[i].name] = average_[i];
  return out;
}

void Ema::load_state(const TensorMap& state) {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < model_.size(); ++i) {
    const auto it = state.find(model_[i].name);
    if (it == state.end()) fail("the average of the weights lacks '", model_[i].name, "'; was it saved for another model?");
    if (it->second.numel() != average_[i].numel()) {
      fail("the average of '", model_[i].name, "' has ", it->second.numel(), " elements, not ", average_[i].numel());
    }
  }
  for (size_t i = 0; i < model_.size(); ++i) average_[i].copy_(state.at(model_[i].name).reshape(average_[i].sizes()));
}

Ema::Swap::Swap(Ema& ema) : ema_(ema) {
  if (ema.swapped_) fail("the model computes with the average of its weights already");
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < ema.model_.size(); ++i) {
    own_.push_back(ema.model_[i].tensor.detach().clone());
    ema.model_[i].tensor.detach().copy_(ema.average_[i]);
  }
  ema.swapped_ = true;
}

Ema::Swap::~Swap() {
  at::NoGradGuard no_grad;
  for (size_t i = 0; i < own_.size(); ++i) ema_.model_[i].tensor.detach().copy_(own_[i]);
  ema_.swapped_ = false;
}

}  // namespace vlm
