#pragma once
/// Which samples a tar holds and where their members lie (specs: data, 2.3 and 2.5).

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "vlm/data/tar_reader.h"

namespace vlm {

struct IndexedMember {
  std::string ext;  ///< lower case
  uint64_t offset = 0, size = 0;
};

/// Consecutive members with the same key.
struct IndexedSample {
  std::string key;
  std::vector<IndexedMember> members;
  const IndexedMember* find(const std::string& ext) const;
};

struct ShardIndex {
  std::vector<IndexedSample> samples;
  bool truncated = false;
};

/// Groups members into samples.
ShardIndex group_members(const TarContents& contents);

/// An index of a shard's file, out of `<shard>.idx.json` beside it or in `cache_dir` if there is one that fits the file's size
/// and time, else made by going through the headers. `write`: keep a new one. Indexes are data, too: one that is not as it
/// must be is made again.
struct IndexFiles {
  std::filesystem::path cache_dir;  ///< empty: the user's cache folder
  bool write = true;
  /// `bytes`, if given, is set to the opened shard where it had to be opened.
  ShardIndex load(const std::filesystem::path& shard, std::unique_ptr<RandomBytes>* bytes = nullptr) const;
};

/// True for names that end in .gz or .tgz.
bool is_packed_shard(const std::filesystem::path& shard);
/// The shard's bytes; packed ones are unpacked. `cut` is set if they end early.
std::unique_ptr<RandomBytes> open_shard_bytes(const std::filesystem::path& shard, bool& cut);

}  // namespace vlm
