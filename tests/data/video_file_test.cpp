#include "vlm/data/video.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>

#include "environment.h"
#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/core/program.h"
#include "vlm/core/strings.h"
#include "vlm/data/image_encode.h"
#include "vlm/io/atomic_file.h"

namespace vlm {
namespace video_file_test {

namespace fs = std::filesystem;

const VideoFileOptions by_ffmpeg = {.decoder = "ffmpeg"};

std::string error_of(const std::function<void()>& body, ExitCode code = ExitCode::failed) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    return error.what();
  }
  return "";
}

#define EXPECT_SAYS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

/// A program `ffmpeg` that keeps its words in `words`, one a line, and is all that there is on PATH.
class FakeFfmpeg {
 public:
  /// What it does when it is to count, and when it is to decode.
  FakeFfmpeg(const std::string& count, const std::string& decode) : path_("PATH", folder_.path().string()) {
    testing::write_program(folder_ / "ffmpeg", "for word in \"$@\"; do printf '%s\\n' \"$word\"; done > '" + (folder_ / "words").string() +
                                                   "'\ncase \" $* \" in\n*' -f null '*) " + count + " ;;\n*) " + decode + " ;;\nesac");
    write_file_atomically(clip(), "film");
  }
  fs::path clip() const { return folder_ / "clip.mp4"; }
  /// Of the last run.
  std::vector<std::string> words() const { return split(read_file(folder_ / "words"), "\n"); }
  std::string word_behind(const std::string& option) const {
    const auto all = words();
    const auto found = std::find(all.begin(), all.end(), option);
    return found == all.end() || found + 1 == all.end() ? "" : found[1];
  }

 private:
  testing::TemporaryFolder folder_;
  testing::ChangedVariable path_;
};

std::vector<Image> frames_of(const fs::path& file, int64_t count, const VideoFileOptions& options = by_ffmpeg) {
  std::vector<Image> out;
  for_each_video_frame(file, count, [&](const Image& frame) { out.push_back(frame); }, options);
  return out;
}

const std::string twenty_five = "printf 'frame=7\\nprogress=continue\\nframe=25\\nprogress=end\\n'";
const std::string two_frames =
    "printf 'P6\\n2 1\\n255\\n\\001\\002\\003\\004\\005\\006'; printf 'P6\\n2 1\\n255\\n\\012\\012\\012\\012\\013\\014'";

/// Of one colour.
Image plain(int width, int height, std::array<uint8_t, 3> color) {
  Image out(height, width);
  for (size_t i = 0; i < out.pixels.size(); ++i) out.pixels[i] = color[i % 3];
  return out;
}

/// Of its own colour, the upper half black.
Image frame_of_clip(int i) {
  Image out = plain(24, 16, {static_cast<uint8_t>(20 * i), static_cast<uint8_t>(200 - 20 * i), 90});
  std::fill_n(out.pixels.begin(), out.pixels.size() / 2, uint8_t{0});
  return out;
}

/// Ten frames of 24 x 16 pixels without loss.
void write_clip(const fs::path& folder, const std::string& name) {
  for (int i = 0; i < 10; ++i) {
    write_file_atomically(folder / ("frame" + std::to_string(i) + ".png"), encode_png(frame_of_clip(i)));
  }
  const std::string frames = (folder / "frame%d.png").string();
  std::vector<std::string> words = {find_program("ffmpeg").string(), "-nostdin", "-v", "error", "-y", "-framerate", "10", "-i", frames};
  for (const char* word : {"-c:v", "ffv1", "-pix_fmt", "bgr0"}) words.emplace_back(word);
  words.push_back("file:" + (folder / name).string());
  const ProgramEnd end = run_program(words, [](std::string_view) {});
  ASSERT_EQ(end.status, 0) << end.messages;
}

}  // namespace video_file_test

