#pragma once
/// WebDataset shards: tars in which consecutive members with the same name before the first dot are one sample
/// (specs: data, section 2).

#include <filesystem>
#include <future>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "vlm/data/shard_index.h"
#include "vlm/data/shard_patterns.h"
#include "vlm/data/source.h"

namespace vlm {

/// Sizes of all shards are known from the start; the index and the file of a shard are opened when it is read and kept for
/// as long as they are among the last ones used. Packed shards (.tar.gz, .tgz) are unpacked into memory as a whole.
class WebDatasetSource : public Source {
 public:
  /// Throws a usage error if no shard can be opened; single ones that cannot are problems().
  explicit WebDatasetSource(const SourceOptions& options);

  std::string shard_name(int64_t shard) const override;
  /// Shards of `vlm data shard` give back whole samples, whatever their keys: see sample_json.h.
  Sample read(int64_t shard, int64_t index) const override { return take(shard, index, true); }
  Sample describe(int64_t shard, int64_t index) const override { return take(shard, index, false); }

 private:
  Sample take(int64_t shard, int64_t index, bool with_pictures) const;
  struct OpenShard {
    ShardIndex index;
    std::unique_ptr<RandomBytes> bytes;
  };
  using Opened = std::shared_ptr<const OpenShard>;
  struct Kept {
    std::shared_future<Opened> shard;
    std::list<int64_t>::iterator used;
  };

  void index_all();
  void compare_with_sizes() const;
  void compare_with_length(const std::filesystem::path& file) const;
  void read_weights(const std::string& factors);
  Opened open(int64_t shard) const;
  Opened open_now(int64_t shard) const;
  void close_surplus(int64_t newest) const;
  std::string bytes_of(const OpenShard& shard, const IndexedMember& member, const std::string& place) const;
  /// The json member as a whole sample; false if it is none.
  bool read_whole(Sample& sample, const OpenShard& shard, const IndexedSample& entry, const std::string& place, bool with_pictures) const;
  void read_texts(Sample& sample, const OpenShard& shard, const IndexedSample& entry, const std::string& place) const;

  std::vector<ShardFile> shards_;
  IndexFiles index_files_;
  std::vector<std::string> image_keys_, caption_keys_;  ///< in order of preference
  std::string captions_field_;
  mutable std::mutex mutex_;  ///< guards what follows
  mutable std::unordered_map<int64_t, Kept> kept_;
  mutable std::list<int64_t> recent_;  ///< the last used first
};

}  // namespace vlm
