#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/data/ofa_pictures.h"

namespace vlm {
namespace ofa_pictures_test {

/// Dark, with a bright rectangle.
Image picture_of(int height, int width, const Corners& box) {
  Image image(height, width);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool inside = float(x) >= box[0] && float(x) < box[2] && float(y) >= box[1] && float(y) < box[3];
      std::fill_n(image.row(y) + 3 * x, 3, inside ? 250 : 10);
    }
  }
  return image;
}

bool bright(const Image& image, float x, float y) {
  const int column = std::clamp(static_cast<int>(x), 0, image.width - 1), row = std::clamp(static_cast<int>(y), 0, image.height - 1);
  return image.row(row)[3 * column] > 128;
}

/// The rectangle of the picture is where the box says: bright just inside each side and dark just outside.
void expect_box_on_rectangle(const Image& image, const Corners& b) {
  const float x = (b[0] + b[2]) / 2, y = (b[1] + b[3]) / 2, near = 3;
  EXPECT_TRUE(bright(image, x, y));
  EXPECT_TRUE(bright(image, b[0] + near, y) && bright(image, b[2] - near, y) && bright(image, x, b[1] + near) && bright(image, x, b[3] - near));
  const auto width = static_cast<float>(image.width), height = static_cast<float>(image.height);
  EXPECT_TRUE(!(b[0] > near) || !bright(image, b[0] - near, y));
  EXPECT_TRUE(!(b[2] < width - near) || !bright(image, b[2] + near, y));
  EXPECT_TRUE(!(b[1] > near) || !bright(image, x, b[1] - near));
  EXPECT_TRUE(!(b[3] < height - near) || !bright(image, x, b[3] + near));
}

const OfaPictureOptions small = {.patch_image_size = 64, .code_image_size = 24, .max_resize = 96, .max_side = 128};

}  // namespace ofa_pictures_test

namespace ofa = ofa_pictures_test;

TEST(OfaBoxes, ComeBackFromTheirBinsWithinHalfABin) {
  const ImageSize size{427, 640}, to = ofa_resized(size, 512, 512);
  EXPECT_EQ(to.height, 512);
  EXPECT_EQ(to.width, 512);
  const ResizeRatios ratios = resize_ratios(size, to);
  const Corners box{12.5f, 0, 639.25f, 427};
  const Corners back = from_bins(to_bins(scaled(box, ratios)), ratios);
  for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(back[i], box[i], 0.51 * 512 / 999 / (i % 2 ? ratios.height : ratios.width));
  EXPECT_EQ(to_bins({-5, 0, 600, 512})[0], 0);
  EXPECT_EQ(to_bins({-5, 0, 600, 512})[2], 999);
}

TEST(OfaBoxes, KeepTheShapeOfPicturesUpToTheLongestSide) {
  const auto size = [](int h, int w, int64_t side, int64_t most) {
    const ImageSize to = ofa_resized({h, w}, side, most);
    return std::pair(to.height, to.width);
  };
  EXPECT_EQ(size(100, 151, 64, 672), std::pair(64, 96));
  EXPECT_EQ(size(151, 100, 64, 672), std::pair(96, 64));
  EXPECT_EQ(size(100, 900, 64, 128), std::pair(64, 128));
  EXPECT_EQ(size(64, 900, 64, 128), std::pair(64, 128));
}

TEST(OfaPictures, MoveBoxesWithWhatIsInThem) {
  const Corners box{40, 30, 110, 75};
  const Image image = ofa::picture_of(120, 160, box);
  for (uint64_t seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(seed);
    SplitMix64 random(seed);
    const auto found = augment_grounding(image, {box}, ofa::small, random);
    ASSERT_EQ(found.image.height, 64);
    ASSERT_EQ(found.image.width, 64);
    ASSERT_EQ(found.boxes.size(), 1u);
    ofa::expect_box_on_rectangle(found.image, found.boxes[0]);
    const auto detected = augment_detection(image, {box}, ofa::small, random);
    ASSERT_EQ(detected.image.height, 48);
    if (!detected.boxes.empty() && detected.boxes[0][2] - detected.boxes[0][0] > 8 && detected.boxes[0][3] - detected.boxes[0][1] > 8) {
      ofa::expect_box_on_rectangle(detected.image, detected.boxes[0]);
    }
  }
  const auto whole = squashed(image, {box}, 64);
  ofa::expect_box_on_rectangle(whole.image, whole.boxes[0]);
}

