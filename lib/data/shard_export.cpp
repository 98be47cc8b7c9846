#include "vlm/data/shard_export.h"

#include <memory>
#include <unordered_set>

#include "vlm/core/strings.h"
#include "vlm/data/image_encode.h"
#include "vlm/data/row_source.h"
#include "vlm/data/sample_json.h"
#include "vlm/data/skips.h"
#include "vlm/data/source_scan.h"
#include "vlm/data/tar_writer.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace shard_export {

std::vector<fs::path> shards_in(const fs::path& folder, const std::string& prefix) {
  std::vector<fs::path> out;
  std::error_code error;
  if (!fs::is_directory(folder, error)) return out;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (is_shard_name(entry.path().filename().string(), prefix)) out.push_back(entry.path());
  }
  return out;
}

/// Where shards wait until all are written; what is left of it goes with this.
struct WaitingRoom {
  fs::path folder;
  explicit WaitingRoom(const fs::path& out, const std::string& prefix) : folder(out / ("." + prefix + ".part")) {
    std::error_code error;
    fs::remove_all(folder, error);
  }
  ~WaitingRoom() {
    std::error_code error;
    fs::remove_all(folder, error);
  }
};

/// Keys that shards can hold, no two alike.
class Keys {
 public:
  std::string key_of(const Sample& sample) {
    std::string key = shard_key(sample.key);
    key.erase(0, std::min(key.find_first_not_of('/'), key.size()));
    const bool usable = !key.empty() && key.back() != '/' && !starts_with(key, "__") && key.size() <= 400;
    if (!usable) key = row_key(sample.number);
    if (!used_.insert(key).second) {
      key += "_" + row_key(sample.number);
      used_.insert(key);
    }
    return key;
  }

 private:
  std::unordered_set<std::string> used_;
};

using Members = std::vector<std::pair<std::string, std::string>>;

Members members_of(Sample& sample, const std::vector<PictureFacts>& pictures, const DecodeOptions& decode) {
  Members members;
  for (size_t i = 0; i < sample.images.size(); ++i) {
    std::string ext = image_format_name(pictures[i].format);
    std::string& bytes = sample.images[i].bytes;
    if (ext == "jpeg") {
      ext = "jpg";
    } else if (ext != "png" && ext != "webp") {
      // Readers look for these three only.
      try {
        DecodeOptions options = decode;
        options.alpha = Alpha::keep;
        bytes = encode_png(decode_image(bytes, options));
      } catch (const Error& error) {
        throw SampleError("bad_image", sample.place(), error.what());
      }
      ext = "png";
    }
    members.emplace_back(i == 0 ? ext : concat(i, ".", ext), std::move(bytes));
  }
  if (!sample.captions.empty()) members.emplace_back("txt", sample.captions[0]);
  members.emplace_back("json", sample_to_json(sample).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (sample.label) members.emplace_back("cls", std::to_string(*sample.label));
  return members;
}

void add_sizes(const fs::path& folder, const std::string& prefix, const ShardExport& done,
               const std::vector<int64_t>& sizes) {
  const fs::path file = folder / "sizes.json";
  auto all = nlohmann::json::object();
  std::error_code error;
  if (fs::exists(file, error)) {
    const auto there = nlohmann::json::parse(read_file(file), nullptr, false);
    if (!there.is_object()) fail(file.string(), " is no list of sizes; remove it and run again with --force");
    for (const auto& [name, count] : there.items()) {
      if (!is_shard_name(name, prefix) && fs::exists(folder / name, error)) all[name] = count;
    }
  }
  for (size_t i = 0; i < sizes.size(); ++i) all[done.shards[i].filename().string()] = sizes[i];
  write_file_atomically(file, all.dump(2) + "\n");
}

}  // namespace shard_export

nlohmann::ordered_json ShardExport::to_json() const {
  auto names = nlohmann::ordered_json::array();
  for (const auto& shard : shards) names.push_back(shard.string());
  auto counts = nlohmann::ordered_json::object();
  for (const auto& [reason, count] : reasons) counts[reason] = count;
  return {{"samples", samples}, {"skipped", skipped}, {"reasons", counts}, {"bytes", bytes}, {"shards", names}};
}

ShardExport export_shards(const Source& source, const ShardExportOptions& options) {
  if (options.prefix.empty() || options.prefix.find('/') != std::string::npos || options.prefix[0] == '.')
    fail_usage("'", options.prefix, "' cannot begin the names of shards");
  if (!options.force && !shard_export::shards_in(options.out, options.prefix).empty()) {
    fail_usage(options.out.string(), " already holds shards ", options.prefix,
               "-*.tar; choose another folder or --prefix, or --force to "
               "replace them");
  }
  const shard_export::WaitingRoom room(options.out, options.prefix);
  ShardWriter writer(room.folder, options.prefix, options.samples_per_shard, options.bytes_per_shard);
  shard_export::Keys keys;
  ShardExport done;
  SkipCounter skips(source.name(), options.strict);
  for (const auto& problem : source.problems()) skips.skip(problem);
  ScanOptions scan;
  scan.pictures = ScanOptions::Pictures::header;
  scan.keep_bytes = true;
  scan.threads = options.threads;
  scan.label = "shard";
  scan_source(source, scan, [&](ScannedSample&& scanned) {
    try {
      if (scanned.error) throw *scanned.error;
      const auto members = shard_export::members_of(scanned.sample, scanned.pictures, source.decode_options());
      for (const auto& [ext, bytes] : members) done.bytes += bytes.size();
      writer.add(keys.key_of(scanned.sample), members);
      skips.use();
    } catch (const SampleError& error) {
      skips.skip(error);
    }
    return true;
  });
  writer.finish();
  if (writer.samples() == 0) fail(skips.summary(), "; there is nothing to write");

  // From here on only names change.
  for (const auto& old : shard_export::shards_in(options.out, options.prefix)) {
    fs::remove(old);
    std::error_code none;
    fs::remove(old.string() + ".idx.json", none);
  }
  for (const auto& shard : writer.shards()) {
    done.shards.push_back(options.out / shard.filename());
    fs::rename(shard, done.shards.back());
  }
  shard_export::add_sizes(options.out, options.prefix, done, writer.sizes());
  if (!source.class_names().empty())
    write_file_atomically(options.out / "classes.txt", join(source.class_names(), "\n") + "\n");
  done.samples = writer.samples();
  done.skipped = skips.skipped();
  done.reasons = skips.reasons();
  return done;
}

}  // namespace vlm
