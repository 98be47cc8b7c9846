#include "vlm/data/shard_pictures.h"

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/image_folder.h"

namespace vlm {

namespace shard_pictures {

constexpr size_t most_open = 128;

/// The last extension in lower case, as indexes have it.
std::string normal_name(const std::string& name) {
  const size_t dot = name.rfind('.');
  return dot == std::string::npos ? name : name.substr(0, dot) + ascii_lower(name.substr(dot));
}

}  // namespace shard_pictures

bool names_shards(const std::string& path) { return ends_with(path, ".tar") || path.find("::") != std::string::npos; }

ShardPictures::ShardPictures(const std::string& pattern, const IndexFiles& index_files) : shards_(list_shards(pattern)) {
  for (uint32_t shard = 0; shard < shards_.size(); ++shard) {
    const auto& path = shards_[shard].path;
    if (is_packed_shard(path)) fail(path.string(), ": pictures by name are read from plain .tar files; unpack it");
    for (const auto& sample : index_files.load(path).samples) {
      for (const auto& member : sample.members) {
        std::string name = sample.key + "." + member.ext;
        if (is_picture_name(name)) places_.emplace(std::move(name), Place{shard, member.offset, member.size});
      }
    }
  }
  open_.resize(shards_.size());
}

std::shared_ptr<const RandomBytes> ShardPictures::open(uint32_t shard) const {
  std::lock_guard lock(mutex_);
  auto& bytes = open_[shard];
  if (!bytes) {
    bytes = open_file_bytes(shards_[shard].path);
    opened_.push_back(shard);
    if (opened_.size() > shard_pictures::most_open) {
      open_[opened_.front()].reset();
      opened_.pop_front();
    }
  }
  return bytes;
}

std::optional<std::string> ShardPictures::read(const std::string& name) const {
  const auto it = places_.find(shard_pictures::normal_name(name));
  if (it == places_.end()) return std::nullopt;
  const auto bytes = open(it->second.shard);
  const auto& [shard, offset, size] = it->second;
  if (offset > bytes->size() || size > bytes->size() - offset)
    fail(shards_[shard].path.string(), " is shorter than its index says; it has changed since it was opened");
  std::string out(size, '\0');
  if (bytes->read_at(offset, out.data(), size) != size)
    fail(shards_[shard].path.string(), " has become shorter since it was opened");
  return out;
}

}  // namespace vlm
