#include "vlm/data/picture_cache.h"

#include <gtest/gtest.h>

namespace vlm {

TEST(PictureCache, KeepsWhatItHasWhenItIsFull) {
  PictureCache cache(2 * 3 * 4 * 3);
  const auto picture = std::make_shared<const Image>(3, 4);
  cache.add(7, picture);
  cache.add(7, picture);
  EXPECT_EQ(cache.bytes(), 3 * 4 * 3);
  cache.add(8, picture);
  cache.add(9, picture);
  EXPECT_EQ(cache.find(7), picture);
  EXPECT_EQ(cache.find(8), picture);
  EXPECT_EQ(cache.find(9), nullptr);
  EXPECT_EQ(cache.bytes(), 2 * 3 * 4 * 3);
}

TEST(PictureCache, ShrinkingKeepsTheShapeAndNeverEnlarges) {
  const Image shrunk = shrink_to_side(Image(100, 50), 20);
  EXPECT_EQ(shrunk.height, 20);
  EXPECT_EQ(shrunk.width, 10);
  EXPECT_EQ(shrink_to_side(Image(2, 1000), 10).height, 1);
  EXPECT_EQ(shrink_to_side(Image(10, 15), 20).width, 15);
  EXPECT_EQ(shrink_to_side(Image(100, 50), 0).height, 100);
}

}  // namespace vlm
