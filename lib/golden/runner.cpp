#include "vlm/golden/runner.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/golden/case.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"

namespace vlm::golden {

namespace fs = std::filesystem;

Case Case::load(const fs::path& folder, const fs::path& root) {
  Case c;
  c.folder = folder;
  c.root = root;
  const auto file = folder / "case.json";
  const auto json = nlohmann::json::parse(read_file(file), nullptr, false);
  if (!json.is_object() || !json.contains("kind") || !json.contains("outputs")) fail(file.string(), ": not a golden case");
  c.kind = json["kind"];
  c.params = json.value("params", nlohmann::json::object());
  c.strings = json.value("strings", nlohmann::json::object());
  c.outputs = json["outputs"];
  if (fs::exists(folder / "io.safetensors")) c.tensors = read_safetensors(folder / "io.safetensors");
  if (c.root.empty()) {
    for (auto up = fs::absolute(folder).lexically_normal(); up.has_relative_path(); up = up.parent_path()) {
      if (fs::is_directory(up / "vocab")) {
        c.root = up;
        break;
      }
    }
  }
  return c;
}

Tensor Case::in(const std::string& name) const {
  const auto it = tensors.find("in." + name);
  if (it == tensors.end()) fail("the case has no tensor in.", name);
  return it->second;
}

std::vector<std::string> Case::in_strings(const std::string& name) const {
  if (!strings.contains("in." + name)) fail("the case has no strings in.", name);
  return strings["in." + name].get<std::vector<std::string>>();
}

std::vector<std::string> Case::wanted_gradients() const {
  std::vector<std::string> names;
  for (const auto& [name, tolerance] : outputs.items()) {
    if (starts_with(name, "grad.")) names.push_back(name.substr(5));
  }
  return names;
}

fs::path Case::vocab() const {
  if (root.empty()) fail("no folder with vocab/ above ", folder.string(), "; name it with --root");
  return root / params.at("vocab").get<std::string>();
}

TensorMap Case::weights() const { return read_safetensors(folder / "weights.safetensors"); }

nlohmann::json Case::config() const { return nlohmann::json::parse(read_file(folder / "config.json")); }

const Operations& operations() {
  static const Operations all = [] {
    Operations table;
    add_io_operations(table);
    add_text_operations(table);
    add_image_operations(table);
    add_data_operations(table);
    add_format_operations(table);
    add_model_operations(table);
    add_family_operations(table);
    add_name_operations(table);
    add_loss_operations(table);
    add_train_operations(table);
    add_memory_operations(table);
    add_optimizer_operations(table);
    add_schedule_operations(table);
    add_eval_operations(table);
    add_metric_operations(table);
    add_ofa_model_operations(table);
    add_ofa_generation_operations(table);
    add_ofa_loss_operations(table);
    add_ofa_text_operations(table);
    add_ofa_train_operations(table);
    add_mplug_model_operations(table);
    add_mplug_task_operations(table);
    add_alignment_loss_operations(table);
    add_feature_loss_operations(table);
    add_alignment_train_operations(table);
    add_albef_model_operations(table);
    add_albef_step_operations(table);
    return table;
  }();
  return all;
}

namespace compare {

/// Strings compare to the letter, but JSON objects written as strings compare as objects.
nlohmann::json parsed(const nlohmann::json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (!text.empty() && text[0] == '{') {
      auto object = nlohmann::json::parse(text, nullptr, false);
      if (!object.is_discarded()) return object;
    }
    return value;
  }
  if (value.is_array()) {
    auto list = nlohmann::json::array();
    for (const auto& item : value) list.push_back(parsed(item));
    return list;
  }
  return value;
}

std::string strings(const nlohmann::json& expected_raw, const nlohmann::json& got_raw) {
  const auto expected = parsed(expected_raw), got = parsed(got_raw);
  if (expected == got) return "";
  if (!expected.is_array() || !got.is_array()) return "expected " + expected.dump().substr(0, 300) + ", got " + got.dump().substr(0, 300);
  for (size_t i = 0; i < std::min(expected.size(), got.size()); ++i) {
    if (expected[i] != got[i]) return concat("[", i, "] expected ", expected[i].dump().substr(0, 300), ", got ", got[i].dump().substr(0, 300));
  }
  return concat("expected ", expected.size(), " items, got ", got.size());
}

struct Numbers {
  double ratio = 0;
  std::string message;
};

/// Largest |got - expected| / (atol + rtol |expected|).
Numbers numbers(const Tensor& expected_raw, const Tensor& got_raw, double atol, double rtol, double mean_tolerance) {
  Numbers out;
  const double infinity = std::numeric_limits<double>::infinity();
  if (expected_raw.numel() != got_raw.numel() || (expected_raw.sizes() != got_raw.sizes() && expected_raw.numel() != 1)) {
    return {infinity, concat("expected shape ", expected_raw.sizes(), ", got ", got_raw.sizes())};
  }
  const Tensor expected = expected_raw.to(at::kDouble).contiguous().view(-1), got = got_raw.detach().to(at::kDouble).contiguous().view(-1);
  const double* e = expected.const_data_ptr<double>();
  const double* g = got.const_data_ptr<double>();
  double sum = 0;
  for (int64_t i = 0; i < expected.numel(); ++i) {
    if (e[i] == g[i] || (std::isnan(e[i]) && std::isnan(g[i]))) continue;
    const double error = std::abs(g[i] - e[i]);
    const double tolerance = atol + rtol * std::abs(e[i]);
    double ratio = tolerance > 0 ? error / tolerance : infinity;
    if (!std::isfinite(error)) ratio = infinity;
    sum += error;
    if (ratio > out.ratio) {
      out.ratio = ratio;
      out.message = concat("element ", i, ": expected ", e[i], ", got ", g[i]);
    }
  }
  if (mean_tolerance >= 0 && expected.numel() > 0) {
    const double mean = sum / static_cast<double>(expected.numel());
    if (mean > mean_tolerance && mean / std::max(mean_tolerance, 1e-300) > out.ratio) {
      out.ratio = std::max(1.0 + 1e-9, mean_tolerance > 0 ? mean / mean_tolerance : infinity);
      out.message = concat("mean error ", mean, " is above ", mean_tolerance);
    }
  }
  return out;
}

/// For pictures moved by whole pixels a stated share of pixels (params.max_mismatch) may be off.
Numbers mismatching_pixels(const Tensor& expected, const Tensor& got, double atol, double allowed) {
  if (expected.sizes() != got.sizes()) return {std::numeric_limits<double>::infinity(), concat("expected shape ", expected.sizes(), ", got ", got.sizes())};
  const Tensor e = expected.to(at::kDouble).contiguous(), g = got.to(at::kDouble).contiguous();
  const int64_t channels = e.dim() == 3 ? e.size(2) : 1, pixels = e.numel() / std::max<int64_t>(channels, 1);
  int64_t wrong = 0;
  for (int64_t i = 0; i < pixels; ++i) {
    for (int64_t c = 0; c < channels; ++c) {
      if (std::abs(e.const_data_ptr<double>()[i * channels + c] - g.const_data_ptr<double>()[i * channels + c]) > atol) {
        ++wrong;
        break;
      }
    }
  }
  const double share = static_cast<double>(wrong) / static_cast<double>(std::max<int64_t>(pixels, 1));
  if (wrong == 0) return {};
  return {allowed > 0 ? share / allowed : std::numeric_limits<double>::infinity(), concat(wrong, " of ", pixels, " pixels differ")};
}

}  // namespace compare

