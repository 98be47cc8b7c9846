#include "vlm/data/image_text_folder.h"

#include <algorithm>
#include <set>

#include "vlm/core/strings.h"
#include "vlm/data/image_folder.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace fs = std::filesystem;

namespace image_text_folder {

constexpr uintmax_t longest_text = 16 << 20;

struct Found {
  std::vector<std::string> pictures, texts;
};

/// `above`: the folders on the way here; a link back to one of them must not go round for ever.
void find(Found& found, const fs::path& root, const fs::path& folder, std::set<fs::path> above) {
  if (!above.insert(fs::canonical(folder)).second) return;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_directory()) {
      find(found, root, entry.path(), above);
    } else if (is_picture_name(entry.path())) {
      found.pictures.push_back(entry.path().lexically_relative(root).generic_string());
    } else if (entry.path().extension() == ".txt") {
      found.texts.push_back(entry.path().lexically_relative(root).generic_string());
    }
  }
}

std::string stem_of(const std::string& path) { return path.substr(0, path.rfind('.')); }

}  // namespace image_text_folder

std::vector<std::string> caption_lines(std::string_view content) {
  std::vector<std::string> out;
  for (const auto& line : split(content, "\n")) {
    if (const auto text = strip(line); !text.empty()) out.emplace_back(text);
  }
  return out;
}

ImageTextFolderSource::ImageTextFolderSource(const SourceOptions& options)
    : RowSource(options, options.path), folder_(options.path) {
  if (!fs::is_directory(folder_)) fail_usage(options.path, " is no folder");
  image_text_folder::Found found;
  image_text_folder::find(found, folder_, folder_, {});
  pictures_ = std::move(found.pictures);
  std::sort(pictures_.begin(), pictures_.end());
  std::sort(found.texts.begin(), found.texts.end());
  std::set<std::string> stems;
  for (const auto& picture : pictures_) stems.insert(image_text_folder::stem_of(picture));
  for (const auto& text : found.texts) {
    if (stems.count(image_text_folder::stem_of(text)) == 0)
      problems_.emplace_back("no_image", (folder_ / text).string(), "a text without a picture");
  }
  set_rows(static_cast<int64_t>(pictures_.size()));
}

Sample ImageTextFolderSource::row(int64_t number) const {
  const std::string& picture = pictures_.at(static_cast<size_t>(number));
  const std::string place = (folder_ / picture).string();
  const fs::path text = folder_ / (image_text_folder::stem_of(picture) + ".txt");
  std::error_code error;
  if (!fs::is_regular_file(text, error))
    throw SampleError("no_caption", place, concat("there is no ", text.filename().string()));
  std::string content;
  try {
    content = read_file(text, image_text_folder::longest_text);
  } catch (const Error& unreadable) {
    throw SampleError("no_caption", place, unreadable.what());
  }
  if (!valid_utf8(content)) throw SampleError("bad_text", text.string(), "not UTF-8");
  Sample sample;
  sample.key = picture;
  sample.captions = caption_lines(content);
  if (sample.captions.empty()) throw SampleError("no_caption", place, concat(text.filename().string(), " is empty"));
  sample.images.push_back({picture, ""});
  return sample;
}

}  // namespace vlm
