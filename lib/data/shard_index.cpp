#include "vlm/data/shard_index.h"

#include <sys/stat.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace shard_index {

constexpr uint64_t unpacked_limit = uint64_t(8) << 30;

/// Size and time of the file that an index belongs to.
struct Stamp {
  uint64_t size = 0;
  int64_t mtime_ns = 0;
};

std::optional<Stamp> stamp(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return std::nullopt;
  return Stamp{static_cast<uint64_t>(status.st_size),
               int64_t(status.st_mtim.tv_sec) * 1'000'000'000 + status.st_mtim.tv_nsec};
}

/// "__…__" as the first component, or as the whole path.
bool is_metadata(const std::string& path) {
  const std::string first = path.substr(0, path.find('/'));
  return first.size() >= 4 && starts_with(first, "__") && ends_with(first, "__");
}

fs::path cache_folder() {
  if (const char* folder = std::getenv("XDG_CACHE_HOME"); folder && *folder) return fs::path(folder) / "vlm" / "shards";
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".cache" / "vlm" / "shards";
  return {};
}

/// Where the index may be, best first.
std::vector<fs::path> places(const fs::path& shard, const fs::path& cache_dir) {
  std::vector<fs::path> out = {shard.string() + ".idx.json"};
  const fs::path folder = cache_dir.empty() ? cache_folder() : cache_dir;
  if (!folder.empty()) {
    // Shards of the same name in other folders must not meet.
    char hash[24];
    std::snprintf(hash, sizeof hash, "%016llx",
                  static_cast<unsigned long long>(fnv1a64(fs::absolute(shard).lexically_normal().string())));
    out.push_back(folder / concat(shard.filename().string(), ".", hash, ".idx.json"));
  }
  return out;
}

std::optional<ShardIndex> parse(const fs::path& file, const Stamp& stamp, bool packed) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return std::nullopt;
  try {
    const auto json = nlohmann::json::parse(read_file(file));
    if (json.at("size").get<uint64_t>() != stamp.size || json.at("mtime_ns").get<int64_t>() != stamp.mtime_ns)
      return std::nullopt;
    // Offsets in packed shards are those of the unpacked bytes, which are checked when they are read.
    const uint64_t end = packed ? unpacked_limit : stamp.size;
    ShardIndex index;
    index.truncated = json.value("truncated", false);
    for (const auto& entry : json.at("samples")) {
      IndexedSample sample;
      sample.key = entry.at(0).get<std::string>();
      for (const auto& member : entry.at(1)) {
        sample.members.push_back(
            {member.at(0).get<std::string>(), member.at(1).get<uint64_t>(), member.at(2).get<uint64_t>()});
        const auto& m = sample.members.back();
        if (m.offset > end || m.size > end - m.offset) return std::nullopt;
      }
      index.samples.push_back(std::move(sample));
    }
    return index;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

/// As specs: data, 2.5, and "truncated": true where the shard is cut.
std::string dump(const ShardIndex& index, const Stamp& stamp) {
  auto samples = nlohmann::ordered_json::array();
  for (const auto& sample : index.samples) {
    auto members = nlohmann::ordered_json::array();
    for (const auto& m : sample.members) members.push_back({m.ext, m.offset, m.size});
    samples.push_back({sample.key, std::move(members)});
  }
  nlohmann::ordered_json json = {{"size", stamp.size}, {"mtime_ns", stamp.mtime_ns}};
  if (index.truncated) json["truncated"] = true;
  json["samples"] = std::move(samples);
  return json.dump() + "\n";
}

}  // namespace shard_index

const IndexedMember* IndexedSample::find(const std::string& ext) const {
  for (const auto& member : members) {
    if (member.ext == ext) return &member;
  }
  return nullptr;
}

ShardIndex group_members(const TarContents& contents) {
  ShardIndex index;
  index.truncated = contents.truncated;
  for (const auto& member : contents.members) {
    if (shard_index::is_metadata(member.path)) continue;
    const size_t slash = member.path.rfind('/');
    const size_t name = slash == std::string::npos ? 0 : slash + 1;
    const size_t dot = member.path.find('.', name);
    if (dot == std::string::npos || dot == name) continue;
    const std::string key = member.path.substr(0, dot);
    const std::string ext = ascii_lower(member.path.substr(dot + 1));
    if (index.samples.empty() || index.samples.back().key != key || index.samples.back().find(ext))
      index.samples.push_back({key, {}});
    index.samples.back().members.push_back({ext, member.offset, member.size});
  }
  return index;
}

bool is_packed_shard(const fs::path& shard) {
  const std::string name = ascii_lower(shard.filename().string());
  return ends_with(name, ".gz") || ends_with(name, ".tgz");
}

std::unique_ptr<RandomBytes> open_shard_bytes(const fs::path& shard, bool& cut) {
  cut = false;
  return is_packed_shard(shard) ? unpack_gzip_bytes(shard, shard_index::unpacked_limit, cut) : open_file_bytes(shard);
}

ShardIndex IndexFiles::load(const fs::path& shard, std::unique_ptr<RandomBytes>* bytes) const {
  const auto stamp = shard_index::stamp(shard);
  if (!stamp) fail("cannot open ", shard.string(), ": ", std::strerror(errno));
  const auto places = shard_index::places(shard, cache_dir);
  for (const auto& place : places) {
    if (auto index = shard_index::parse(place, *stamp, is_packed_shard(shard))) return std::move(*index);
  }
  bool cut = false;
  auto opened = open_shard_bytes(shard, cut);
  ShardIndex index = group_members(read_tar(*opened));
  index.truncated |= cut;
  if (bytes) *bytes = std::move(opened);
  if (!write) return index;
  for (const auto& place : places) {
    try {
      write_file_atomically(place, shard_index::dump(index, *stamp));
      break;
    } catch (const std::exception&) {
      // No room or no permission here, or a key that JSON cannot hold: an index only saves time.
    }
  }
  return index;
}

}  // namespace vlm
