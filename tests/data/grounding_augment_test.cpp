#include "vlm/data/grounding_augment.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "vlm/core/error.h"

namespace vlm {
namespace grounding_augment_test {

/// White inside of `box`, black elsewhere.
Image with_white(int height, int width, const Corners& box) {
  Image image(height, width);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const bool inside = x >= box[0] && x < box[2] && y >= box[1] && y < box[3];
      std::fill_n(image.row(y) + 3 * x, 3, inside ? uint8_t(255) : uint8_t(0));
    }
  }
  return image;
}

GroundingAugmentOptions options(int64_t size) {
  GroundingAugmentOptions out;
  out.size = size;
  out.jitter = 0;
  out.mean = {-0.5, -0.5, -0.5};  // black differs from what lies outside of the picture
  out.std = {1, 1, 1};
  return out;
}

/// Where more than half white is: x0, y0, x1, y1.
Corners white_part(const std::vector<float>& pixels, int64_t size) {
  Corners out = {static_cast<float>(size), static_cast<float>(size), 0, 0};
  for (int64_t y = 0; y < size; ++y) {
    for (int64_t x = 0; x < size; ++x) {
      if (pixels[static_cast<size_t>(y * size + x)] < 1.0F) continue;
      out = {std::min(out[0], static_cast<float>(x)), std::min(out[1], static_cast<float>(y)), std::max(out[2], static_cast<float>(x + 1)), std::max(out[3], static_cast<float>(y + 1))};
    }
  }
  return out;
}

}  // namespace grounding_augment_test

TEST(GroundingAugment, TheBoxGoesWhereItsPixelsGo) {
  using namespace grounding_augment_test;
  const Corners box = {40, 30, 90, 80};
  for (const double crop : {0.0, 1.0}) {
    auto chosen = options(160);
    chosen.crop = crop;
    const GroundingAugment augment(chosen);
    int mirrored = 0;
    for (uint64_t seed = 0; seed < 30; ++seed) {
      const Image image = with_white(200, 300, box);
      std::vector<float> pixels(3 * 160 * 160);
      Corners moved = box;
      std::string text = crop > 0 ? "the cat" : "the left cat";
      SplitMix64 random(seed);
      augment.write(image, moved, text, random, pixels.data());
      const Corners seen = white_part(pixels, 160);
      for (size_t i = 0; i < 4; ++i) EXPECT_NEAR(seen[i], moved[i], 1.01) << "seed " << seed << ", corner " << i;
      mirrored += text == "the right cat";
    }
    if (crop == 0) {
      EXPECT_TRUE(mirrored > 5 && mirrored < 25) << mirrored;
    }
  }
}

TEST(GroundingAugment, TheLongSideIsOneOfSevenAndTheRestIsZero) {
  using namespace grounding_augment_test;
  auto chosen = options(100);
  chosen.crop = chosen.flip = 0;
  const GroundingAugment augment(chosen);
  std::vector<int> lengths;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::vector<float> pixels(3 * 100 * 100, 7);
    Corners box = {0, 0, 40, 20};
    std::string text;
    SplitMix64 random(seed);
    augment.write(with_white(20, 40, box), box, text, random, pixels.data());
    const auto part = std::count_if(pixels.begin(), pixels.begin() + 100 * 100, [](float x) { return x != 0; });
    const auto long_side = static_cast<int>(box[2] - box[0] + 0.5F);
    EXPECT_EQ(part, long_side * (long_side / 2));
    lengths.push_back(long_side);
  }
  std::sort(lengths.begin(), lengths.end());
  lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
  EXPECT_EQ(lengths, (std::vector<int>{70, 75, 80, 85, 90, 95, 100}));
}

TEST(GroundingAugment, CropsKeepSomethingOfTheBoxAndItsDirections) {
  const Corners box = {500, 450, 520, 480};
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SplitMix64 random(seed);
    const Box crop = draw_grounding_crop({700, 800}, box, random);
    const float right = static_cast<float>(crop.left + crop.width), bottom = static_cast<float>(crop.top + crop.height);
    EXPECT_TRUE(right > box[0] && static_cast<float>(crop.left) < box[2] && bottom > box[1] && static_cast<float>(crop.top) < box[3]);
    EXPECT_TRUE(crop.width == 800 || (crop.width >= 384 && crop.width <= 600));
  }
  EXPECT_TRUE(says_where("the rightmost cat"));
  EXPECT_FALSE(says_where("the cat"));
}

TEST(GroundingAugment, AnEmptyBoxAndWrongOptionsAreErrors) {
  using namespace grounding_augment_test;
  const GroundingAugment augment(options(32));
  std::vector<float> pixels(3 * 32 * 32);
  Corners outside = {50, 2, 60, 8};
  std::string text;
  SplitMix64 random(1);
  EXPECT_THROW(augment.write(with_white(20, 40, outside), outside, text, random, pixels.data()), Error);
  auto wrong = options(32);
  wrong.flip = 2;
  EXPECT_THROW(GroundingAugment{wrong}, Error);
}

}  // namespace vlm
