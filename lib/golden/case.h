#pragma once
/// A golden case: a folder with what a reference implementation computed, and what this project computes for it.

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vlm/io/tensor_map.h"

namespace vlm::golden {

/// What is to be run, as `case.json`, `config.json`, `weights.safetensors` and `io.safetensors` say.
struct Case {
  std::filesystem::path folder;
  std::filesystem::path root;  ///< the folder that holds vocab/
  std::string kind;
  nlohmann::json params;
  nlohmann::json strings;  ///< "in.x" and "out.x" lists
  nlohmann::json outputs;  ///< name -> {"atol", "rtol"} or {"exact": true}
  TensorMap tensors;       ///< of io.safetensors

  static Case load(const std::filesystem::path& folder, const std::filesystem::path& root);

  /// The tensor "in.NAME"; throws if the case has none.
  Tensor in(const std::string& name) const;
  bool has_in(const std::string& name) const { return tensors.count("in." + name) > 0; }
  /// The strings "in.NAME".
  std::vector<std::string> in_strings(const std::string& name) const;
  bool wants(const std::string& output) const { return outputs.contains(output); }
  /// The names behind "grad." that the case compares.
  std::vector<std::string> wanted_gradients() const;
  /// A file that belongs to the case.
  std::filesystem::path file(const std::string& name) const { return folder / name; }
  /// `params.vocab`, below the root.
  std::filesystem::path vocab() const;
  /// weights.safetensors and config.json of a model case.
  TensorMap weights() const;
  nlohmann::json config() const;
  /// A parameter, or `otherwise` where the case has none (or null).
  template <class T>
  T param(const std::string& name, T otherwise) const {
    return params.contains(name) && !params[name].is_null() ? params[name].get<T>() : otherwise;
  }
};

/// What was computed, under the names of the case's outputs.
struct Result {
  TensorMap tensors;
  std::map<std::string, nlohmann::json> strings;

  void set(const std::string& name, const Tensor& tensor) { tensors[name] = tensor; }
  /// A float32 scalar of shape [1] or [] alike; compared by its elements.
  void set(const std::string& name, double value);
  void set_strings(const std::string& name, nlohmann::json list) { strings[name] = std::move(list); }
};

/// Runs one kind of operation.
using Operation = Result (*)(const Case&);
using Operations = std::map<std::string, Operation>;

// One table a room; a new kind is one line in one of these.
void add_io_operations(Operations& operations);
void add_text_operations(Operations& operations);
void add_image_operations(Operations& operations);
void add_data_operations(Operations& operations);
void add_format_operations(Operations& operations);
void add_model_operations(Operations& operations);
void add_family_operations(Operations& operations);
void add_name_operations(Operations& operations);
void add_loss_operations(Operations& operations);
void add_train_operations(Operations& operations);
void add_memory_operations(Operations& operations);
void add_optimizer_operations(Operations& operations);
void add_schedule_operations(Operations& operations);
void add_eval_operations(Operations& operations);
void add_metric_operations(Operations& operations);
void add_ofa_model_operations(Operations& operations);
void add_ofa_generation_operations(Operations& operations);
void add_ofa_loss_operations(Operations& operations);
void add_ofa_text_operations(Operations& operations);
void add_ofa_train_operations(Operations& operations);
void add_alignment_loss_operations(Operations& operations);
void add_feature_loss_operations(Operations& operations);
void add_alignment_train_operations(Operations& operations);
void add_albef_model_operations(Operations& operations);
void add_albef_step_operations(Operations& operations);
void add_mplug_model_operations(Operations& operations);
void add_mplug_task_operations(Operations& operations);
/// All kinds that this build knows.
const Operations& operations();

}  // namespace vlm::golden
