#pragma once
/// The models of mPLUG's golden cases.

#include <memory>
#include <string>
#include <vector>

#include "vlm/golden/case.h"
#include "vlm/models/mplug/mplug.h"

namespace vlm::golden {

MplugConfig mplug_config(const Case& c);

/// Fills the parts whose names begin with one of `parts` (none: all of the model), and nothing else, from the case's weights; queues
/// are inputs of a case.
void load_mplug(MplugModel& model, const Case& c, const std::vector<std::string>& parts = {});

template <class Mplug>
std::unique_ptr<Mplug> mplug_model(const Case& c, const std::vector<std::string>& parts = {}) {
  auto model = std::make_unique<Mplug>(mplug_config(c));
  load_mplug(*model, c, parts);
  return model;
}

/// Inputs of a model's case, which take a gradient where the case compares it.
class MplugInputs {
 public:
  explicit MplugInputs(const Case& c) : case_(c) {}
  /// Undefined where the case has none.
  Tensor operator()(const std::string& name);
  /// out.loss, and the gradients that the case compares of it.
  void finish(Result& result, const Tensor& loss, const MplugModel& model);

 private:
  const Case& case_;
  std::map<std::string, Tensor> leaves_;
};

}  // namespace vlm::golden
