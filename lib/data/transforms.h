#pragma once
/// From pictures to what a model reads: size, crop, normalisation (specs: clip, 11.3).

#include <ATen/core/Tensor.h>

#include <array>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/data/image.h"

namespace vlm {

inline const std::vector<double> openai_mean = {0.48145466, 0.4578275, 0.40821073};
inline const std::vector<double> openai_std = {0.26862954, 0.26130258, 0.27577711};
inline const std::vector<double> imagenet_mean = {0.485, 0.456, 0.406};
inline const std::vector<double> imagenet_std = {0.229, 0.224, 0.225};

/// The key names are those of open_clip's preprocess_cfg; the ones below the line are what HF's processors do otherwise.
struct PreprocessOptions {
  std::vector<int64_t> size = {224};      ///< [height, width], or one number for a square
  std::string mode = "RGB";
  std::vector<double> mean = openai_mean;
  std::vector<double> std = openai_std;
  std::string interpolation = "bicubic";
  std::string resize_mode = "shortest";
  int64_t fill_color = 0;                 ///< level of padding; -1: 0 after normalisation
  std::string convert = "before";
  // ---
  std::string crop = "torchvision";
  std::vector<int64_t> crop_size;         ///< as size; empty: size
  double rescale_factor = 1.0 / 255;
  bool normalize = true;

  void fields(Fields& f);
};

/// An open_clip preprocess_cfg (or an open_clip_config.json that holds one). Unknown keys are ignored, as there.
PreprocessOptions read_open_clip_preprocess(const nlohmann::json& preprocess_cfg);
/// A preprocessor_config.json of HF's CLIP, SigLIP or BLIP. Keys that are missing have the defaults of that processor.
PreprocessOptions read_hf_preprocessor(const nlohmann::json& preprocessor_config);
/// What a model folder says: preprocessor_config.json, else open_clip_config.json; throws if it has neither.
PreprocessOptions load_preprocess(const std::filesystem::path& folder);

/// As OFA's pictures are prepared: both sides to the size, bicubic, levels to -1 .. 1 (specs: ofa, 4).
PreprocessOptions instructed_preprocess();

/// Size after resizing so that the short side is `n`; the long side is cut to a whole number.
Box shortest_edge_size(const ImageSize& image, int64_t n);
/// Size of the largest picture of the same shape inside height x width (`longest`), or the smallest around it.
Box fit_inside(const ImageSize& image, int64_t height, int64_t width);
Box fit_around(const ImageSize& image, int64_t height, int64_t width);
/// Where a centre crop of n out of `length` begins, negative where it must be padded: torchvision rounds half to even, HF
/// rounds down.
int64_t torchvision_crop_offset(int64_t length, int64_t n);
int64_t hf_crop_offset(int64_t length, int64_t n);

/// Levels to normalised numbers, [h, w, 3] to [3, h, w], by one table a channel.
class Normalizer {
 public:
  Normalizer(const std::vector<double>& mean, const std::vector<double>& std, double rescale_factor, bool normalize);
  /// `out` holds 3 * height * width numbers.
  void write(const Image& rgb, float* out) const;

 private:
  std::array<std::array<float, 256>, 3> tables_;
};

/// Where the pixels of a picture come to lie in what the model sees: x becomes x * width_ratio - left.
struct PicturePlacement {
  ImageSize picture;  ///< before it is resized
  float width_ratio = 1, height_ratio = 1;
  float left = 0, top = 0;  ///< of the part that is seen, in the resized picture; negative where it is padded
};

/// The transform of evaluation: the same picture always gives the same tensor. Safe to share between threads.
class Preprocess {
 public:
  /// Throws a usage error for options that do not exist.
  explicit Preprocess(const PreprocessOptions& options);
  const PreprocessOptions& options() const { return options_; }

  /// Size of what comes out; depends on the picture only where options say neither crop nor squash.
  ImageSize output_size(const ImageSize& picture) const;
  PicturePlacement placement(const ImageSize& picture) const;
  bool fixed_size() const { return options_.crop != "none" || options_.resize_mode == "squash"; }

  /// Resized, cropped and padded, still in levels. RGBA is resized premultiplied and loses its alpha afterwards.
  Image resize(const Image& image) const;
  at::Tensor operator()(const Image& image) const;                ///< float32 [3, H, W]
  /// Fills the 3 * H * W numbers of one row of a batch.
  void write(const Image& image, float* out) const;

  /// Decodes first, in the way that `convert` asks for.
  Image resize(std::string_view file, const DecodeOptions& decode) const;
  at::Tensor operator()(std::string_view file, const DecodeOptions& decode) const;
  void write(std::string_view file, const DecodeOptions& decode, float* out) const;

 private:
  struct Geometry {
    int64_t height = 0, width = 0;  ///< of the whole resized picture
    Box window;                     ///< what is cut out of it; may reach outside
    uint8_t fill = 0;
  };
  Geometry geometry(const ImageSize& picture) const;
  /// Normalises a picture that resize() made of one of the size `picture`; its padding is 0 where fill_color is -1.
  void write_resized(const Image& resized, const ImageSize& picture, float* out) const;
  Image resize_with(const Image& image, Filter filter, bool premultiplied) const;

  PreprocessOptions options_;
  int64_t height_, width_;
  Filter filter_;
  Normalizer normalizer_;
};

}  // namespace vlm
