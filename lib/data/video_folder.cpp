#include "vlm/data/video_folder.h"

#include <ATen/ops/stack.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/data/image_folder.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace video_folder {

constexpr uintmax_t largest_frame = uintmax_t(1) << 28;

bool digit(char c) { return c >= '0' && c <= '9'; }

/// Behind the digits that stand at `at`, zeros in front of them passed over first.
std::string number_at(const std::string& text, size_t& at) {
  while (at + 1 < text.size() && text[at] == '0' && digit(text[at + 1])) ++at;
  const size_t from = at;
  while (at < text.size() && digit(text[at])) ++at;
  return text.substr(from, at - from);
}

}  // namespace video_folder

bool before_by_numbers(const std::string& a, const std::string& b) {
  using namespace video_folder;
  size_t i = 0, j = 0;
  while (i < a.size() && j < b.size()) {
    if (digit(a[i]) && digit(b[j])) {
      const std::string x = number_at(a, i), y = number_at(b, j);
      if (x.size() != y.size()) return x.size() < y.size();
      if (x != y) return x < y;
    } else {
      if (a[i] != b[j]) return a[i] < b[j];
      ++i, ++j;
    }
  }
  if ((i == a.size()) != (j == b.size())) return i == a.size();
  return a < b;
}

void sort_by_numbers(std::vector<fs::path>& files) {
  std::sort(files.begin(), files.end(),
            [](const fs::path& a, const fs::path& b) { return before_by_numbers(a.filename().string(), b.filename().string()); });
}

Tensor read_video_folder(const fs::path& folder, int64_t count, const PreprocessOptions& pictures) {
  if (!fs::exists(folder)) fail_usage("no such folder of frames: ", folder.string());
  if (!fs::is_directory(folder)) fail_usage(folder.string(), " is a file, and no folder of frames");
  std::vector<fs::path> frames;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file() && is_picture_name(entry.path())) frames.push_back(entry.path());
  }
  if (frames.empty()) fail_usage("no frames in ", folder.string());
  sort_by_numbers(frames);
  const Preprocess preprocess(frame_preprocess(pictures));
  std::vector<Tensor> out;
  for (const int64_t i : frame_indices(static_cast<int64_t>(frames.size()), count)) {
    const fs::path& frame = frames[static_cast<size_t>(i)];
    out.push_back(with_context(frame.string(), [&] { return preprocess(read_file(frame, video_folder::largest_frame), {}); }));
  }
  return normalize_frames(at::stack(out), pictures.mean, pictures.std);
}

}  // namespace vlm
