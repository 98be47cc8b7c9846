#include "vlm/data/grounding_transforms.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include "vlm/core/error.h"

namespace vlm {

SquarePicture pad_to_square(const Tensor& pixels, const Corners& box, int64_t size, const std::vector<double>& mean, const std::vector<double>& std) {
  if (pixels.dim() != 3 || pixels.size(0) != 3 || pixels.size(1) > size || pixels.size(2) > size) {
    fail("a picture to be padded to ", size, " x ", size, " must be [3, h, w] of at most that size, not ", pixels.sizes());
  }
  if (mean.size() != 3 || std.size() != 3) fail("mean and std are needed for three channels");
  const int64_t height = pixels.size(1), width = pixels.size(2), top = (size - height) / 2, left = (size - width) / 2;
  const auto channels = [](const std::vector<double>& values) { return at::tensor(values, at::kDouble).to(at::kFloat).view({3, 1, 1}); };
  SquarePicture out;
  out.pixels = at::zeros({3, size, size});
  out.pixels.slice(1, top, top + height).slice(2, left, left + width).copy_((pixels.to(at::kFloat) - channels(mean)) / channels(std));
  out.padding = at::ones({size, size}, at::kLong);
  out.padding.slice(0, top, top + height).slice(1, left, left + width).zero_();
  const auto side = static_cast<float>(size);
  const float x0 = box[0] + static_cast<float>(left), y0 = box[1] + static_cast<float>(top);
  const float x1 = box[2] + static_cast<float>(left), y1 = box[3] + static_cast<float>(top);
  out.box = {(x0 + x1) / 2 / side, (y0 + y1) / 2 / side, (x1 - x0) / side, (y1 - y0) / side};
  return out;
}

Corners mirrored(const Corners& box, float width) { return {width - box[2], box[1], width - box[0], box[3]}; }

std::string mirrored_expression(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (text.compare(at, 4, "left") == 0) {
      out += "right";
      at += 4;
    } else if (text.compare(at, 5, "right") == 0) {
      out += "left";
      at += 5;
    } else {
      out += text[at++];
    }
  }
  return out;
}

}  // namespace vlm
