#pragma once
/// Pictures decoded into batches, one batch ahead of who uses them.

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vlm/data/transforms.h"

namespace vlm {

using at::Tensor;

/// A picture in its encoded form, with the name that messages give it.
struct Picture {
  std::string name;
  std::string bytes;
  DecodeOptions decode;

  /// A file that a user named: it is turned upright as its EXIF orientation says.
  static Picture from_file(const std::filesystem::path& file);
};

/// Picture files from what a user wrote: files, folders (all pictures below, by name), patterns with * and ?, and "@FILE" or
/// "-" (a list with one file a line, or standard input). Throws a usage error for a name that stands for nothing.
std::vector<std::filesystem::path> expand_pictures(const std::vector<std::string>& arguments);

/// Videos from what a user wrote, in the same ways: files, folders of frames, and folders of these (videos_below()); patterns match
/// files and folders. Throws a usage error for a name that stands for nothing.
std::vector<std::filesystem::path> expand_videos(const std::vector<std::string>& arguments);

struct PictureBatch {
  Tensor pixels;                   ///< [B, 3, H, W]
  std::vector<std::string> names;  ///< of the rows
  std::vector<PicturePlacement> placements;  ///< of the rows: how large the pictures were, upright, and where they lie in `pixels`
};

/// Gives a picture at every call, false at the end.
using ReadPicture = std::function<bool(Picture&)>;
/// Told of a picture that cannot be used, and why.
using PictureFailed = std::function<void(const std::string&, const std::string&)>;

/// Reads files one after the other; one that cannot be opened goes to `failed`.
ReadPicture read_files(std::vector<std::filesystem::path> files, PictureFailed failed);

class PictureStream {
 public:
  /// `preprocess` must outlive the stream. threads 0: as many as the machine has.
  PictureStream(const Preprocess& preprocess, int64_t height, int64_t width, int64_t batch_size, int threads, ReadPicture read, PictureFailed failed);
  ~PictureStream();
  /// The next batch of at least one picture; false at the end.
  bool next(PictureBatch& batch);

 private:
  struct Work;
  std::unique_ptr<Work> work_;
};

}  // namespace vlm
