#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/image.h"
#include "vlm/data/image_augment.h"
#include "vlm/data/transforms.h"
#include "vlm/golden/case.h"
#include "vlm/io/atomic_file.h"

namespace vlm::golden {

namespace image_operations {

Image to_image(const Tensor& levels) {
  if (levels.dim() != 3 || (levels.size(2) != 3 && levels.size(2) != 4)) fail("a picture is [h, w, 3], not ", levels.sizes());
  const Tensor flat = levels.to(at::kDouble).contiguous();
  Image image(static_cast<int>(flat.size(0)), static_cast<int>(flat.size(1)), static_cast<int>(flat.size(2)));
  const double* in = flat.const_data_ptr<double>();
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(std::clamp(std::nearbyint(in[i]), 0.0, 255.0));
  return image;
}

Tensor to_tensor(const Image& image, at::ScalarType type) {
  Tensor out = at::empty({image.height, image.width, image.channels}, at::kFloat);
  std::copy(image.pixels.begin(), image.pixels.end(), out.mutable_data_ptr<float>());
  return out.to(type);
}

DecodeOptions decode_options(const Case& c) {
  DecodeOptions options;
  const std::string exif = c.param<std::string>("exif", "ignore"), alpha = c.param<std::string>("alpha", "drop");
  if (exif != "ignore" && exif != "apply") fail("unknown exif '", exif, "'");
  options.exif = exif == "apply" ? Exif::apply : Exif::ignore;
  if (alpha == "white") options.alpha = Alpha::white;
  if (alpha == "black") options.alpha = Alpha::black;
  if (alpha == "keep") options.alpha = Alpha::keep;
  return options;
}

/// A number or a list of two.
std::vector<int64_t> size_param(const nlohmann::json& size) {
  return size.is_array() ? size.get<std::vector<int64_t>>() : std::vector<int64_t>{size.get<int64_t>()};
}

Result decode(const Case& c) {
  Result result;
  result.set("out.rgb", to_tensor(decode_image(read_file(c.file(c.params.at("file"))), decode_options(c)), at::kFloat));
  return result;
}

Result resize(const Case& c) {
  Result result;
  const Tensor in = c.in("image");
  const Filter filter = filter_by_name(c.param<std::string>("filter", "bicubic"));
  result.set("out.image", to_tensor(resize_image(to_image(in), c.params.at("height"), c.params.at("width"), filter), in.scalar_type()));
  return result;
}

Result geometry(const Case& c) {
  const auto size = size_param(c.params.at("size"));
  const int64_t th = size.front(), tw = size.back();
  const Tensor sizes = c.in("sizes").contiguous();
  Tensor table = at::empty({sizes.size(0), 10}, at::kLong);
  const int64_t* in = sizes.const_data_ptr<int64_t>();
  int64_t* out = table.mutable_data_ptr<int64_t>();
  for (int64_t i = 0; i < sizes.size(0); ++i, in += 2, out += 10) {
    const ImageSize picture{static_cast<int>(in[0]), static_cast<int>(in[1])};
    const Box resized = th == tw ? shortest_edge_size(picture, th) : fit_around(picture, th, tw), longest = fit_inside(picture, th, tw);
    const int64_t row[] = {in[0], in[1], resized.height, resized.width,
                           torchvision_crop_offset(resized.height, th), torchvision_crop_offset(resized.width, tw),
                           hf_crop_offset(resized.height, th), hf_crop_offset(resized.width, tw), longest.height, longest.width};
    std::copy(std::begin(row), std::end(row), out);
  }
  Result result;
  result.set("out.table", table);
  return result;
}

Result preprocess(const Case& c) {
  const std::string pipeline = c.params.at("pipeline");
  PreprocessOptions options;
  if (pipeline == "hf") {
    options = read_hf_preprocessor(c.params.at("preprocessor_config"));
  } else if (pipeline == "open_clip") {
    options = read_open_clip_preprocess(c.params);
  } else {
    fail("unknown pipeline '", pipeline, "'");
  }
  options.convert = c.param<std::string>("convert", options.convert);
  const Preprocess transform(options);
  Result result;
  result.set("out.pixel_values", transform(read_file(c.file(c.params.at("file"))), decode_options(c)));
  return result;
}

WarpOptions warp_options(const Case& c) {
  WarpOptions options;
  options.interpolation = filter_by_name(c.param<std::string>("interpolation", "nearest"));
  const auto fill = size_param(c.params.value("fill", nlohmann::json(0)));
  for (size_t i = 0; i < 3; ++i) options.fill[i] = static_cast<uint8_t>(fill.size() > 1 ? fill.at(i) : fill.at(0));
  return options;
}

Result augment(const Case& c) {
  const std::string op = c.params.at("op");
  const Image in = to_image(c.in("image"));
  Image out;
  if (op == "brightness") {
    out = adjust_brightness(in, c.params.at("factor"));
  } else if (op == "contrast") {
    out = adjust_contrast(in, c.params.at("factor"));
  } else if (op == "saturation") {
    out = adjust_saturation(in, c.params.at("factor"));
  } else if (op == "hue") {
    out = adjust_hue(in, c.params.at("factor"));
  } else if (op == "grayscale") {
    out = to_grayscale(in);
  } else if (op == "hflip") {
    out = flip_horizontal(in);
  } else if (op == "resized_crop") {
    const Box box{c.params.at("top"), c.params.at("left"), c.params.at("height"), c.params.at("width")};
    const auto size = size_param(c.params.at("size"));
    out = resize_crop(in, box, static_cast<int>(size.front()), static_cast<int>(size.back()),
                      filter_by_name(c.param<std::string>("interpolation", "bicubic")));
  } else {
    out = augment_by_name(in, op, c.param("magnitude", 0.0), warp_options(c));
  }
  Result result;
  result.set("out.image", to_tensor(out, at::kFloat));
  return result;
}

}  // namespace image_operations

void add_image_operations(Operations& operations) {
  operations["image.decode"] = image_operations::decode;
  operations["image.resize"] = image_operations::resize;
  operations["image.geometry"] = image_operations::geometry;
  operations["image.preprocess"] = image_operations::preprocess;
  operations["image.augment"] = image_operations::augment;
}

}  // namespace vlm::golden
