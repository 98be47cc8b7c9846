#pragma once
/// Deterministic tar files: the same samples give the same bytes on any machine and at any time (specs: data, 2.5).
/// POSIX ustar, mode 0644, mtime 0, uid = gid = 0; names that do not fit (100 bytes, or 155 + 100 split at a slash) and
/// sizes of 8 GiB and more go into a pax record.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iosfwd>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vlm {

/// The header blocks that come before `size` bytes of data of the member `path`.
std::string tar_header(const std::string& path, uint64_t size);
/// Zero bytes that fill the last block after `size` bytes of data.
std::string tar_padding(uint64_t size);
/// The two zero blocks that end a file.
std::string tar_end();

/// Writes WebDataset shards: `<prefix>-%06d.tar` with `samples_per_shard` samples each, and `sizes.json`, which gives the
/// number of samples of every shard (entries of other prefixes that are there already are kept).
///
/// Within a shard members are sorted by key, and within a sample in the order picture, txt, json, cls, others by name.
/// Which samples share a shard is decided by the order of add(): whoever wants the whole set sorted adds it sorted.
/// A shard appears whole or not at all; at most one shard's worth of bytes is waiting, on disk, not in memory.
class ShardWriter {
 public:
  /// Makes the folder. Throws a usage error if it already holds shards of this prefix: mixing two runs would go unseen.
  /// `bytes_per_shard`: a shard also ends when its members hold as much; 0: no such limit.
  ShardWriter(std::filesystem::path folder, std::string prefix, int64_t samples_per_shard = 10000, uint64_t bytes_per_shard = 0);
  ~ShardWriter();  ///< without finish() the last, unfinished shard is dropped
  ShardWriter(const ShardWriter&) = delete;
  ShardWriter& operator=(const ShardWriter&) = delete;

  /// `members`: extension ("jpg", "txt") and bytes. Bytes of `key` outside [A-Za-z0-9_/-] become '_'. Throws if there is
  /// no member, if an extension is empty, holds a slash or occurs twice, or if the key is empty, is one that readers pass
  /// over as metadata ("__x__/"), or is in the present shard already.
  void add(const std::string& key, const std::vector<std::pair<std::string, std::string>>& members);
  /// Writes what is waiting and sizes.json.
  void finish();

  int64_t samples() const { return samples_; }
  /// Samples of each shard that is written.
  const std::vector<int64_t>& sizes() const { return sizes_; }
  const std::vector<std::filesystem::path>& shards() const { return shards_; }

 private:
  struct Waiting {
    std::string ext;
    uint64_t offset, size;  ///< in the spool
  };
  void write_shard();

  std::filesystem::path folder_, spool_file_;
  std::string prefix_;
  int64_t samples_per_shard_, samples_ = 0;
  uint64_t bytes_per_shard_;
  std::fstream spool_;
  uint64_t spool_size_ = 0;
  std::map<std::string, std::vector<Waiting>> waiting_;  ///< of the present shard, by key
  std::vector<std::filesystem::path> shards_;
  std::vector<int64_t> sizes_;
  bool finished_ = false;
};

/// True for the names of shards of that prefix.
bool is_shard_name(std::string_view name, std::string_view prefix);
/// `key` as shards hold it: bytes outside [A-Za-z0-9_/-] are '_'.
std::string shard_key(std::string_view key);

}  // namespace vlm
