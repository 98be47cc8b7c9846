#include "vlm/infer/picture_stream.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <algorithm>
#include <fstream>
#include <future>
#include <iostream>
#include <thread>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/core/thread_pool.h"
#include "vlm/data/image_header.h"
#include "vlm/data/video.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace picture_stream {

bool is_picture(const fs::path& file) {
  static const std::vector<std::string> extensions = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"};
  return std::find(extensions.begin(), extensions.end(), ascii_lower(file.extension().string())) != extensions.end();
}

std::vector<fs::path> pictures_below(const fs::path& folder) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && is_picture(entry.path())) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<fs::path> matching(const fs::path& pattern, bool folders) {
  const fs::path folder = pattern.parent_path().empty() ? fs::path(".") : pattern.parent_path();
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!entry.is_regular_file() && !(folders && entry.is_directory())) continue;
    if (!glob_match(pattern.filename().string(), entry.path().filename().string())) continue;
    out.push_back(pattern.parent_path().empty() ? entry.path().filename() : entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// Files named in a list, one a line; "-" is standard input.
std::vector<fs::path> listed(const std::string& argument, const std::string& thing) {
  std::ifstream file;
  if (argument != "-") {
    file.open(argument.substr(1));
    if (!file) fail_usage("cannot read the list of ", thing, "s ", argument.substr(1));
  }
  std::istream& in = argument == "-" ? std::cin : file;
  std::vector<fs::path> out;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) out.emplace_back(line);
  }
  return out;
}

/// `thing`: a picture or a video. `below` gives those of a folder; patterns match folders if `folders` can be things.
std::vector<fs::path> expand(const std::vector<std::string>& arguments, const std::string& thing, bool folders,
                             const std::function<std::vector<fs::path>(const fs::path&)>& below) {
  std::vector<fs::path> out;
  for (const auto& argument : arguments) {
    if (argument == "-" || (argument.size() > 1 && argument[0] == '@')) {
      for (auto& file : listed(argument, thing)) out.push_back(std::move(file));
      continue;
    }
    const fs::path path(argument);
    std::vector<fs::path> found;
    if (fs::is_directory(path)) {
      found = below(path);
      if (found.empty()) fail_usage("no ", thing, "s below ", argument);
    } else if (fs::exists(path)) {
      found.push_back(path);
    } else if (argument.find_first_of("*?") != std::string::npos) {
      found = matching(path, folders);
      if (found.empty()) fail_usage("no file matches ", argument);
    } else {
      fail_usage("no such ", thing, ": ", argument);
    }
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

/// Of a picture that could be decoded.
ImageSize upright_size(const Picture& picture) {
  const ImageHeader header = read_image_header(picture.bytes);
  // Orientations 5 to 8 exchange rows and columns.
  if (picture.decode.exif == Exif::apply && exif_orientation(header.exif) >= 5) return {header.size.width, header.size.height};
  return header.size;
}

}  // namespace picture_stream

Picture Picture::from_file(const fs::path& file) {
  Picture picture;
  picture.name = file.string();
  picture.bytes = read_file(file);
  picture.decode.exif = Exif::apply;
  return picture;
}

std::vector<fs::path> expand_pictures(const std::vector<std::string>& arguments) {
  return picture_stream::expand(arguments, "picture", false, picture_stream::pictures_below);
}

std::vector<fs::path> expand_videos(const std::vector<std::string>& arguments) {
  return picture_stream::expand(arguments, "video", true, videos_below);
}

ReadPicture read_files(std::vector<fs::path> files, PictureFailed failed) {
  return [files = std::move(files), failed = std::move(failed), at = size_t{0}](Picture& picture) mutable {
    while (at < files.size()) {
      const fs::path& file = files[at++];
      try {
        picture = Picture::from_file(file);
        return true;
      } catch (const std::exception& error) {
        failed(file.string(), error.what());
      }
    }
    return false;
  };
}

struct PictureStream::Work {
  struct Row {
    std::string name, problem;
    PicturePlacement placement{};
  };
  struct Pending {
    Tensor pixels;
    std::vector<std::future<Row>> rows;
  };

  const Preprocess& preprocess;
  int64_t height, width, batch_size;
  ReadPicture read;
  PictureFailed failed;
  std::optional<Pending> ahead;
  ThreadPool pool;  // last, so that its threads end first

  std::optional<Pending> begin_batch() {
    Pending pending;
    std::vector<Picture> pictures;
    Picture picture;
    while (static_cast<int64_t>(pictures.size()) < batch_size && read(picture)) pictures.push_back(std::move(picture)), picture = {};
    if (pictures.empty()) return std::nullopt;
    pending.pixels = at::empty({static_cast<int64_t>(pictures.size()), 3, height, width}, at::kFloat);
    float* out = pending.pixels.data_ptr<float>();
    for (auto& item : pictures) {
      pending.rows.push_back(pool.submit([this, item = std::move(item), out] {
        Row row{item.name, ""};
        try {
          preprocess.write(item.bytes, item.decode, out);
          row.placement = preprocess.placement(picture_stream::upright_size(item));
        } catch (const std::exception& error) {
          row.problem = error.what();
        }
        return row;
      }));
      out += 3 * height * width;
    }
    return pending;
  }
};

PictureStream::PictureStream(const Preprocess& preprocess, int64_t height, int64_t width, int64_t batch_size, int threads, ReadPicture read,
                             PictureFailed failed)
    : work_(new Work{preprocess, height, width, std::max<int64_t>(1, batch_size), std::move(read), std::move(failed), std::nullopt,
                     ThreadPool(threads > 0 ? threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())))}) {
  work_->ahead = work_->begin_batch();
}

PictureStream::~PictureStream() = default;

bool PictureStream::next(PictureBatch& batch) {
  while (work_->ahead) {
    Work::Pending pending = std::move(*work_->ahead);
    std::vector<int64_t> good;
    batch.names.clear();
    batch.placements.clear();
    for (size_t i = 0; i < pending.rows.size(); ++i) {
      Work::Row row = pending.rows[i].get();
      if (row.problem.empty()) {
        good.push_back(static_cast<int64_t>(i));
        batch.names.push_back(std::move(row.name));
        batch.placements.push_back(row.placement);
      } else {
        work_->failed(row.name, row.problem);
      }
    }
    work_->ahead = work_->begin_batch();
    if (good.empty()) continue;
    const bool all = good.size() == pending.rows.size();
    batch.pixels = all ? pending.pixels : pending.pixels.index_select(0, at::tensor(good, at::kLong));
    return true;
  }
  return false;
}

}  // namespace vlm