TEST(VideoFile, FramesAtEvenStepsAreAskedForAndRead) {
  using namespace video_file_test;
  const FakeFfmpeg ffmpeg(twenty_five, two_frames);
  const auto frames = frames_of(ffmpeg.clip(), 2);
  ASSERT_EQ(frames.size(), 2U);
  EXPECT_EQ(frames[0].width, 2);
  EXPECT_EQ(frames[0].height, 1);
  EXPECT_EQ(frames[0].pixels, (std::vector<uint8_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(frames[1].pixels, (std::vector<uint8_t>{10, 10, 10, 10, 11, 12}));
  EXPECT_EQ(ffmpeg.word_behind("-vf"), "select='not(mod(n,12))'");
  EXPECT_EQ(ffmpeg.word_behind("-frames:v"), "2");
  EXPECT_EQ(ffmpeg.word_behind("-i"), "file:" + ffmpeg.clip().string());
  EXPECT_EQ(ffmpeg.word_behind("-protocol_whitelist"), "file");
}

TEST(VideoFile, ShortVideoGivesItsFirstFrameEveryTime) {
  using namespace video_file_test;
  const FakeFfmpeg ffmpeg("printf 'frame=2\\n'", "printf 'P6\\n1 1\\n255\\nabc'");
  const auto frames = frames_of(ffmpeg.clip(), 3);
  ASSERT_EQ(frames.size(), 3U);
  for (const auto& frame : frames) EXPECT_EQ(frame.pixels, (std::vector<uint8_t>{'a', 'b', 'c'}));
  EXPECT_EQ(ffmpeg.word_behind("-frames:v"), "1");
}

TEST(VideoFile, NamesAreNeverTakenForOptionsOrAddresses) {
  using namespace video_file_test;
  const FakeFfmpeg ffmpeg(twenty_five, two_frames);
  const testing::TemporaryFolder folder;
  const fs::path before = fs::current_path();
  fs::current_path(folder.path());
  for (const std::string name : {"-version.mp4", "http:x.mp4", "concat:a|b", "$(touch pwned) `id`;.mp4"}) {
    write_file_atomically(folder / name, "film");
    frames_of(name, 2);
    EXPECT_EQ(ffmpeg.word_behind("-i"), "file:" + (fs::current_path() / name).string());
  }
  EXPECT_FALSE(fs::exists("pwned"));
  fs::current_path(before);
}

TEST(VideoFile, WhatFfmpegSaysLastIsTheError) {
  using namespace video_file_test;
  const FakeFfmpeg ffmpeg("echo '[mov @ 0x55] a first line' >&2; echo '[mov @ 0x55] moov atom not found' >&2; exit 1", two_frames);
  const std::string error = error_of([&] { frames_of(ffmpeg.clip(), 2); });
  EXPECT_EQ(error, ffmpeg.clip().string() + ": ffmpeg cannot decode the video: moov atom not found");
}

TEST(VideoFile, EveryOtherWayToFailIsOneErrorToo) {
  using namespace video_file_test;
  const auto says = [](const std::string& count, const std::string& decode) {
    const FakeFfmpeg ffmpeg(count, decode);
    return error_of([&] { frames_of(ffmpeg.clip(), 2); });
  };
  EXPECT_SAYS(says("exit 3", two_frames), "it ended with code 3");
  EXPECT_SAYS(says("printf 'progress=end\\n'", two_frames), "holds no frames");
  EXPECT_SAYS(says("printf 'frame=0\\n'", two_frames), "holds no frames");
  EXPECT_SAYS(says("echo 'Stream map 0:V:0 matches no streams.' >&2; echo 'To ignore this, add a ?' >&2; exit 1", two_frames),
              "the file holds no video (ffmpeg: Stream map 0:V:0 matches no streams.)");
  EXPECT_SAYS(says("echo 'Unrecognized option fps_mode. Option not found' >&2; exit 1", two_frames), "version 5.1");
  EXPECT_SAYS(says("printf 'frame=9\\n'; echo '[matroska @ 0x1] File ended prematurely' >&2", two_frames), "cut short");
  EXPECT_SAYS(says(twenty_five, two_frames + "; exit 9"), "it ended with code 9");
  EXPECT_SAYS(says(twenty_five, "printf 'P6\\n2 1\\n255\\nabcdef'"), "only 1 of 2 frames");
  EXPECT_SAYS(says(twenty_five, "printf 'P6\\n2 1\\n255\\nabcd'"), "in the middle of a frame");
  EXPECT_SAYS(says(twenty_five, "printf 'P5\\n2 1\\n255\\nab'"), "no pictures");
  EXPECT_SAYS(says(twenty_five, "printf '%0999d' 1"), "no pictures");
  EXPECT_SAYS(says(twenty_five, "printf 'P6\\n90000 90000\\n255\\nab'; exec sleep 60"), "more than the 64000000 that are allowed");
}

TEST(VideoFile, WithoutADecoderTheErrorSaysHowToGetOne) {
  using namespace video_file_test;
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "clip.mp4", "film");
  const testing::ChangedVariable path("PATH", "");
  const std::string error = error_of([&] { frames_of(folder / "clip.mp4", 2); }, ExitCode::usage);
  EXPECT_SAYS(error, "apt-get install ffmpeg");
  EXPECT_SAYS(error, "folder of the video's frames");
}

TEST(VideoFile, OnlyVideosAreRead) {
  using namespace video_file_test;
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "photo.JPG", "x");
  EXPECT_SAYS(error_of([&] { read_video(folder / "photo.JPG", 2, {}); }, ExitCode::usage), "is a picture");
  EXPECT_SAYS(error_of([&] { read_video(folder / "none.mp4", 2, {}); }, ExitCode::usage), "no such video");
  EXPECT_SAYS(error_of([&] { frames_of(folder / "none.mp4", 2); }, ExitCode::usage), "no video file");
  EXPECT_SAYS(error_of([&] { frames_of(folder / "photo.JPG", 2, {.decoder = "gstreamer"}); }, ExitCode::usage), "auto, opencv or ffmpeg");
  EXPECT_TRUE(is_video_name("a/b.MP4"));
  EXPECT_TRUE(is_video_name("a.gif"));
  EXPECT_FALSE(is_video_name("a.png"));
  EXPECT_FALSE(is_video_name("mp4"));
}

