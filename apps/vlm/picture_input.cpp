#include "picture_input.h"

#include "command.h"
#include "data_command.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/progress.h"
#include "vlm/core/strings.h"
#include "vlm/data/video.h"
#include "vlm/models/video_model.h"

namespace vlm::apps {

namespace picture_input {

namespace fs = std::filesystem;

constexpr uintmax_t largest_file = 1 << 30;

bool is_override(const std::string& argument) {
  return starts_with(argument, "data.") && argument.find('=') != std::string::npos;
}

/// Pictures one after the other, out of files first and then out of the data set.
class Feed {
 public:
  Feed(const PictureInput& input, const std::function<bool(const std::string&)>& want, EmbedCounts& counts)
      : data_(input.data), want_(want), counts_(counts), source_(input.open_data()) {
    if (const auto pictures = input.pictures(); !pictures.empty()) files_ = expand_pictures(pictures);
    for (size_t i = 0; source_ && i < source_->problems().size(); ++i) failed(source_->problems()[i].what());
    bar_.emplace("pictures", static_cast<int64_t>(files_.size()) + (source_ ? source_->size() : 0), "pictures");
  }

  bool next(Picture& picture) {
    while (at_ < static_cast<int64_t>(files_.size())) {
      const fs::path file = files_[static_cast<size_t>(at_++)].lexically_normal();
      bar_->update(at_);
      if (!wanted(file.string())) continue;
      try {
        picture = Picture::from_file(file);
        return true;
      } catch (const std::exception& error) {
        failed(error.what());
      }
    }
    while (source_ && number_ < source_->size()) {
      const int64_t number = number_++;
      bar_->update(at_ + number_);
      try {
        if (want_ && !wanted(sample_name(data_, number, source_->describe_number(number).key))) continue;
        Sample sample = source_->read_number(number);
        if (sample.images.empty()) throw SampleError("no_image", sample.place());
        picture.name = sample_name(data_, number, sample.key);
        picture.bytes = std::move(sample.images[0].bytes);
        picture.decode = source_->decode_options();
        return true;
      } catch (const SampleError& error) {
        failed(error.what());
      }
    }
    return false;
  }

  void failed(const std::string& what) {
    ++counts_.failed;
    log_warning("left out: ", what);
  }

 private:
  bool wanted(const std::string& name) {
    if (!want_ || want_(name)) return true;
    ++counts_.passed_over;
    return false;
  }

  std::string data_;
  const std::function<bool(const std::string&)>& want_;
  EmbedCounts& counts_;
  std::unique_ptr<Source> source_;
  std::vector<fs::path> files_;
  std::optional<Progress> bar_;
  int64_t at_ = 0, number_ = 0;
};

void embed_videos(const DualEncoderPipeline& pipeline, const PictureInput& input, const std::function<bool(const std::string&)>& want,
                  const std::function<void(const Tensor&, const std::vector<std::string>&)>& keep, EmbedCounts& counts) {
  const auto videos = expand_videos(input.pictures());
  Progress bar("videos", static_cast<int64_t>(videos.size()), "videos");
  for (size_t i = 0; i < videos.size(); ++i) {
    bar.update(static_cast<int64_t>(i));
    const std::string name = videos[i].lexically_normal().string();
    if (want && !want(name)) {
      ++counts.passed_over;
      continue;
    }
    Tensor frames;
    try {
      frames = read_video(videos[i], input.frames, pipeline.preprocess().options());
    } catch (const Error& error) {
      if (error.code() == ExitCode::usage) throw;
      ++counts.failed;
      log_warning("left out: ", error.what());
      continue;
    }
    keep(pipeline.encoder().embed_images(frames.unsqueeze(0)), {name});
    ++counts.embedded;
  }
  bar.update(static_cast<int64_t>(videos.size()));
}

}  // namespace picture_input

std::string sample_name(const std::string& data, int64_t number, const std::string& key) {
  return concat(data, "#", number, ":", key);
}

void PictureInput::add_to(CLI::App& command, const std::string& what) {
  command.add_option("pictures", arguments, what);
  add_data_to(command);
}

void PictureInput::add_data_to(CLI::App& command) {
  command.add_option("--data", data,
                     "A data set's pictures (tars, class folders, lists; see vlm data check --help); data.KEY=VALUE among the "
                     "arguments says how to read it");
}

void add_frames_option(CLI::App& command, int64_t& frames) {
  command
      .add_option("--frames", frames,
                  "The arguments are videos: look at N frames of each (mPLUG). A video is a file, as in --frames 8 clip.mp4, or a folder "
                  "of its frames in the order of their names; a folder without frames stands for the videos below it")
      ->check(at_least_one);
}

void PictureInput::add_frames_to(CLI::App& command) { add_frames_option(command, frames); }

bool PictureInput::given() const { return !data.empty() || !pictures().empty(); }

std::vector<std::string> PictureInput::pictures() const {
  std::vector<std::string> out;
  for (const auto& argument : arguments) {
    if (data.empty() || !picture_input::is_override(argument)) out.push_back(argument);
  }
  return out;
}

std::unique_ptr<Source> PictureInput::open_data() const {
  if (data.empty()) return nullptr;
  DataFlags flags;
  flags.path = data;
  for (const auto& argument : arguments) {
    if (picture_input::is_override(argument)) flags.overrides.push_back(argument);
  }
  return flags.open();
}

EmbedCounts embed_pictures(const DualEncoderPipeline& pipeline, const ModelFlags& flags, const PictureInput& input,
                           const std::function<bool(const std::string&)>& want,
                           const std::function<void(const Tensor&, const std::vector<std::string>&)>& keep) {
  EmbedCounts counts;
  if (input.frames > 0) {
    if (!input.data.empty()) fail_usage("--frames is for videos; a data set holds pictures");
    require<VideoModel>(pipeline.model(), "look at videos", "it takes one picture at a time; mPLUG takes several frames");
    picture_input::embed_videos(pipeline, input, want, keep, counts);
    return counts;
  }
  picture_input::Feed feed(input, want, counts);
  const auto [height, width] = pipeline.encoder().image_size();
  PictureStream stream(
      pipeline.preprocess(), height, width, flags.batch_size, flags.threads, [&](Picture& picture) { return feed.next(picture); },
      [&](const std::string& name, const std::string& reason) { feed.failed(concat(name, ": ", reason)); });
  PictureBatch batch;
  while (stream.next(batch)) {
    counts.embedded += static_cast<int64_t>(batch.names.size());
    keep(pipeline.encoder().embed_images(batch.pixels), batch.names);
  }
  return counts;
}

std::optional<Picture> PictureFinder::find(const std::string& name) const {
  try {
    if (source_ && starts_with(name, data_ + "#")) {
      const std::string rest = name.substr(data_.size() + 1);
      const std::string digits = rest.substr(0, rest.find(':'));
      if (digits.empty() || digits.size() > 15 || digits.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
      const int64_t number = std::stoll(digits);
      if (number >= source_->size()) return std::nullopt;
      Sample sample = source_->read_number(number);
      if (sample.images.empty() || sample_name(data_, number, sample.key) != name) return std::nullopt;
      return Picture{name, std::move(sample.images[0].bytes), source_->decode_options()};
    }
    std::error_code error;
    // A name out of an index may be anything, a device that never ends among others.
    if (!picture_input::fs::is_regular_file(name, error) || picture_input::fs::file_size(name, error) > picture_input::largest_file) {
      return std::nullopt;
    }
    return Picture::from_file(name);
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace vlm::apps
