#include "vlm/models/state.h"

#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include <map>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace load_report {

void list(std::string& out, const char* title, const std::vector<std::string>& names) {
  if (names.empty()) return;
  out += concat("\n  ", title, " (", names.size(), "):");
  for (size_t i = 0; i < names.size() && i < 10; ++i) out += "\n    " + names[i];
  if (names.size() > 10) out += concat("\n    … and ", names.size() - 10, " more");
}

}  // namespace load_report

std::string LoadReport::text() const {
  std::string out;
  load_report::list(out, "missing: the model needs them, the file has them not", missing);
  load_report::list(out, "unexpected: the file has them, the model has no place for them", unexpected);
  load_report::list(out, "of another shape", misshapen);
  return out;
}

TensorMap with_counters_of(const std::vector<NamedTensor>& state, TensorMap weights) {
  constexpr const char* counter = ".num_batches_tracked";
  std::map<std::string, Tensor> counters;
  for (const auto& [name, tensor] : state) {
    if (ends_with(name, counter)) counters.emplace(name, tensor);
  }
  for (auto it = weights.begin(); it != weights.end();) {
    it = ends_with(it->first, counter) && counters.count(it->first) == 0 ? weights.erase(it) : std::next(it);
  }
  for (const auto& [name, tensor] : counters) {
    if (weights.count(name) == 0) weights.emplace(name, at::zeros(tensor.sizes(), tensor.options()));
  }
  return weights;
}

LoadReport load_state(const std::vector<NamedTensor>& state, const TensorMap& weights, const std::string& where, bool strict) {
  at::NoGradGuard no_grad;
  LoadReport report;
  std::set<std::string> used;
  std::vector<std::pair<Tensor, Tensor>> fitting;
  for (const auto& [name, tensor] : state) {
    const auto it = weights.find(name);
    if (it == weights.end()) {
      report.missing.push_back(name);
      continue;
    }
    used.insert(name);
    Tensor source = it->second;
    // A scalar is stored as [] or [1], depending on the version that wrote it.
    if (source.numel() == 1 && tensor.numel() == 1) source = source.reshape(tensor.sizes());
    if (source.sizes() != tensor.sizes()) {
      report.misshapen.push_back(concat(name, ": the file has ", source.sizes(), ", the model needs ", tensor.sizes()));
      continue;
    }
    fitting.emplace_back(tensor, source);
  }
  for (const auto& [name, tensor] : weights) {
    if (!used.count(name)) report.unexpected.push_back(name);
  }
  if (strict && !report.clean()) fail(where, ": the weights do not fit the model", report.text());
  std::map<const char*, const char*> taken;  // end -> begin of the memory of tensors that were taken over
  const auto shares_memory = [&](const Tensor& source) {
    const char* begin = static_cast<const char*>(source.const_data_ptr());
    const auto next = taken.upper_bound(begin);
    return next != taken.end() && next->second < begin + source.nbytes();
  };
  for (auto& [tensor, source] : fitting) {
    // Views with other strides, and tensors that share their memory in the file, would change together in training.
    if (source.scalar_type() == tensor.scalar_type() && source.device() == tensor.device() && source.is_contiguous() && !shares_memory(source)) {
      const char* begin = static_cast<const char*>(source.const_data_ptr());
      taken[begin + source.nbytes()] = begin;
      tensor.set_data(source);
    } else {
      tensor.copy_(source);
    }
  }
  return report;
}

}  // namespace vlm
