#include "vlm/data/video_frames.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "vlm/core/error.h"

namespace vlm {

TEST(VideoFrames, TheStepIsTruncatedOnce) {
  EXPECT_EQ(frame_indices(33, 8), (std::vector<int64_t>{0, 4, 8, 12, 16, 20, 24, 28}));
  EXPECT_EQ(frame_indices(3, 3), (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(frame_indices(2, 3), (std::vector<int64_t>{0, 0, 0}));
  EXPECT_THROW(frame_indices(0, 3), Error);
}

TEST(VideoFrames, BytesAreDividedAndUnitValuesAreNot) {
  const Tensor bytes = at::full({2, 3, 4, 4}, 255, at::kByte), units = at::full({2, 3, 4, 4}, 1.f);
  EXPECT_TRUE(at::allclose(normalize_frames(bytes), normalize_frames(units)));
  EXPECT_TRUE(at::allclose(normalize_frames(units, {0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}), at::full({2, 3, 4, 4}, 2.f)));
  EXPECT_THROW(normalize_frames(at::full({2, 1, 4, 4}, 1.f)), Error);
}

}  // namespace vlm
