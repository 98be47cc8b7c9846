#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/program.h"
#include "vlm/core/strings.h"
#include "vlm/data/video_decoder.h"

namespace vlm {

namespace fs = std::filesystem;

namespace video_ffmpeg {

/// The last thing it said, without the "[mov @ 0x5581]" in front.
std::string last_line(const ProgramEnd& end) {
  std::string line;
  for (const auto& each : split(end.messages, "\n")) {
    if (each.find_first_not_of(" \r\t") != std::string::npos && !starts_with(each, "To ignore this,")) line = each;
  }
  while (starts_with(line, "[") && line.find("] ") != std::string::npos) line.erase(0, line.find("] ") + 2);
  std::replace_if(line.begin(), line.end(), [](unsigned char c) { return c < ' ' || c == 127; }, '?');
  return line.empty() ? "it " + describe_end(end.status) : line;
}

void check(const ProgramEnd& end, int64_t max_pixels) {
  const auto said = [&](const char* what) { return end.messages.find(what) != std::string::npos; };
  // Matroska and WebM that are cut may end with code 0, as whole ones do.
  if (said("ended prematurely")) fail("the video is cut short (ffmpeg: ", last_line(end), ")");
  if (end.status == 0) return;
  if (said("matches no streams")) fail("the file holds no video (ffmpeg: ", last_line(end), ")");
  if (said("exceeds specified max pixel count")) {
    fail("the frames of the video have more pixels than the ", max_pixels, " that are allowed");
  }
  fail("ffmpeg cannot decode the video: ", last_line(end), said("Option not found") ? " (version 5.1 or later is needed)" : "");
}

/// "frame=12" among lines "key=value", the last one of which counts.
class FrameCount {
 public:
  void add(std::string_view bytes) {
    for (const char c : bytes) {
      if (c != '\n') {
        if (line_.size() < 100) line_ += c;
        continue;
      }
      if (starts_with(line_, "frame=")) frames_ = std::strtoll(line_.c_str() + 6, nullptr, 10);
      line_.clear();
    }
  }
  int64_t frames() const { return frames_; }

 private:
  std::string line_;
  int64_t frames_ = 0;
};

/// Pictures one behind the other as ffmpeg writes them: "P6\nWIDTH HEIGHT\n255\n", then RGB.
class PpmStream {
 public:
  PpmStream(int64_t max_pixels, const TakeFrame& take) : max_pixels_(max_pixels), take_(take) {}

  void add(std::string_view bytes) {
    while (!bytes.empty()) {
      if (missing_ == 0) {
        header_ += bytes.front();
        bytes.remove_prefix(1);
        if (std::count(header_.begin(), header_.end(), '\n') == 3 || header_.size() > 64) begin();
        continue;
      }
      const size_t n = std::min(missing_, bytes.size());
      std::memcpy(frame_.pixels.data() + (frame_.pixels.size() - missing_), bytes.data(), n);
      missing_ -= n;
      bytes.remove_prefix(n);
      if (missing_ == 0) take_(frame_);
    }
  }
  bool whole() const { return missing_ == 0 && header_.empty(); }

 private:
  void begin() {
    int width = 0, height = 0;
    char end = 0;
    if (std::sscanf(header_.c_str(), "P6 %9d %9d 255%c", &width, &height, &end) != 3 || end != '\n' || width < 1 || height < 1) {
      fail("ffmpeg writes no pictures where it should");
    }
    check_frame_size(width, height, max_pixels_);
    if (frame_.width != width || frame_.height != height) frame_ = Image(height, width);
    missing_ = frame_.pixels.size();
    header_.clear();
  }

  int64_t max_pixels_;
  const TakeFrame& take_;
  std::string header_;
  Image frame_;
  size_t missing_ = 0;
};

class Decoder : public VideoDecoder {
 public:
  Decoder(const fs::path& program, const fs::path& file, int64_t max_pixels)
      : program_(program.string()), input_("file:" + fs::absolute(file).string()), max_pixels_(max_pixels) {}

  int64_t count_frames() override {
    FrameCount count;
    run({"-progress", "pipe:1", "-nostats", "-noautorotate"}, {"-f", "null", "-"}, [&](std::string_view bytes) { count.add(bytes); });
    return count.frames();
  }

  void decode_frames(int64_t step, int64_t count, const TakeFrame& take) override {
    PpmStream pictures(max_pixels_, take);
    const std::string select = concat("select='not(mod(n,", step, "))'");
    run({}, {"-vf", select, "-frames:v", std::to_string(count), "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "pipe:1"},
        [&](std::string_view bytes) { pictures.add(bytes); });
    if (!pictures.whole()) fail("ffmpeg ended in the middle of a frame");
  }

 private:
  /// The name is absolute and says that it is a file, so that it is taken for no option, address or list; and what the file itself names
  /// can be files only. V: of the streams those that are no cover.
  void run(const std::vector<std::string>& before, const std::vector<std::string>& behind,
           const std::function<void(std::string_view)>& take) const {
    std::vector<std::string> words = {program_, "-nostdin", "-hide_banner", "-v", "error", "-xerror", "-protocol_whitelist", "file",
                                      "-max_pixels", std::to_string(max_pixels_)};
    words.insert(words.end(), before.begin(), before.end());
    for (const char* word : {"-i", input_.c_str(), "-map", "0:V:0", "-fps_mode", "passthrough"}) words.emplace_back(word);
    words.insert(words.end(), behind.begin(), behind.end());
    check(run_program(words, take), max_pixels_);
  }

  std::string program_, input_;
  int64_t max_pixels_;
};

}  // namespace video_ffmpeg

std::unique_ptr<VideoDecoder> make_ffmpeg_decoder(const fs::path& file, int64_t max_pixels) {
  const fs::path program = find_program("ffmpeg");
  if (program.empty()) {
    fail_usage("video files are decoded by the program ffmpeg, which is not on PATH: install it (apt-get install ffmpeg), or give a ",
               "folder of the video's frames");
  }
  return std::make_unique<video_ffmpeg::Decoder>(program, file, max_pixels);
}

}  // namespace vlm
