#include "vlm/data/image_folder.h"

#include <algorithm>
#include <set>

#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace fs = std::filesystem;

namespace image_folder {

constexpr uintmax_t largest_file = uintmax_t(1) << 30;

/// Adds the pictures below `folder` as paths relative to `root`. `above` are the folders on the way here: a link back to one
/// of them must not go round for ever.
void add_pictures(std::vector<std::string>& pictures, const fs::path& root, const fs::path& folder,
                  std::set<fs::path> above) {
  if (!above.insert(fs::canonical(folder)).second) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) {
      add_pictures(pictures, root, entry.path(), above);
    } else if (is_picture_name(entry.path())) {
      pictures.push_back(entry.path().lexically_relative(root).generic_string());
    }
  }
}

std::vector<std::string> read_names(const fs::path& file, size_t classes) {
  std::vector<std::string> names;
  for (const auto& line : split(read_file(file), "\n")) names.emplace_back(strip(line));
  while (!names.empty() && names.back().empty()) names.pop_back();
  if (names.size() != classes)
    fail_usage(file.string(), " names ", names.size(), " classes, but there are ", classes, " class folders");
  return names;
}

}  // namespace image_folder

bool is_picture_name(const fs::path& file) {
  const std::string ext = ascii_lower(file.extension().string());
  return ext == ".jpg" || ext == ".jpeg" || ext == ".png" || ext == ".webp";
}

ImageFolderSource::ImageFolderSource(const SourceOptions& options)
    : Source(options.name.empty() ? options.path : options.name, options.decode_options()), root_(options.path) {
  std::error_code error;
  if (!fs::is_directory(root_, error)) fail_usage("there is no folder ", root_.string());
  std::vector<std::string> strays;
  for (const auto& entry : fs::directory_iterator(root_)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory()) {
      class_folders_.push_back(name);
    } else if (is_picture_name(name)) {
      strays.push_back(name);
    }
  }
  if (class_folders_.empty()) fail_usage(root_.string(), " holds no class folders (one folder a class, with pictures in it)");
  std::sort(class_folders_.begin(), class_folders_.end());
  std::sort(strays.begin(), strays.end());
  for (const auto& name : strays)
    problems_.emplace_back("stray_file", (root_ / name).string(), "a picture outside every class folder");
  for (const auto& name : class_folders_) {
    std::vector<std::string> pictures;
    image_folder::add_pictures(pictures, root_, root_ / name, {});
    if (pictures.empty()) log_warning(name_, ": the class folder ", name, " holds no pictures");
    std::sort(pictures.begin(), pictures.end());
    pictures_.insert(pictures_.end(), std::make_move_iterator(pictures.begin()), std::make_move_iterator(pictures.end()));
    class_ends_.push_back(static_cast<int64_t>(pictures_.size()));
  }
  if (options.classnames.empty()) {
    class_names_ = class_folders_;
    for (auto& name : class_names_) std::replace(name.begin(), name.end(), '_', ' ');
  } else {
    class_names_ = image_folder::read_names(options.classnames, class_folders_.size());
  }
  std::vector<int64_t> sizes;
  const auto count = static_cast<int64_t>(pictures_.size());
  for (int64_t first = 0; first < count; first += shard_rows) sizes.push_back(std::min(shard_rows, count - first));
  set_sizes(std::move(sizes));
}

std::string ImageFolderSource::shard_name(int64_t) const {
  // "folder/" has an empty file name.
  return (root_.has_filename() ? root_ : root_.parent_path()).filename().string();
}

Sample ImageFolderSource::read(int64_t shard, int64_t index) const {
  Sample sample;
  sample.number = number(shard, index);
  const std::string& path = pictures_.at(static_cast<size_t>(sample.number));
  sample.key = path;
  sample.shard = shard_name(shard);
  sample.label = std::upper_bound(class_ends_.begin(), class_ends_.end(), sample.number) - class_ends_.begin();
  try {
    sample.images.push_back({path, read_file(root_ / path, image_folder::largest_file)});
  } catch (const Error& error) {
    throw SampleError("bad_image", (root_ / path).string(), error.what());
  }
  return sample;
}

}  // namespace vlm
