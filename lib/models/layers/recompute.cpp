#include "vlm/models/layers/recompute.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/ivalue.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>

#include <algorithm>
#include <atomic>
#include <mutex>

namespace vlm {

namespace recomputation {

using torch::autograd::AutogradContext;
using torch::autograd::Variable;
using torch::autograd::variable_list;
using Inputs = std::vector<Tensor>;

std::atomic<int> chunks_to_come{0};

/// The state of the default generators of the processor and of one more device.
class RandomState {
 public:
  explicit RandomState(c10::Device device) : devices_{c10::Device(c10::kCPU)} {
    if (!device.is_cpu()) devices_.push_back(device);
    for (const auto& each : devices_) {
      at::Generator generator = at::globalContext().defaultGenerator(each);
      const std::lock_guard<std::mutex> lock(generator.mutex());
      states_.push_back(generator.get_state());
    }
  }
  void restore() const {
    for (size_t i = 0; i < devices_.size(); ++i) {
      at::Generator generator = at::globalContext().defaultGenerator(devices_[i]);
      const std::lock_guard<std::mutex> lock(generator.mutex());
      generator.set_state(states_[i]);
    }
  }

 private:
  std::vector<c10::Device> devices_;
  std::vector<Tensor> states_;
};

/// Draws as at `then` while it lives, and goes on afterwards as if nothing had been drawn.
class ReplayRandom {
 public:
  ReplayRandom(const RandomState& then, c10::Device device) : now_(device) { then.restore(); }
  ~ReplayRandom() { now_.restore(); }
  ReplayRandom(const ReplayRandom&) = delete;
  ReplayRandom& operator=(const ReplayRandom&) = delete;

 private:
  RandomState now_;
};

/// Whether, and in which type, products are computed in fewer bits.
struct Autocast {
  c10::DeviceType device;
  bool enabled;
  at::ScalarType type;

  static Autocast of(c10::DeviceType device) {
    return {device, at::autocast::is_autocast_enabled(device), at::autocast::get_autocast_dtype(device)};
  }
  void apply() const {
    at::autocast::set_autocast_enabled(device, enabled);
    at::autocast::set_autocast_dtype(device, type);
  }
};

/// The same autocast as in the forward pass. Weights in fewer bits are not kept meanwhile: those made without a graph would be
/// taken for ones with it.
class ReplayAutocast {
 public:
  explicit ReplayAutocast(const Autocast& then) : before_(Autocast::of(then.device)), kept_(at::autocast::is_autocast_cache_enabled()) {
    then.apply();
    at::autocast::set_autocast_cache_enabled(false);
  }
  ~ReplayAutocast() {
    before_.apply();
    at::autocast::set_autocast_cache_enabled(kept_);
  }
  ReplayAutocast(const ReplayAutocast&) = delete;
  ReplayAutocast& operator=(const ReplayAutocast&) = delete;

 private:
  Autocast before_;
  bool kept_;
};

/// A computation that is done twice.
struct Work : torch::CustomClassHolder {
  std::function<Tensor(const Inputs&)> fn;
  std::vector<bool> defined;  ///< which inputs of fn are; the others take no part in autograd
  int64_t chunk = 0;  ///< rows of the first input at a time; 0: all at once
  c10::Device device{c10::kCPU};
  Autocast autocast{c10::kCPU, false, at::kFloat};
  std::vector<RandomState> random;  ///< one a chunk