void Result::set(const std::string& name, double value) {
  tensors[name] = at::Tensor(at::empty({1}, at::kDouble).fill_(value));
}

Report run_case(const fs::path& folder, const fs::path& root) {
  Report report;
  report.folder = folder;
  report.kind = kind_of(folder);
  try {
    const auto it = operations().find(report.kind);
    if (it == operations().end()) {
      std::vector<std::string> known;
      for (const auto& [name, operation] : operations()) known.push_back(name);
      fail("unknown kind", did_you_mean(report.kind, known));
    }
    const Case c = Case::load(folder, root);
    const Result result = it->second(c);
    const double mean_tolerance = c.param("mean_abs_tolerance", -1.0);
    for (const auto& [name, tolerance] : c.outputs.items()) {
      double ratio = 0;
      std::string message;
      if (c.strings.contains(name)) {
        const auto got = result.strings.find(name);
        message = got == result.strings.end() ? "not computed" : compare::strings(c.strings[name], got->second);
        if (!message.empty()) ratio = std::numeric_limits<double>::infinity();
      } else {
        const auto expected = c.tensors.find(name);
        const auto got = result.tensors.find(name);
        compare::Numbers numbers;
        if (expected == c.tensors.end()) {
          numbers = {std::numeric_limits<double>::infinity(), "the case holds no expected value"};
        } else if (got == result.tensors.end()) {
          numbers = {std::numeric_limits<double>::infinity(), "not computed"};
        } else {
          const bool exact = tolerance.value("exact", false);
          const double atol = exact ? 0 : tolerance.value("atol", 0.0), rtol = exact ? 0 : tolerance.value("rtol", 0.0);
          if (c.params.contains("max_mismatch")) {
            numbers = compare::mismatching_pixels(expected->second, got->second, atol, c.params["max_mismatch"]);
          } else {
            numbers = compare::numbers(expected->second, got->second, atol, rtol, mean_tolerance);
          }
        }
        ratio = numbers.ratio;
        message = numbers.message;
      }
      if (ratio > report.worst_ratio || report.worst_output.empty()) {
        report.worst_ratio = ratio;
        report.worst_output = name;
        report.message = ratio > 1 ? name + ": " + message : "";
      }
    }
    report.passed = report.worst_ratio <= 1;
  } catch (const std::exception& error) {
    report.passed = false;
    report.worst_ratio = std::numeric_limits<double>::infinity();
    report.message = std::string(error.what()).substr(0, 600);
  }
  return report;
}

std::string kind_of(const fs::path& folder) {
  try {
    return nlohmann::json::parse(read_file(folder / "case.json")).value("kind", "");
  } catch (const std::exception&) {
    return "";
  }
}

std::vector<fs::path> find_cases(const std::vector<fs::path>& roots) {
  std::vector<fs::path> cases;
  for (const auto& root : roots) {
    if (!fs::is_directory(root)) fail_usage("no folder ", root.string());
    if (fs::exists(root / "case.json")) cases.push_back(root);
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      if (entry.is_directory() && fs::exists(entry.path() / "case.json")) cases.push_back(entry.path());
    }
  }
  std::sort(cases.begin(), cases.end());
  cases.erase(std::unique(cases.begin(), cases.end()), cases.end());
  return cases;
}

}  // namespace vlm::golden
