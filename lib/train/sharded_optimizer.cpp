#include "vlm/train/sharded_optimizer.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "vlm/train/zero1.h"

namespace vlm {

namespace sharded_optimizer {

class Sharded : public Optimizer {
 public:
  Sharded(std::vector<OptimizedParameter> all, const OptimizerOptions& options, Communicator& communicator)
      : Optimizer(std::move(all)), communicator_(communicator) {
    std::vector<int64_t> sizes;
    for (const auto& entry : parameters_) sizes.push_back(entry.parameter.numel());
    const bool elementwise = make_optimizer({}, options)->elementwise();
    shares_.resize(static_cast<size_t>(communicator.size()));
    if (elementwise) {
      for (int64_t r = 0; r < communicator.size(); ++r) shares_[static_cast<size_t>(r)] = partition_flat(sizes, communicator.size(), r).stretches;
    } else {
      const auto owners = assign_whole(sizes, communicator.size());
      for (size_t n = 0; n < sizes.size(); ++n) shares_[static_cast<size_t>(owners[n])].push_back({n, 0, sizes[n]});
    }
    for (const auto& share : shares_) {
      int64_t elements = 0;
      for (const auto& stretch : share) elements += stretch.end - stretch.begin;
      longest_ = std::max(longest_, elements);
    }
    std::vector<OptimizedParameter> own;
    for (const auto& stretch : shares_[static_cast<size_t>(communicator.rank())]) {
      own.push_back(parameters_[stretch.index]);
      if (stretch.begin != 0 || stretch.end != sizes[stretch.index]) {
        own.back().begin = stretch.begin;
        own.back().end = stretch.end;
      }
    }
    own_ = make_optimizer(std::move(own), options);
  }

  void step(double lr) override {
    own_->step(lr);
    send_round();
  }
  void scale_steps(const std::function<double(double)>& scale) override { own_->scale_steps(scale); }
  bool elementwise() const override { return own_->elementwise(); }
  TensorMap state() const override { return own_->state(); }
  void load_state(const TensorMap& state) override { own_->load_state(state); }

 private:
  Tensor flat(const Stretch& stretch) const {
    return parameters_[stretch.index].parameter.detach().view(-1).narrow(0, stretch.begin, stretch.end - stretch.begin);
  }

  void send_round() {
    at::NoGradGuard no_grad;
    std::vector<Tensor> parts;
    int64_t filled = 0;
    for (const auto& stretch : shares_[static_cast<size_t>(communicator_.rank())]) {
      parts.push_back(flat(stretch));
      filled += parts.back().numel();
    }
    parts.push_back(at::zeros({longest_ - filled}, parameters_.at(0).parameter.options().requires_grad(false)));
    const Tensor all = communicator_.all_gather(at::cat(parts));
    for (size_t r = 0; r < shares_.size(); ++r) {
      if (static_cast<int64_t>(r) == communicator_.rank()) continue;
      int64_t at = static_cast<int64_t>(r) * longest_;
      for (const auto& stretch : shares_[r]) {
        Tensor into = flat(stretch);
        into.copy_(all.narrow(0, at, into.numel()));
        at += into.numel();
      }
    }
  }

  Communicator& communicator_;
  std::vector<std::vector<Stretch>> shares_;  ///< of each rank
  int64_t longest_ = 0;                       ///< elements of the largest share
  std::unique_ptr<Optimizer> own_;
};

}  // namespace sharded_optimizer

std::unique_ptr<Optimizer> make_sharded_optimizer(std::vector<OptimizedParameter> parameters, const OptimizerOptions& options,
                                                  Communicator& communicator) {
  if (communicator.size() == 1) return make_optimizer(std::move(parameters), options);
  return std::make_unique<sharded_optimizer::Sharded>(std::move(parameters), options, communicator);
}

}  // namespace vlm
