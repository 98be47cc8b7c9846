#pragma once
/// Pictures by name out of WebDataset shards, for lists whose pictures are packed: "a/b.png" is the member of that path.

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "vlm/data/shard_index.h"
#include "vlm/data/shard_patterns.h"

namespace vlm {

/// Any number of threads may read.
class ShardPictures {
 public:
  /// `pattern` as in list_shards(). Throws a usage error if it names no shard, an Error if one cannot be opened or is
  /// packed.
  ShardPictures(const std::string& pattern, const IndexFiles& index_files);
  /// None if there is no such member.
  std::optional<std::string> read(const std::string& name) const;

 private:
  struct Place {
    uint32_t shard = 0;
    uint64_t offset = 0, size = 0;
  };
  std::shared_ptr<const RandomBytes> open(uint32_t shard) const;

  std::vector<ShardFile> shards_;
  std::unordered_map<std::string, Place> places_;
  mutable std::mutex mutex_;  ///< guards what follows
  mutable std::vector<std::shared_ptr<const RandomBytes>> open_;
  mutable std::deque<uint32_t> opened_;  ///< oldest first
};

/// True for what names tars rather than a folder: "x.tar", "x-{0..9}.tar", "a.tar::b.tar".
bool names_shards(const std::string& path);

}  // namespace vlm
