#pragma once
/// Any data set as WebDataset shards (specs: data, 2.5), from which the same samples are read back.

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vlm/data/source.h"

namespace vlm {

struct ShardExportOptions {
  std::filesystem::path out;
  std::string prefix = "shard";  ///< shards are <prefix>-%06d.tar
  int64_t samples_per_shard = 10000;
  uint64_t bytes_per_shard = 0;  ///< a shard also ends when it holds as much; 0: no such limit
  bool strict = false;           ///< a sample that cannot be used ends the run
  bool force = false;            ///< replace shards of this prefix
  int64_t threads = 0;           ///< 0: one for each core
};

struct ShardExport {
  int64_t samples = 0, skipped = 0;
  std::map<std::string, int64_t> reasons;
  std::vector<std::filesystem::path> shards;
  uint64_t bytes = 0;
  nlohmann::ordered_json to_json() const;
};

/// Samples keep the data set's order from shard to shard and are sorted by key within one. A sample has its pictures as they
/// are stored (those that are neither JPEG, PNG nor WebP as PNG), named jpg, png or webp, the second one 1.jpg; txt: the
/// first caption; json: all of it (sample_json.h); cls: the label. A key that was used before gets "_" and the sample's
/// number.
///
/// Shards are written in a folder beside their place and moved when the last one is whole: a run that is killed leaves what
/// was there. Also writes sizes.json, and classes.txt where there are names of classes. Throws a usage error if shards of
/// this prefix are there and `force` is not set.
ShardExport export_shards(const Source& source, const ShardExportOptions& options);

}  // namespace vlm
