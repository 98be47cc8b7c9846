#include "vlm/infer/preprocess_files.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"

namespace vlm {

namespace preprocess_files {

nlohmann::ordered_json sides(const std::vector<int64_t>& size) { return {{"height", size.front()}, {"width", size.back()}}; }

int64_t pil_number(const std::string& filter) {
  if (filter == "nearest") return 0;
  if (filter == "lanczos") return 1;
  if (filter == "bilinear") return 2;
  if (filter == "bicubic") return 3;
  fail("HF's processors have no filter '", filter, "'");
}

}  // namespace preprocess_files

nlohmann::ordered_json to_open_clip_preprocess(const PreprocessOptions& o, std::vector<std::string>& notes) {
  if (std::abs(o.rescale_factor * 255 - 1) > 1e-6 || !o.normalize)
    fail("open_clip always divides levels by 255 and normalises; this preprocessing does not");
  if (o.resize_mode == "none") fail("open_clip always resizes pictures; this preprocessing does not");
  const auto size = o.crop == "none" || o.crop_size.empty() ? o.size : o.crop_size;
  if (o.resize_mode == "shortest" && o.crop == "hf") {
    if (size.front() != o.size.front() || size.back() != o.size.back()) {
      notes.push_back(concat("pictures were resized to a short side of ", o.size.front(), " before the crop to ",
                             size.front(), "; open_clip resizes to the size of the crop, so borders differ"));
    } else {
      notes.push_back(
          "where a crop cannot be centred exactly, open_clip rounds half to even and HF down: such pictures move by one "
          "pixel");
    }
  }
  nlohmann::ordered_json out;
  out["size"] = size.front() == size.back() ? nlohmann::ordered_json(size.front()) : nlohmann::ordered_json(size);
  out["mode"] = o.mode;
  out["mean"] = o.mean;
  out["std"] = o.std;
  out["interpolation"] = o.interpolation;
  out["resize_mode"] = o.resize_mode;
  out["fill_color"] = o.fill_color;
  return out;
}

nlohmann::ordered_json to_hf_preprocessor(const PreprocessOptions& o, const std::string& family,
                                          std::vector<std::string>& notes) {
  using namespace preprocess_files;
  // No processor of OFA's or mPLUG's reads this file, so it may say what HF's have no words for.
  if (family == "ofa" || family == "mplug" || family == "albef") {
    nlohmann::ordered_json own;
    own["preprocess_cfg"] = to_open_clip_preprocess(o, notes);
    return own;
  }
  if (o.resize_mode != "shortest" && o.resize_mode != "squash" && o.resize_mode != "none") {
    fail("HF's processors cannot resize as resize_mode '", o.resize_mode, "' does (shortest and squash they can)");
  }
  const bool shortest = o.resize_mode == "shortest";
  const auto crop = o.crop_size.empty() ? o.size : o.crop_size;
  if (shortest && o.size.front() != o.size.back())
    fail("HF's processors cannot resize the short side to fit ", o.size.front(), " x ", o.size.back());
  const bool center_crop = shortest && o.crop != "none";
  nlohmann::ordered_json out;
  // Only CLIP's processor crops.
  out["image_processor_type"] = center_crop || family == "clip" ? "CLIPImageProcessor"
                                : family == "siglip"            ? "SiglipImageProcessor"
                                                                : "BlipImageProcessor";
  out["do_convert_rgb"] = true;
  out["do_resize"] = o.resize_mode != "none";
  out["size"] = shortest ? nlohmann::ordered_json{{"shortest_edge", o.size.front()}} : sides(o.size);
  out["resample"] = pil_number(o.interpolation);
  if (family == "clip" || center_crop) {
    out["do_center_crop"] = center_crop;
    if (center_crop) out["crop_size"] = sides(crop);
  }
  out["do_rescale"] = o.rescale_factor != 1;
  if (o.rescale_factor != 1) out["rescale_factor"] = o.rescale_factor;
  out["do_normalize"] = o.normalize;
  out["image_mean"] = o.mean;
  out["image_std"] = o.std;
  if (center_crop && o.crop == "torchvision") {
    notes.push_back(
        "where a crop cannot be centred exactly, open_clip rounds half to even and HF down: such pictures move by one "
        "pixel");
  }
  return out;
}

}  // namespace vlm
