#pragma once
/// The flags that every protocol of `vlm eval` has.

#include <memory>
#include <string>
#include <vector>

#include "model_options.h"
#include "output.h"
#include "vlm/data/source.h"

namespace vlm::apps {

struct EvalFlags {
  ModelFlags model;
  std::string data, out;
  std::vector<std::string> overrides;
  bool strict = false;

  void add_to(CLI::App& command, int64_t batch = 32);
  std::unique_ptr<Source> open() const { return open(data); }
  std::unique_ptr<Source> open(const std::string& path) const;
  /// A report as JSON, with what it was made of.
  void print(nlohmann::ordered_json report) const;
};

/// The protocols of models that take instructions: classify, entail, ground.
void add_instruction_protocols(CLI::App& eval);

}  // namespace vlm::apps