  /// What the chunk that begins at row `first` is computed from; `given`: the inputs that are defined.
  Inputs inputs_from(at::TensorList given, int64_t first) const {
    if (chunk > 0) return {given[0].narrow(0, first, std::min(chunk, given[0].size(0) - first))};
    Inputs out;
    size_t next = 0;
    for (const bool there : defined) out.push_back(there ? given[next++] : Tensor());
    return out;
  }
  std::vector<int64_t> starts(at::TensorList inputs) const {
    std::vector<int64_t> out = {0};
    while (chunk > 0 && out.back() + chunk < inputs[0].size(0)) out.push_back(out.back() + chunk);
    return out;
  }
};

/// The same values, from which a graph can begin.
Inputs leaves_of(at::TensorList inputs) {
  Inputs out;
  for (const auto& input : inputs) out.push_back(input.detach().requires_grad_(input.requires_grad()));
  return out;
}

struct Recompute : torch::autograd::Function<Recompute> {
  /// `anchor` wants a gradient, so that the node is made also where no input does.
  static Variable forward(AutogradContext* context, const Variable& anchor, const c10::intrusive_ptr<Work>& work, at::TensorList inputs) {
    (void)anchor;
    const ReplayAutocast same(work->autocast);
    // Kernels may choose by whether a gradient is wanted, and choose alike both times only if it is wanted both times: a graph
    // is made here, too, and dropped chunk by chunk.
    const c10::AutoGradMode recording(true);
    const Inputs leaves = leaves_of(inputs);
    std::vector<Tensor> parts;
    for (const int64_t first : work->starts(leaves)) {
      work->random.emplace_back(work->device);
      parts.push_back(work->fn(work->inputs_from(leaves, first)).variable_data());
    }
    context->saved_data["work"] = c10::IValue::make_capsule(work);
    context->save_for_backward(inputs.vec());
    return parts.size() == 1 ? parts[0] : at::cat(parts);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto work = c10::static_intrusive_pointer_cast<Work>(context->saved_data["work"].toCapsule());
    const variable_list saved = context->get_saved_variables();
    variable_list out(2 + saved.size());
    const Inputs inputs = leaves_of(saved);
    const auto starts = work->starts(inputs);
    int64_t row = 0;
    for (size_t i = 0; i < starts.size(); ++i) {
      const Counter counter(i + 1 < starts.size());
      const c10::AutoGradMode recording(true);
      Tensor fresh;
      {
        const ReplayRandom drawn(work->random[i], work->device);
        const ReplayAutocast same(work->autocast);
        fresh = work->fn(work->inputs_from(inputs, starts[i]));
      }
      if (!fresh.requires_grad()) break;
      const Tensor part = starts.size() == 1 ? gradients[0] : gradients[0].narrow(0, row, fresh.size(0));
      torch::autograd::backward({fresh}, {part});
      row += fresh.size(0);
    }
    for (size_t i = 0; i < inputs.size(); ++i) out[2 + i] = inputs[i].grad();
    return out;
  }

  struct Counter {
    explicit Counter(bool more) : more_(more) { chunks_to_come += more_; }
    ~Counter() { chunks_to_come -= more_; }
    Counter(const Counter&) = delete;
    Counter& operator=(const Counter&) = delete;

   private:
    int more_;
  };
};

Tensor run(std::function<Tensor(const Inputs&)> fn, const Inputs& inputs, int64_t chunk) {
  auto work = c10::make_intrusive<Work>();
  work->fn = std::move(fn);
  work->chunk = chunk;
  Inputs given;
  for (const auto& input : inputs) {
    work->defined.push_back(input.defined());
    if (!input.defined()) continue;
    work->device = input.device();
    given.push_back(input);
  }
  work->autocast = Autocast::of(work->device.type());
  const Tensor anchor = at::empty({0}, at::kFloat).requires_grad_();
  return Recompute::apply(anchor, work, at::TensorList(given));
}

}  // namespace recomputation

Tensor recompute(const std::function<Tensor(const std::vector<Tensor>&)>& fn, const std::vector<Tensor>& inputs) {
  if (!c10::GradMode::is_enabled()) return fn(inputs);
  return recomputation::run(fn, inputs, 0);
}

Tensor recompute_in_chunks(const std::function<Tensor(const Tensor&)>& fn, const Tensor& input, int64_t chunk) {
  if (chunk < 1 || input.size(0) <= chunk) return fn(input);
  if (c10::GradMode::is_enabled()) {
    return recomputation::run([fn](const std::vector<Tensor>& rows) { return fn(rows[0]); }, {input}, chunk);
  }
  std::vector<Tensor> parts;
  for (const auto& rows : input.split(chunk, 0)) parts.push_back(fn(rows));
  return at::cat(parts);
}

bool recomputing_more() { return recomputation::chunks_to_come.load() > 0; }

Tensor RecomputedBlocks::run_block(const torch::nn::Module& block, const std::function<Tensor(const std::vector<Tensor>&)>& fn,
                                   const std::vector<Tensor>& inputs) const {
  if (!c10::GradMode::is_enabled()) return fn(inputs);
  if (!on_) {
    // What several blocks look at (a picture, from every layer of a decoder) gets one gradient from each, as it does from
    // blocks that are recomputed: sums in another order would differ in the last bit.
    std::vector<Tensor> own;
    for (const auto& x : inputs) own.push_back(x.defined() && x.requires_grad() ? x.alias() : x);
    return fn(own);
  }
  bool learns = std::any_of(inputs.begin(), inputs.end(), [](const Tensor& x) { return x.defined() && x.requires_grad(); });
  if (!learns) {
    const auto parameters = block.parameters();
    learns = std::any_of(parameters.begin(), parameters.end(), [](const Tensor& x) { return x.requires_grad(); });
  }
  return learns ? recompute(fn, inputs) : fn(inputs);
}

bool set_recompute_in(torch::nn::Module& module, bool on) {
  bool found = false;
  for (const auto& part : module.modules(/*include_self=*/false)) {
    if (auto* blocks = dynamic_cast<RecomputedBlocks*>(part.get())) {
      blocks->set_recompute(on);
      found = true;
    }
  }
  return found;
}

}  // namespace vlm
