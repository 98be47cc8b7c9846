#include "vlm/data/video_folder.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>


#include "error_of.h"
#include "temporary_folder.h"
#include "vlm/data/image_encode.h"
#include "vlm/io/atomic_file.h"

namespace vlm {
namespace video_folder_test {

void write_frame(const std::filesystem::path& file, uint8_t level) {
  Image frame(6, 9, 3);
  std::fill(frame.pixels.begin(), frame.pixels.end(), level);
  write_file_atomically(file, encode_png(frame));
}

using testing::error_of;

}  // namespace video_folder_test

TEST(VideoFolder, NumbersInNamesCountAsNumbers) {
  EXPECT_TRUE(before_by_numbers("frame9.png", "frame10.png"));
  EXPECT_FALSE(before_by_numbers("frame10.png", "frame9.png"));
  EXPECT_TRUE(before_by_numbers("a2b10", "a2b11"));
  EXPECT_TRUE(before_by_numbers("f007.png", "f8.png"));
  EXPECT_TRUE(before_by_numbers("a", "a1"));
  EXPECT_FALSE(before_by_numbers("a1", "a1"));
  // Equal numbers written differently still have an order, and one only.
  EXPECT_NE(before_by_numbers("f07", "f7"), before_by_numbers("f7", "f07"));
}

TEST(VideoFolder, TakesFramesAtEvenStepsFromTheBeginning) {
  using namespace video_folder_test;
  const testing::TemporaryFolder folder;
  for (int i = 0; i < 12; ++i) write_frame(folder / ("f" + std::to_string(i) + ".png"), static_cast<uint8_t>(20 * i));
  write_file_atomically(folder / "notes.txt", "no frame");
  PreprocessOptions pictures;
  pictures.size = {4};
  pictures.mean = {0, 0, 0};
  pictures.std = {1, 1, 1};
  const Tensor frames = read_video_folder(folder.path(), 5, pictures);  // d = 2: 0, 2, 4, 6, 8
  ASSERT_EQ(frames.sizes(), (std::vector<int64_t>{5, 3, 4, 4}));
  for (int64_t i = 0; i < 5; ++i) EXPECT_TRUE(at::allclose(frames[i], at::full({3, 4, 4}, static_cast<double>(40 * i) / 255), 1e-5, 1e-6)) << i;
}

TEST(VideoFolder, FilesAndEmptyFoldersAreRefused) {
  using namespace video_folder_test;
  const testing::TemporaryFolder folder;
  EXPECT_NE(error_of([&] { read_video_folder(folder.path(), 3, {}); }).find("no frames"), std::string::npos);
  write_file_atomically(folder / "clip.mp4", "x");
  EXPECT_NE(error_of([&] { read_video_folder(folder / "clip.mp4", 3, {}); }).find("no folder of frames"), std::string::npos);
}

}  // namespace vlm
