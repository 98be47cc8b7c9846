#include "vlm/models/snapshot.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <nlohmann/json.hpp>

namespace vlm {

namespace snapshot {

class Snapshot : public Model {
 public:
  Snapshot(const Model& model, const TensorMap& instead) : family_(model.family()), config_(model.config()) {
    at::NoGradGuard no_grad;
    for (const auto& [name, tensor] : model.state()) {
      const auto other = instead.find(name);
      const Tensor source = (other == instead.end() ? tensor : other->second).detach();
      state_.push_back({name, source.is_cpu() ? source.clone() : source.cpu()});
    }
  }
  std::string family() const override { return family_; }
  std::vector<NamedTensor> state() const override { return state_; }
  std::vector<NamedTensor> trainable() const override { return {}; }
  void set_training(bool) override {}
  nlohmann::ordered_json config() const override { return config_; }

 private:
  std::string family_;
  nlohmann::ordered_json config_;
  std::vector<NamedTensor> state_;
};

}  // namespace snapshot

std::unique_ptr<Model> snapshot_of(const Model& model, const TensorMap& instead) {
  return std::make_unique<snapshot::Snapshot>(model, instead);
}

}  // namespace vlm