TEST(OfaPictures, CentreTheBoxThatIsToBeFound) {
  const Corners box{150, 10, 170, 30};
  const Image image = ofa::picture_of(100, 320, box);
  const OfaPictureOptions fixed = {.patch_image_size = 100, .max_resize = 100};
  SplitMix64 random(1);
  const auto found = augment_grounding(image, {box}, fixed, random);
  EXPECT_EQ(found.boxes[0], (Corners{40, 10, 60, 30}));
  const auto at_the_edge = augment_grounding(image, {{300, 10, 320, 30}}, fixed, random);
  EXPECT_EQ(at_the_edge.boxes[0], (Corners{80, 10, 100, 30}));
  EXPECT_THROW(augment_grounding(image, {}, fixed, random), Error);
}

TEST(OfaPictures, DropObjectsThatDetectionCutsOff) {
  const Image image(200, 400);
  const std::vector<Corners> boxes = {{0, 50, 40, 150}, {180, 50, 220, 150}, {360, 50, 400, 150}};
  int64_t kept = 0, flipped = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SplitMix64 random(seed);
    const auto out = augment_detection(image, boxes, ofa::small, random);
    ASSERT_EQ(out.boxes.size(), out.kept.size());
    EXPECT_LT(out.kept.size(), 3u);  // a square cannot hold both ends of a picture twice as wide as high
    kept += static_cast<int64_t>(out.kept.size());
    for (const auto& box : out.boxes) {
      EXPECT_LT(box[0], box[2]);
      EXPECT_LE(box[2], 48);
      EXPECT_GE(box[0], 0);
    }
    if (out.boxes.size() == 2 && out.boxes[0][0] > out.boxes[1][0]) ++flipped;
  }
  EXPECT_GT(kept, 50);
  EXPECT_GT(flipped, 5);
}

TEST(OfaPictures, HideTheCentreAfterNormalisation) {
  Image image(48, 48);
  std::fill(image.pixels.begin(), image.pixels.end(), 255);
  std::vector<float> numbers(3 * 48 * 48, -7);
  write_infilling_picture(image, Normalizer({0.5, 0.5, 0.5}, {0.5, 0.5, 0.5}, 1.0 / 255, true), 24, numbers.data());
  EXPECT_EQ(std::count(numbers.begin(), numbers.end(), 0.0f), 3 * 24 * 24);
  EXPECT_EQ(std::count(numbers.begin(), numbers.end(), 1.0f), 3 * (48 * 48 - 24 * 24));
  const auto at = [&](int y, int x) { return numbers[static_cast<size_t>(y * 48 + x)]; };
  EXPECT_TRUE(at(12, 12) == 0 && at(35, 35) == 0 && at(11, 12) == 1 && at(36, 35) == 1);
}

TEST(OfaPictures, AreTheSameForTheSameStream) {
  const Image image = ofa::picture_of(90, 200, {20, 20, 60, 70});
  SplitMix64 first(3), second(3), third(4);
  const Image a = augment_pair(image, ofa::small, first), b = augment_pair(image, ofa::small, second), c = augment_pair(image, ofa::small, third);
  EXPECT_EQ(a.height, 64);
  EXPECT_EQ(a.width, 64);
  EXPECT_EQ(a.pixels, b.pixels);
  EXPECT_NE(a.pixels, c.pixels);
}

}  // namespace vlm
