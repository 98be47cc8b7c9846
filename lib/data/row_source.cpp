#include "vlm/data/row_source.h"

#include <algorithm>
#include <cstdio>

#include "vlm/data/sample_json.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

RowSource::RowSource(const SourceOptions& options, fs::path file)
    : Source(options.shown_name(), options.decode_options()),
      root_(options.image_root),
      index_files_{options.cache_dir, options.write_index} {
  std::error_code error;
  if (!fs::exists(file, error)) fail_usage("there is no ", file.string());
  if (names_shards(options.image_root)) pictures_ = std::make_unique<ShardPictures>(options.image_root, index_files_);
  begin_file(0, file);
}

void RowSource::begin_file(int64_t first, const fs::path& file) {
  if (!files_.empty() && files_.back().first == first) files_.pop_back();
  files_.emplace_back(first, file);
}

const fs::path& RowSource::file_of(int64_t row) const {
  const auto next =
      std::upper_bound(files_.begin(), files_.end(), row, [](int64_t n, const auto& file) { return n < file.first; });
  return (next == files_.begin() ? next : next - 1)->second;
}

std::string RowSource::place_of(int64_t row) const { return concat(file_of(row).string(), ": row ", row); }

void RowSource::set_rows(int64_t rows) {
  std::vector<int64_t> sizes;
  for (int64_t first = 0; first < rows; first += shard_rows) sizes.push_back(std::min(shard_rows, rows - first));
  set_sizes(std::move(sizes));
}

std::string RowSource::shard_name(int64_t shard) const {
  const fs::path& file = file_of(shard * shard_rows);
  // "folder/" has an empty file name.
  return (file.has_filename() ? file : file.parent_path()).filename().string();
}

Sample RowSource::describe(int64_t shard, int64_t index) const {
  const int64_t n = number(shard, index);
  Sample sample = row(n);
  sample.number = n;
  sample.shard = file_of(n).filename().string();
  if (sample.shard.empty()) sample.shard = shard_name(shard);
  return sample;
}

Sample RowSource::read(int64_t shard, int64_t index) const {
  Sample sample = describe(shard, index);
  load_pictures(sample);
  return sample;
}

fs::path RowSource::root_of(const Sample& sample) const {
  if (!root_.empty()) return root_;
  const fs::path& file = file_of(sample.number);
  std::error_code error;
  return fs::is_directory(file, error) ? file : file.parent_path();
}

const ShardPictures* RowSource::pictures_in(const fs::path& folder) const {
  std::lock_guard lock(mutex_);
  const auto known = beside_.find(folder);
  if (known != beside_.end()) return known->second.get();
  auto& pictures = beside_[folder];
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, error)) {
    if (entry.path().extension() != ".tar") continue;
    pictures = std::make_unique<ShardPictures>(folder.empty() ? "." : folder.string(), index_files_);
    break;
  }
  return pictures.get();
}

std::string RowSource::load_picture(const fs::path& root, const std::string& name, const std::string& place) const {
  std::error_code error;
  // An absolute path replaces the root.
  const fs::path file = root / name;
  const ShardPictures* packed = pictures_.get();
  if (!packed && !fs::exists(file, error)) packed = pictures_in(root);
  if (!packed) return read_picture_file(file, place);
  auto bytes = packed->read(name);
  if (!bytes)
    throw SampleError("bad_image", place,
                      concat("neither is there a file ", file.string(), " nor a member ", name, " of the tars"));
  return std::move(*bytes);
}

void RowSource::load_pictures(Sample& sample) const {
  const fs::path root = root_of(sample);
  for (auto& image : sample.images) image.bytes = load_picture(root, image.name, sample.place());
}

void StoredRows::add(const Sample& sample) {
  starts_.push_back(packed_.size());
  nlohmann::json::to_cbor(sample_to_json(sample), packed_);
}

void StoredRows::add_bad(const std::string& reason, const std::string& detail) {
  starts_.push_back(packed_.size());
  nlohmann::json::to_cbor(nlohmann::json{{"bad", reason}, {"detail", detail}}, packed_);
}

void StoredRows::add_problem(const std::string& reason, const std::string& place, const std::string& detail) {
  problems_.emplace_back(reason, place, detail);
}

Sample StoredRows::row(int64_t number) const {
  const auto i = static_cast<size_t>(number);
  const uint64_t begin = starts_.at(i), end = i + 1 < starts_.size() ? starts_[i + 1] : packed_.size();
  const auto json = nlohmann::json::from_cbor(packed_.begin() + static_cast<std::ptrdiff_t>(begin),
                                              packed_.begin() + static_cast<std::ptrdiff_t>(end));
  if (json.contains("bad")) throw SampleError(json["bad"], place_of(number), json["detail"]);
  return sample_from_json(json);
}

std::string read_picture_file(const fs::path& file, const std::string& place) {
  constexpr uintmax_t largest_file = uintmax_t(1) << 30;
  std::error_code error;
  if (!fs::is_regular_file(file, error))
    throw SampleError("bad_image", place, concat("there is no file ", file.string(), "; image_root may be wrong"));
  try {
    return read_file(file, largest_file);
  } catch (const Error& unreadable) {
    throw SampleError("bad_image", place, unreadable.what());
  }
}

std::string row_key(int64_t row) {
  char text[24];
  std::snprintf(text, sizeof text, "%08lld", static_cast<long long>(row));
  return text;
}

}  // namespace vlm
