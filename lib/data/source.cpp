#include "vlm/data/source.h"

#include <algorithm>
#include <filesystem>

#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/data/image_folder.h"
#include "vlm/data/webdataset.h"

namespace vlm {

namespace fs = std::filesystem;

namespace source {

/// True as soon as a tar is found, false as soon as a picture in a folder is, whichever comes first in the folder's order;
/// whole data sets are not searched.
bool looks_like_shards(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".tar") return true;
  }
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink)) {
    if (entry.path().extension() == ".tar") return true;
    if (is_picture_name(entry.path()) && entry.path().parent_path() != folder) return false;
  }
  return false;
}

}  // namespace source

Sample Source::read_number(int64_t number) const {
  if (number < 0 || number >= size()) fail(name_, " has no sample ", number, "; it holds ", size());
  const auto shard = std::upper_bound(starts_.begin(), starts_.end(), number) - starts_.begin();
  return read(shard, shard == 0 ? number : number - starts_[static_cast<size_t>(shard - 1)]);
}

void Source::set_sizes(std::vector<int64_t> sizes) {
  sizes_ = std::move(sizes);
  starts_.clear();
  int64_t total = 0;
  for (const int64_t size : sizes_) starts_.push_back(total += size);
}

std::string Source::sizes_hash() const {
  std::vector<uint64_t> numbers = {static_cast<uint64_t>(shard_count())};
  for (int64_t s = 0; s < shard_count(); ++s) {
    numbers.push_back(static_cast<uint64_t>(shard_size(s)));
    numbers.push_back(fnv1a64(shard_name(s)));
  }
  return std::to_string(mix(numbers));
}

DecodeOptions SourceOptions::decode_options() const {
  DecodeOptions decode;
  if (alpha == "drop") {
    decode.alpha = Alpha::drop;
  } else if (alpha == "white") {
    decode.alpha = Alpha::white;
  } else if (alpha == "black") {
    decode.alpha = Alpha::black;
  } else {
    fail_usage("alpha is drop, white or black, not '", alpha, "'");
  }
  decode.max_pixels = max_image_pixels;
  decode.truncated = truncated_images;
  return decode;
}

std::unique_ptr<Source> open_source(const SourceOptions& options) {
  if (options.path.empty()) fail_usage("no data set is given: set its path");
  std::string type = options.type;
  std::error_code error;
  if (type == "auto")
    type = fs::is_directory(options.path, error) && !source::looks_like_shards(options.path) ? "image_folder" : "webdataset";
  if (type == "webdataset") return std::make_unique<WebDatasetSource>(options);
  if (type == "image_folder") return std::make_unique<ImageFolderSource>(options);
  fail_usage("unknown type of data set '", options.type, "'",
             did_you_mean(options.type, {"auto", "webdataset", "image_folder"}),
             "; there are: auto, webdataset, image_folder");
}

}  // namespace vlm
