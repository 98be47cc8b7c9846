#include "vlm/eval/pixel_neighbours.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/adaptive_avg_pool2d.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>

#include "vlm/core/error.h"

namespace vlm {

namespace pixel_neighbours {

constexpr int64_t side = 16, drawn = 64;

PreprocessOptions on_white() {
  PreprocessOptions out;
  out.size = {drawn};
  out.resize_mode = "longest";
  out.fill_color = 255;
  out.mean = {0, 0, 0};
  out.std = {1, 1, 1};
  return out;
}

}  // namespace pixel_neighbours

Tensor pixel_vectors(SampleStream& stream, SkipCounter& skips, const std::function<bool(const Sample&)>& want,
                     const std::function<void(Sample&)>& keep) {
  using pixel_neighbours::drawn, pixel_neighbours::side;
  const Preprocess preprocess(pixel_neighbours::on_white());
  PendingSamples pending(stream, skips, want);
  PictureStream pictures(preprocess, drawn, drawn, 64, 0, pending.reader(), pending.on_failure());
  std::vector<Tensor> parts;
  PictureBatch batch;
  while (pictures.next(batch)) {
    parts.push_back(at::adaptive_avg_pool2d(batch.pixels, {side, side}).flatten(1));
    for (const auto& name : batch.names) {
      skips.use();
      Sample sample = pending.take(name);
      keep(sample);
    }
  }
  return parts.empty() ? at::empty({0, 3 * side * side}) : at::cat(parts);
}

std::vector<int64_t> nearest_rows(const Tensor& queries, const Tensor& known) {
  if (queries.dim() != 2 || known.dim() != 2 || queries.size(1) != known.size(1) || known.size(0) == 0) {
    fail("nearest rows: queries ", queries.sizes(), " do not fit what is known, ", known.sizes());
  }
  constexpr int64_t rows_at_a_time = 256;
  // In double: a difference of nearly equal squares decides.
  const Tensor columns = known.to(at::kDouble).t(), squares = known.to(at::kDouble).square().sum(1);  // [D, M], [M]
  std::vector<int64_t> out;
  for (int64_t at = 0; at < queries.size(0); at += rows_at_a_time) {
    const Tensor part = queries.slice(0, at, at + rows_at_a_time).to(at::kDouble);
    const Tensor nearest = (squares - at::matmul(part, columns) * 2).argmin(1);
    for (int64_t i = 0; i < nearest.size(0); ++i) out.push_back(nearest[i].item<int64_t>());
  }
  return out;
}

}  // namespace vlm
