#pragma once
/// A training run as its folder tells it, for those who look at runs. The run may still be going on.

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

namespace vlm {

/// Values over optimiser steps, in order of the step.
using Series = std::vector<std::pair<int64_t, double>>;

struct RunRecord {
  std::filesystem::path folder;
  std::map<std::string, Series> steps;        ///< "loss", "loss/contrastive", "lr", "samples_per_second", …
  std::map<std::string, Series> evaluations;  ///< "mean_recall"; "NAME/mean_recall" of evaluations not called "validation"
  int64_t last_step = 0, last_epoch = 0;
  double seconds = 0;                         ///< between the first and the last entry; 0: not known
  bool finished = false;                      ///< the model has been written
  nlohmann::ordered_json recipe;              ///< RUN/recipe.json, or null
  nlohmann::ordered_json samples;             ///< the newest file of RUN/samples (evaluation.h), or null
};

/// Whether `folder` holds metrics.jsonl (run_log.h), or log.jsonl as runs wrote it before.
bool is_run_folder(const std::filesystem::path& folder);

/// Torn and foreign lines are passed over. Of several entries for a step the last one counts. Throws an Error if the folder
/// is no run.
RunRecord read_run(const std::filesystem::path& folder);

/// At most `most` points, each the mean of a stretch of the series.
Series thin_out(const Series& series, size_t most);

/// The leaves of a JSON object by dotted keys; lists are leaves.
std::map<std::string, std::string> flat_keys(const nlohmann::ordered_json& json);

}  // namespace vlm
