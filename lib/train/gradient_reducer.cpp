#include "vlm/train/gradient_reducer.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include <functional>

namespace vlm {

struct GradientReducer::Impl {
  struct Place {
    size_t bucket = 0;
    int64_t begin = 0;
  };
  struct Bucket {
    Tensor flat;
    std::vector<size_t> members;
    size_t missing = 0;
    bool launched = false;
    std::function<void()> wait;
  };

  Impl(Communicator& group, std::vector<NamedTensor> all) : communicator(group), parameters(std::move(all)) {}

  void make_buckets(double megabytes) {
    places.resize(parameters.size());
    fired.assign(parameters.size(), 0);
    expected.assign(parameters.size(), -1);
    // Gradients become ready roughly from the last parameter to the first.
    int64_t elements = 0;
    const auto close = [&] {
      if (elements > 0) buckets.back().flat = at::zeros({elements}, parameters[buckets.back().members[0]].tensor.options().requires_grad(false));
      elements = 0;
    };
    for (size_t n = parameters.size(); n-- > 0;) {
      const Tensor& tensor = parameters[n].tensor;
      const bool fits = elements > 0 && 4.0 * static_cast<double>(elements + tensor.numel()) <= 1e6 * megabytes;
      if (!fits) {
        close();
        buckets.emplace_back();
      }
      places[n] = {buckets.size() - 1, elements};
      buckets.back().members.push_back(n);
      elements += tensor.numel();
    }
    close();
  }

  Tensor slice(size_t n) const {
    const Tensor& tensor = parameters[n].tensor;
    return buckets[places[n].bucket].flat.narrow(0, places[n].begin, tensor.numel()).view(tensor.sizes());
  }

  void pack(size_t n) {
    at::NoGradGuard no_grad;
    const Tensor& gradient = parameters[n].tensor.grad();
    if (gradient.defined()) {
      slice(n).copy_(gradient);
    } else {
      slice(n).zero_();
    }
  }

  /// A gradient has been added to.
  void ready(size_t n) {
    if (!active) return;
    fired[n] += 1;
    Bucket& bucket = buckets[places[n].bucket];
    if (bucket.launched || (expected[n] >= 0 && fired[n] > expected[n])) {
      late = true;
      return;
    }
    if (fired[n] != expected[n]) return;
    pack(n);
    if (--bucket.missing == 0) launch_full();
  }

  void launch(Bucket& bucket) {
    bucket.launched = true;
    bucket.wait = communicator.all_reduce_later(bucket.flat);
  }

  /// Buckets leave in the same order on every rank.
  void launch_full() {
    while (next < buckets.size() && buckets[next].missing == 0) launch(buckets[next++]);
  }

  void begin() {
    active = true;
    late = false;
    next = 0;
    for (auto& bucket : buckets) {
      bucket.launched = false;
      bucket.missing = 0;
    }
    for (size_t n = 0; n < parameters.size(); ++n) {
      fired[n] = 0;
      if (expected[n] == 0) {
        pack(n);  // not part of this pass, but perhaps of one before it
      } else {
        buckets[places[n].bucket].missing += 1;
      }
    }
  }

  void finish() {
    at::NoGradGuard no_grad;
    active = false;
    for (; next < buckets.size(); ++next) {
      Bucket& bucket = buckets[next];
      for (const size_t n : bucket.members) pack(n);
      launch(bucket);
    }
    // Who has a gradient at all, and whether a bucket left too early somewhere.
    const auto count = static_cast<int64_t>(parameters.size());
    Tensor flags = at::zeros({count + 1}, at::kFloat);
    float* flag = flags.mutable_data_ptr<float>();
    for (int64_t n = 0; n < count; ++n) flag[n] = parameters[static_cast<size_t>(n)].tensor.grad().defined() ? 1.f : 0.f;
    flag[count] = late ? 1.f : 0.f;
    if (buckets[0].flat.is_cuda()) flags = flags.to(buckets[0].flat.device());
    communicator.all_reduce(flags, Reduction::max);
    flags = flags.cpu();
    flag = flags.mutable_data_ptr<float>();
    for (auto& bucket : buckets) bucket.wait();
    if (flag[count] > 0) {
      for (auto& bucket : buckets) {
        for (const size_t n : bucket.members) pack(n);
        communicator.all_reduce(bucket.flat);
      }
    }
    const double share = 1.0 / static_cast<double>(communicator.size());
    for (auto& bucket : buckets) bucket.flat.mul_(share);
    for (size_t n = 0; n < parameters.size(); ++n) {
      if (flag[n] == 0) continue;
      Tensor& gradient = parameters[n].tensor.mutable_grad();
      if (gradient.defined()) {
        gradient.copy_(slice(n));
      } else {
        gradient = slice(n).clone();
      }
    }
    expected.assign(fired.begin(), fired.end());
  }

  Communicator& communicator;
  std::vector<NamedTensor> parameters;
  std::vector<Place> places;
  std::vector<Bucket> buckets;
  std::vector<int64_t> fired, expected;  ///< additions in this pass, and in the last one (-1: there was none)
  std::vector<std::shared_ptr<torch::autograd::Node>> accumulators;
  size_t next = 0;
  bool active = false, late = false;
};

namespace gradient_reducer {

class Hook : public torch::autograd::FunctionPostHook {
 public:
  explicit Hook(std::function<void()> told) : told_(std::move(told)) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& outputs, const torch::autograd::variable_list&) override {
    told_();
    return outputs;
  }

 private:
  std::function<void()> told_;
};

}  // namespace gradient_reducer

GradientReducer::GradientReducer(Communicator& communicator, const std::vector<NamedTensor>& parameters, double bucket_mb)
    : impl_(std::make_shared<Impl>(communicator, parameters)) {
  if (communicator.size() == 1 || parameters.empty()) return;
  impl_->make_buckets(bucket_mb);
  for (size_t n = 0; n < parameters.size(); ++n) {
    const auto accumulator = torch::autograd::impl::grad_accumulator(parameters[n].tensor);
    // The hook may outlive this object: it hangs on the parameter.
    accumulator->add_post_hook(std::make_unique<gradient_reducer::Hook>([weak = std::weak_ptr<Impl>(impl_), n] {
      if (const auto impl = weak.lock()) impl->ready(n);
    }));
    impl_->accumulators.push_back(accumulator);
  }
}

GradientReducer::~GradientReducer() = default;

void GradientReducer::begin() {
  if (!impl_->buckets.empty()) impl_->begin();
}

void GradientReducer::finish() {
  if (!impl_->buckets.empty()) impl_->finish();
}

}  // namespace vlm
