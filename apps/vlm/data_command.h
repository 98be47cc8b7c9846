#pragma once
/// The parts of `vlm data`, and how those of them that read a data set are told which.

#include <CLI/CLI.hpp>

#include <memory>
#include <string>
#include <vector>

#include "vlm/data/source.h"

namespace vlm::apps {

/// The data set of a command: a path, the flags that are needed most, and any key of a recipe's data set as data.KEY=VALUE.
struct DataFlags {
  std::string path, type = "auto", split, image_root;
  std::vector<std::string> overrides;
  int64_t threads = 0;
  bool strict = false, json = false;

  /// `destination`: a second path comes before the overrides.
  void add_to(CLI::App& command, std::string* destination = nullptr);
  SourceOptions options() const;
  std::unique_ptr<Source> open() const { return open_source(options()); }
  /// What it is taken for.
  std::string detected_type() const;
};

void add_data_check(CLI::App& data);
void add_data_ngrams(CLI::App& data);
void add_data_stats(CLI::App& data);
void add_data_shard(CLI::App& data);

}  // namespace vlm::apps
