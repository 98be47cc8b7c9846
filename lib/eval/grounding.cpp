#include "vlm/eval/grounding.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

namespace grounding {

struct Overlap {
  float iou = 0;
  bool real = true;  ///< false: right at no threshold
};

Overlap of_corners(const float* p, const float* t) {
  const float w = std::min(p[2], t[2]) - std::max(p[0], t[0]), h = std::min(p[3], t[3]) - std::max(p[1], t[1]);
  const float inter = w * h;
  const float predicted = (p[2] - p[0]) * (p[3] - p[1]), target = (t[2] - t[0]) * (t[3] - t[1]);
  return {inter / (predicted + target - inter + 1e-6f), w > 0 && h > 0};
}

Overlap of_inclusive(const float* p, const float* t) {
  const float x1 = std::max(p[0], t[0]), x2 = std::min(p[0] + p[2] - 1, t[0] + t[2] - 1);
  const float y1 = std::max(p[1], t[1]), y2 = std::min(p[1] + p[3] - 1, t[1] + t[3] - 1);
  const float inter = x1 < x2 && y1 < y2 ? (x2 - x1 + 1) * (y2 - y1 + 1) : 0;
  const float whole = p[2] * p[3] + t[2] * t[3] - inter;
  return {inter / whole, whole != 0};
}

Overlap of_centred(const float* p, const float* t) {
  const auto corners = [](const float* box, float* out) {
    out[0] = box[0] - 0.5f * box[2], out[1] = box[1] - 0.5f * box[3];
    out[2] = box[0] + 0.5f * box[2], out[3] = box[1] + 0.5f * box[3];
  };
  float a[4], b[4];
  corners(p, a);
  corners(t, b);
  for (float& side : a) side = std::clamp(side, 0.0f, 1.0f);
  const float w = std::max(0.0f, std::min(a[2], b[2]) - std::max(a[0], b[0]));
  const float h = std::max(0.0f, std::min(a[3], b[3]) - std::max(a[1], b[1]));
  const float predicted = (a[2] - a[0]) * (a[3] - a[1]), target = (b[2] - b[0]) * (b[3] - b[1]);
  return {w * h / (predicted + target - w * h + 1e-16f), true};
}

}  // namespace grounding

BoxVariant box_variant_named(const std::string& name) {
  if (name == "ofa") return BoxVariant::ofa;
  if (name == "albef") return BoxVariant::albef;
  if (name == "mplug") return BoxVariant::mplug;
  fail_usage("unknown variant of boxes '", name, "'; there are ofa, albef and mplug");
}

GroundingAccuracy grounding_accuracy(const Tensor& predicted, const Tensor& target, BoxVariant variant, double threshold) {
  if (predicted.dim() != 2 || predicted.size(1) != 4 || predicted.sizes() != target.sizes() || predicted.size(0) == 0) {
    fail("grounding needs as many predicted boxes as targets, [N, 4]: got ", predicted.sizes(), " and ", target.sizes());
  }
  const Tensor p = predicted.detach().to(at::kFloat).cpu().contiguous(), t = target.detach().to(at::kFloat).cpu().contiguous();
  const int64_t count = p.size(0);
  GroundingAccuracy out{at::zeros({count}), at::zeros({count}), 0};
  const auto overlap = variant == BoxVariant::ofa     ? grounding::of_corners
                       : variant == BoxVariant::albef ? grounding::of_inclusive
                                                      : grounding::of_centred;
  for (int64_t i = 0; i < count; ++i) {
    const auto got = overlap(p.const_data_ptr<float>() + 4 * i, t.const_data_ptr<float>() + 4 * i);
    const bool right = got.real && got.iou >= static_cast<float>(threshold);
    out.iou.mutable_data_ptr<float>()[i] = got.iou;
    out.correct.mutable_data_ptr<float>()[i] = right ? 1 : 0;
    out.accuracy += right ? 1.0 / static_cast<double>(count) : 0;
  }
  return out;
}

BoxPick pick_box(const Tensor& map, const Tensor& boxes, int64_t height, int64_t width, double exponent) {
  if (map.dim() != 2 || boxes.dim() != 2 || boxes.size(1) != 4 || height < 1 || width < 1) {
    fail("a box is picked by a map [s, s'] among boxes [N, 4] of a picture: got ", map.sizes(), " and ", boxes.sizes(), " in ", width, " x ", height);
  }
  const std::array<int64_t, 2> size{height, width};
  const Tensor heat = at::upsample_bicubic2d(map.detach().to(at::kFloat).cpu().unsqueeze(0).unsqueeze(0), size, /*align_corners=*/false)[0][0].contiguous();
  const Tensor all = boxes.detach().to(at::kDouble).cpu().contiguous();
  BoxPick out{at::empty({all.size(0)}), -1};
  double best = 0;
  for (int64_t n = 0; n < all.size(0); ++n) {
    const double* box = all.const_data_ptr<double>() + 4 * n;
    if (!(box[2] > 0 && box[3] > 0)) fail("box ", n, " is ", box[2], " x ", box[3], "; a box to pick has an area");
    const auto range = [](double from, double extent, int64_t limit) {
      return std::pair(std::clamp<int64_t>(static_cast<int64_t>(from), 0, limit), std::clamp<int64_t>(static_cast<int64_t>(from + extent), 0, limit));
    };
    const auto [x0, x1] = range(box[0], box[2], width);
    const auto [y0, y1] = range(box[1], box[3], height);
    double sum = 0;
    for (int64_t y = y0; y < y1; ++y) {
      const float* row = heat.const_data_ptr<float>() + y * width;
      for (int64_t x = x0; x < x1; ++x) sum += row[x];
    }
    const double score = sum / std::pow(box[2] * box[3], exponent);
    out.scores.mutable_data_ptr<float>()[n] = static_cast<float>(score);
    if (score > best) best = score, out.best = n;
  }
  return out;
}

}  // namespace vlm
