#include "vlm/train/second_view.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/upsample_bilinear2d.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "vlm/core/error.h"

namespace vlm {

at::Tensor second_pictures(const at::Tensor& images, const SecondViewOptions& options, SplitMix64& random) {
  if (!(options.crop > 0 && options.crop <= 1)) fail_usage("second_view.crop is ", options.crop, "; it is a part above 0, and at most 1");
  const int64_t height = images.size(2), width = images.size(3);
  const std::array<int64_t, 2> size{height, width};
  std::vector<at::Tensor> out;
  for (int64_t b = 0; b < images.size(0); ++b) {
    const double side = std::sqrt(random.uniform(options.crop, 1));
    const auto extent = [&](int64_t whole) { return std::clamp<int64_t>(std::llround(side * static_cast<double>(whole)), 1, whole); };
    const auto start = [&](int64_t whole, int64_t part) { return static_cast<int64_t>(random.below(static_cast<uint64_t>(whole - part + 1))); };
    const int64_t h = extent(height), w = extent(width);
    const int64_t y = start(height, h), x = start(width, w);
    at::Tensor view = images.narrow(0, b, 1).narrow(2, y, h).narrow(3, x, w);
    if (random.chance(options.flip)) view = view.flip(3);
    out.push_back(h == height && w == width ? view : at::upsample_bilinear2d(view, size, /*align_corners=*/false));
  }
  return at::cat(out);
}

at::Tensor second_texts(const Batch& batch, const SecondViewOptions& options, const std::function<void(const std::string&, int64_t*)>& tokenize,
                        SplitMix64& random) {
  const int64_t length = batch.ids.size(1);
  const at::Tensor ids = at::empty({static_cast<int64_t>(batch.texts.size()), length}, at::kLong);
  auto* row = ids.mutable_data_ptr<int64_t>();
  for (const auto& text : batch.texts) {
    tokenize(noisy_words(text, options, random), row);
    row += length;
  }
  return ids.to(batch.ids.device());
}

}  // namespace vlm