TEST(VideoFile, FoldersStandForTheVideosBelowThem) {
  using namespace video_file_test;
  const testing::TemporaryFolder folder;
  for (const char* name : {"clip10.mp4", "clip9.webm", "notes.txt", "more/z.avi", "frames/f1.png", "frames/not.mp4", "empty/none.txt"}) {
    write_file_atomically(folder / name, "x");
  }
  const std::vector<fs::path> expected = {folder / "clip9.webm", folder / "clip10.mp4", folder / "frames", folder / "more/z.avi"};
  EXPECT_EQ(videos_below(folder.path()), expected);
  EXPECT_EQ(videos_below(folder / "frames"), (std::vector<fs::path>{folder / "frames"}));
  EXPECT_TRUE(videos_below(folder / "empty").empty());
}

TEST(VideoFile, RealClipHasItsColoursFrameByFrame) {
  using namespace video_file_test;
  if (find_program("ffmpeg").empty()) GTEST_SKIP() << "ffmpeg is not installed";
  const testing::TemporaryFolder folder;
  for (const std::string name : {"clip.mkv", "-clip.mkv", "concat:clip.mkv"}) {
    write_clip(folder.path(), name);
    const auto frames = frames_of(folder / name, 3);  // d = 3: 0, 3, 6
    ASSERT_EQ(frames.size(), 3U);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(frames[static_cast<size_t>(i)].width, 24);
      EXPECT_EQ(frames[static_cast<size_t>(i)].pixels, frame_of_clip(3 * i).pixels) << name << " " << i;
    }
  }
  PreprocessOptions pictures;
  pictures.size = {8};
  pictures.mean = {0, 0, 0};
  pictures.std = {1, 1, 1};
  const Tensor video = read_video(folder / "clip.mkv", 20, pictures, by_ffmpeg);  // d = 0
  ASSERT_EQ(video.sizes(), (std::vector<int64_t>{20, 3, 8, 8}));
  EXPECT_TRUE(at::allclose(video.select(1, 1).slice(1, 6), at::full({20, 2, 8}, 200. / 255), 1e-5, 1e-6));
}

