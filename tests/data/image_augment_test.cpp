#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "image_files.h"
#include "vlm/core/error.h"
#include "vlm/data/image_augment.h"

namespace vlm::test {
namespace image_augment {

TEST(Augment, ChangesNothingAtTheNeutralStrength) {
  SplitMix64 random(1);
  const Image image = random_image(17, 23, 3, random);
  for (const char* name : {"Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast", "Sharpness"}) {
    EXPECT_EQ(augment_by_name(image, name, 0).pixels, image.pixels) << name;
  }
  EXPECT_EQ(posterize(image, 8).pixels, image.pixels);
  EXPECT_EQ(solarize(image, 256).pixels, image.pixels);
  EXPECT_EQ(flip_horizontal(flip_horizontal(image)).pixels, image.pixels);
  EXPECT_EQ(solarize(solarize(image, 0), 0).pixels, image.pixels);
}

TEST(Augment, RotatesCounterClockwise) {
  SplitMix64 random(2);
  const Image square = random_image(16, 16, 3, random);
  EXPECT_EQ(rotate(square, 90).pixels, orient_image(square, 8).pixels);
  EXPECT_EQ(rotate(square, 180).pixels, orient_image(square, 3).pixels);
  const WarpOptions smooth{Filter::bilinear, {128, 128, 128}};
  EXPECT_EQ(rotate(square, 90, smooth).pixels, orient_image(square, 8).pixels);
}

TEST(Augment, BlursAsPillowDoes) {
  Image image(7, 7);
  const std::array<uint8_t, 3> inside = {255, 0, 100}, corner = {0, 200, 0};
  std::copy(inside.begin(), inside.end(), image.row(3) + 3 * 2);
  std::copy(corner.begin(), corner.end(), image.row(0) + 3 * 6);
  const auto line = [](const Image& from, int channel, bool column, int at) {
    std::vector<int> out;
    for (int i = 0; i < 7; ++i) out.push_back(column ? from.row(i)[3 * at + channel] : from.row(at)[3 * i + channel]);
    return out;
  };
  // Pillow 13: ImageFilter.GaussianBlur(radius=sigma).
  const Image one = gaussian_blur(image, 1), two = gaussian_blur(image, 2);
  EXPECT_EQ(line(one, 0, false, 3), (std::vector<int>{6, 24, 42, 24, 6, 1, 0}));
  EXPECT_EQ(line(one, 2, true, 2), (std::vector<int>{0, 2, 9, 16, 9, 2, 0}));
  EXPECT_EQ(line(one, 1, false, 0), (std::vector<int>{0, 0, 0, 1, 8, 37, 83}));
  EXPECT_EQ(line(two, 0, false, 3), (std::vector<int>{9, 9, 10, 9, 6, 4, 2}));
  EXPECT_EQ(line(two, 2, true, 2), (std::vector<int>{2, 2, 3, 4, 3, 2, 2}));
  EXPECT_EQ(line(two, 1, false, 0), (std::vector<int>{0, 1, 4, 9, 19, 30, 38}));
  EXPECT_EQ(gaussian_blur(image, 0).pixels, image.pixels);
  EXPECT_THROW(gaussian_blur(image, -1), Error);
}

TEST(Augment, TranslatesRightAndDownAndFills) {
  SplitMix64 random(3);
  const Image image = random_image(9, 11, 3, random);
  const WarpOptions options{Filter::nearest, {5, 5, 5}};
  EXPECT_EQ(translate(image, 3, 2, options).pixels, crop_or_pad(image, {-2, -3, 9, 11}, 5).pixels);
  EXPECT_EQ(translate(image, -3, -2, options).pixels, crop_or_pad(image, {2, 3, 9, 11}, 5).pixels);
}

TEST(Augment, ShearsRowsByTheirHeight) {
  Image image(10, 20);
  std::fill(image.pixels.begin(), image.pixels.end(), uint8_t(9));
  const Image out = shear_x(image, 0.5);
  for (int y = 0; y < 10; ++y) {
    int filled = 0;
    for (int x = 0; x < 20; ++x) filled += out.row(y)[3 * x] == 9;
    EXPECT_NEAR(filled, 20 - 0.5 * (y + 0.5), 0.76);
  }
}

TEST(Augment, StretchesAndFlattensHistograms) {
  Image image(1, 4);
  image.pixels = {50, 0, 7, 101, 0, 7, 75, 255, 7, 60, 255, 7};
  const Image stretched = autocontrast(image);
  EXPECT_EQ(stretched.pixels[0], 0);
  EXPECT_EQ(stretched.pixels[3], 255);
  EXPECT_EQ(stretched.pixels[2], 7);  // one level only: as it is
  SplitMix64 random(4);
  Image dark = random_image(64, 64, 3, random);
  for (auto& level : dark.pixels) level = uint8_t(level / 8);
  const Image flat = equalize(dark);
  EXPECT_GT(*std::max_element(flat.pixels.begin(), flat.pixels.end()), 240);
  EXPECT_EQ(equalize(Image(3, 3)).pixels, Image(3, 3).pixels);
}

TEST(Augment, TurnsHueByAThirdFromRedToGreen) {
  Image image(1, 1);
  image.pixels = {255, 0, 0};
  const Image out = adjust_hue(image, 1.0 / 3);
  EXPECT_LT(out.pixels[0], 8);
  EXPECT_EQ(out.pixels[1], 255);
  EXPECT_EQ(out.pixels[2], 0);
}

TEST(Augment, KnowsTinyPicturesAndRefusesOthers) {
  for (const auto& name : augment_names()) {
    const Image out = augment_by_name(Image(1, 1), name, 3);
    EXPECT_EQ(out.pixels.size(), 3u) << name;
    EXPECT_THROW((void)augment_by_name(Image(2, 2, 4), name == "Identity" ? "Color" : name, 3), Error) << name;
  }
  EXPECT_THROW(augment_by_name(Image(1, 1), "Rotates", 1), Error);
  EXPECT_THROW(posterize(Image(1, 1), 9), Error);
}

}  // namespace image_augment
}  // namespace vlm::test
