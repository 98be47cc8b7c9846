#pragma once
/// Tuning a few parameters of a model that stays as it is: deep prefix prompts (Yang et al., arXiv 2208.02532), adapters (Houlsby et
/// al., arXiv 1902.00751), biases alone (BitFit, arXiv 2106.10199). Specs: ofa, 8.1 and 8.2.
///
/// What was tuned is a folder beside its base:
///
///   adapter.json           {"vlm_adapter": 1, "family": "ofa", "base": "OFA-base", "base_fingerprint": "…", "tuning": {…}}
///   adapter.safetensors    the tuned parameters, and the batch statistics, which move while a trunk is in training mode

#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/models/interfaces.h"

namespace vlm {

struct TuningOptions {
  std::string kind;                ///< prefix, adapter, bitfit; empty: the whole model is trained
  int64_t length = 100;
  bool projection = false;
  int64_t hidden = 0;
  std::vector<std::string> stacks = {"encoder", "decoder"};
  int64_t adapter_dim = 200;
  bool whole_model = false;

  bool on() const { return !kind.empty(); }
  void fields(Fields& f) {
    f.field("kind", kind, "prefix (prompts of every layer), adapter (a bottleneck in every layer) or bitfit (biases); empty: none, the model itself is trained");
    f.field("length", length, "prefix: vectors in front of each layer's keys and values");
    f.field("projection", projection, "prefix: they come out of a small network");
    f.field("hidden", hidden, "prefix: its width; 0: twice the model's");
    f.field("stacks", stacks, "prefix: which stacks have them: encoder, decoder");
    f.field("adapter_dim", adapter_dim, "adapter: width of the bottleneck");
    f.field("whole_model", whole_model, "adapter: all but the word embeddings is trained too, as the reference does");
  }
};

/// The weights of `base` (shared, not copied) with the parameters that `options` add, drawn from `seed`. Throws a usage error for
/// options that do not exist, and for a model that cannot be tuned so.
std::unique_ptr<Model> with_tuning(const Model& base, const TuningOptions& options, uint64_t seed = 0);
/// Names of the parameters that are trained; never empty.
std::set<std::string> tuned_parameters(const Model& model, const TuningOptions& options);

/// What belongs to tuned parameters in files.
struct AdapterInfo {
  TuningOptions tuning;
  std::string base;         ///< folder of the model that they go on top of
  std::string fingerprint;  ///< of that model
};

/// Writes adapter.json and adapter.safetensors.
void save_adapter(const std::filesystem::path& folder, const Model& model, const AdapterInfo& info);
/// True for such a folder, or one of its two files.
bool is_adapter(const std::filesystem::path& path);
/// Throws an Error that names the file if it does not read.
AdapterInfo read_adapter_info(const std::filesystem::path& path);
/// Where the base is: as the file names it, seen from the file's folder or from here. Throws if nothing is there.
std::filesystem::path adapter_base(const std::filesystem::path& path);
/// `base` with what the folder (or file) holds. Throws if it was made for another model, or does not fit.
std::unique_ptr<Model> with_adapter(const Model& base, const std::filesystem::path& path);

}  // namespace vlm
