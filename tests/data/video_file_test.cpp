// Video files: programs of the names ffprobe and ffmpeg that are scripts here, and the real ones where they are installed.
#include "vlm/data/video_file.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <functional>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/data/image.h"
#include "vlm/data/image_encode.h"
#include "vlm/data/video_folder.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/program.h"

namespace vlm {
namespace video_file_test {

namespace fs = std::filesystem;

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

/// PATH is this folder alone (with the shell's own tools behind it) as long as it lives.
class Programs {
 public:
  explicit Programs(const std::string& behind = "") : before_(std::getenv("PATH")) {
    ::setenv("PATH", (folder_.path().string() + behind).c_str(), 1);
  }
  ~Programs() { ::setenv("PATH", before_.c_str(), 1); }
  void add(const std::string& name, const std::string& script) {
    write_file_atomically(folder_ / name, "#!/bin/sh\n" + script);
    fs::permissions(folder_ / name, fs::perms::owner_all);
  }
  fs::path operator/(const std::string& name) const { return folder_ / name; }

 private:
  testing::TemporaryFolder folder_;
  std::string before_;
};

/// A picture whose levels are all `level`.
std::string grey(uint8_t level) {
  Image image(4, 6, 3);
  std::fill(image.pixels.begin(), image.pixels.end(), level);
  return encode_png(image);
}

bool installed(const char* name) { return run_program({name, "-version"}).has_value(); }

constexpr const char* tools = ":/usr/bin:/bin";

}  // namespace video_file_test

using namespace video_file_test;

TEST(VideoFile, FramesAreChosenCountedAndReadAsAClip) {
  Programs programs(tools);
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "-clip.mp4", "a video");
  for (int i = 0; i < 3; ++i) write_file_atomically(folder / (std::to_string(i) + ".png"), grey(static_cast<uint8_t>(50 * i)));
  programs.add("ffprobe", "echo 9\n");
  programs.add("ffmpeg", "echo \"$@\" > " + (folder / "words").string() + "\ncat " + folder.path().string() + "/?.png\n");
  PreprocessOptions pictures;
  pictures.size = {4};
  pictures.mean = {0, 0, 0};
  pictures.std = {1, 1, 1};
  const Tensor frames = read_video(folder / "-clip.mp4", 3, pictures);  // of 9: 0, 3, 6
  ASSERT_EQ(frames.sizes(), (std::vector<int64_t>{3, 3, 4, 4}));
  for (int64_t i = 0; i < 3; ++i) EXPECT_TRUE(at::allclose(frames[i], at::full({3, 4, 4}, static_cast<double>(50 * i) / 255), 1e-5, 1e-6)) << i;
  const std::string words = read_file(folder / "words");
  EXPECT_NE(words.find("select=eq(n\\,0)+eq(n\\,3)+eq(n\\,6)"), std::string::npos) << words;
  EXPECT_NE(words.find("-protocol_whitelist file -i file:/"), std::string::npos) << words;
}

TEST(VideoFile, AVideoShorterThanWantedShowsItsFirstFrameAgain) {
  Programs programs(tools);
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "clip.mp4", "a video");
  write_file_atomically(folder / "0.png", grey(90));
  programs.add("ffprobe", "echo 2\n");
  programs.add("ffmpeg", "cat " + (folder / "0.png").string() + "\n");
  EXPECT_EQ(read_video(folder / "clip.mp4", 5, {}).size(0), 5);
}

TEST(VideoFile, WhatCannotBeReadSaysWhy) {
  Programs programs(tools);
  const testing::TemporaryFolder folder;
  const fs::path clip = folder / "clip.mp4";
  write_file_atomically(clip, "a video");
  programs.add("ffprobe", "echo first >&2\necho 'moov atom not found' >&2\nexit 1\n");
  EXPECT_NE(message_of([&] { count_video_frames(clip); }).find("moov atom not found"), std::string::npos);
  programs.add("ffprobe", "exit 0\n");
  EXPECT_NE(message_of([&] { count_video_frames(clip); }).find("no frames"), std::string::npos);
  write_file_atomically(folder / "0.png", grey(90).substr(0, 60));
  programs.add("ffmpeg", "cat " + (folder / "0.png").string() + "\n");
  EXPECT_NE(message_of([&] { read_video_frames(clip, {0}); }).find("1 frames were asked for, and 0 came"), std::string::npos);
}

TEST(VideoFile, WithoutTheProgramsTheErrorSaysWhatToInstall) {
  const Programs nothing;
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "clip.mp4", "a video");
  const std::string message = message_of([&] { read_video(folder / "clip.mp4", 3, {}); });
  EXPECT_NE(message.find("apt-get install ffmpeg"), std::string::npos) << message;
  EXPECT_NE(message.find("folder of its frames"), std::string::npos) << message;
}

TEST(VideoFile, FfmpegGivesTheFramesOfARealVideo) {
  if (!installed("ffmpeg") || !installed("ffprobe")) GTEST_SKIP() << "ffmpeg is not installed";
  const testing::TemporaryFolder folder;
  for (int i = 0; i < 10; ++i) write_file_atomically(folder / ("f" + std::to_string(i) + ".png"), grey(static_cast<uint8_t>(20 * i)));
  const fs::path clip = folder / "clip.avi";
  const auto made = run_program({"ffmpeg", "-v", "error", "-i", folder.path().string() + "/f%d.png", "-c:v", "rawvideo", "-pix_fmt", "bgr24", clip.string()});
  ASSERT_EQ(made->code, 0) << made->err;
  EXPECT_EQ(count_video_frames(clip), 10);
  const auto frames = read_video_frames(clip, {0, 3, 9});
  ASSERT_EQ(frames.size(), 3U);
  for (size_t i = 0; i < 3; ++i) {
    const Image frame = decode_image(frames[i]);
    EXPECT_EQ(frame.width, 6);
    EXPECT_EQ(frame.pixels[0], std::vector<int>({0, 60, 180})[i]);
  }
  write_file_atomically(folder / "text.mp4", "no video");
  EXPECT_NE(message_of([&] { read_video(folder / "text.mp4", 3, {}); }).find("cannot be read as a video"), std::string::npos);
}

TEST(Program, OutputThatIsTooLongAndCodesOfSignalsAreSeen) {
  EXPECT_NE(message_of([] { run_program({"sh", "-c", "yes"}, 100'000); }).find("prints more than"), std::string::npos);
  EXPECT_EQ(run_program({"sh", "-c", "kill -9 $$"})->code, 137);
  const auto both = run_program({"sh", "-c", "echo out; echo one >&2; echo two >&2; exit 3"});
  EXPECT_EQ(both->out, "out\n");
  EXPECT_EQ(both->complaint(), "two");
  EXPECT_EQ(both->code, 3);
  EXPECT_FALSE(run_program({"no-such-program-of-vlm"}).has_value());
}

}  // namespace vlm