TEST(VideoFile, TurnedVideosComeUprightFromEitherDecoder) {
  using namespace video_file_test;
  if (find_program("ffmpeg").empty()) GTEST_SKIP() << "ffmpeg is not installed";
  const testing::TemporaryFolder folder;
  write_clip(folder.path(), "clip.mkv");
  const std::string program = find_program("ffmpeg").string(), from = (folder / "clip.mkv").string(), flat = (folder / "flat.mp4").string();
  const std::string turned = (folder / "turned.mp4").string();
  const auto silent = [](std::string_view) {};
  ASSERT_EQ(run_program({program, "-nostdin", "-v", "error", "-i", from, "-c:v", "mpeg4", flat}, silent).status, 0);
  // The matrix of the track in the file's header (tkhd): identity becomes a quarter turn.
  std::string bytes = read_file(flat);
  const std::string one("\0\1\0\0", 4), zero(4, '\0'), minus_one("\xff\xff\0\0", 4), last("\x40\0\0\0", 4);
  const size_t track = bytes.find("tkhd");
  ASSERT_NE(track, std::string::npos);
  const size_t matrix = bytes.find(one + zero + zero + zero + one + zero + zero + zero + last, track);
  ASSERT_NE(matrix, std::string::npos);
  bytes.replace(matrix, 36, zero + one + zero + minus_one + zero + zero + zero + zero + last);
  write_file_atomically(turned, bytes);
  EXPECT_EQ(frames_of(flat, 2).front().width, 24);
  for (const char* decoder : {"ffmpeg", "auto"}) {
    const Image frame = frames_of(turned, 2, {.decoder = decoder}).front();
    ASSERT_EQ(frame.width, 16) << decoder;
    ASSERT_EQ(frame.height, 24) << decoder;
    // What was above lies to the right.
    EXPECT_LT(frame.row(12)[3 * 14 + 1], 30) << decoder;
    EXPECT_GT(frame.row(12)[3 * 1 + 1], 150) << decoder;
  }
}

TEST(VideoFile, OpenCvSeesTheSameFramesWhereItIsBuiltIn) {
  using namespace video_file_test;
  if (find_program("ffmpeg").empty()) GTEST_SKIP() << "ffmpeg is not installed";
  const testing::TemporaryFolder folder;
  write_clip(folder.path(), "clip.mkv");
  if (!make_opencv_decoder(folder / "clip.mkv", 1 << 20)) GTEST_SKIP() << "this build has no videoio";
  const auto frames = frames_of(folder / "clip.mkv", 4, {.decoder = "opencv"}), same = frames_of(folder / "clip.mkv", 4);
  ASSERT_EQ(frames.size(), same.size());
  for (size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(frames[i].pixels, same[i].pixels) << i;
  EXPECT_SAYS(error_of([&] { frames_of(folder / "clip.mkv", 4, {.decoder = "opencv", .max_pixels = 100}); }), "more than the 100");
}

TEST(VideoFile, RealFilesThatAreCutTooLargeOrNoVideoAreErrors) {
  using namespace video_file_test;
  if (find_program("ffmpeg").empty()) GTEST_SKIP() << "ffmpeg is not installed";
  const testing::TemporaryFolder folder;
  write_clip(folder.path(), "clip.mkv");
  const std::string whole = read_file(folder / "clip.mkv");
  write_file_atomically(folder / "cut.mkv", std::string_view(whole).substr(0, whole.size() * 2 / 3));
  EXPECT_SAYS(error_of([&] { frames_of(folder / "cut.mkv", 2); }), "cut.mkv: the video is cut short");
  write_file_atomically(folder / "junk.mp4", "this is no film");
  EXPECT_SAYS(error_of([&] { frames_of(folder / "junk.mp4", 2); }), "junk.mp4: ffmpeg cannot decode the video");
  EXPECT_SAYS(error_of([&] { frames_of(folder / "clip.mkv", 2, {.decoder = "ffmpeg", .max_pixels = 300}); }), "more pixels than the 300");
  const std::string program = find_program("ffmpeg").string(), sound = (folder / "sound.wav").string();
  const std::vector<std::string> words = {program, "-nostdin", "-v", "error", "-f", "lavfi", "-i", "sine=duration=0.1", sound};
  const ProgramEnd end = run_program(words, [](std::string_view) {});
  ASSERT_EQ(end.status, 0) << end.messages;
  EXPECT_SAYS(error_of([&] { frames_of(folder / "sound.wav", 2); }), "sound.wav: the file holds no video");
}

}  // namespace vlm
