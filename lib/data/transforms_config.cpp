#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/strings.h"
#include "vlm/data/transforms.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace preprocess_config {

using nlohmann::json;

bool has(const json& j, const char* key) { return j.contains(key) && !j[key].is_null(); }

std::vector<int64_t> numbers(const json& value) {
  return value.is_array() ? value.get<std::vector<int64_t>>() : std::vector<int64_t>{value.get<int64_t>()};
}

/// A number or {"height", "width"}.
std::vector<int64_t> height_width(const json& value, const char* key) {
  if (!value.is_object()) return numbers(value);
  if (has(value, "height") && has(value, "width")) return {value["height"].get<int64_t>(), value["width"].get<int64_t>()};
  if (has(value, "shortest_edge")) return {value["shortest_edge"].get<int64_t>()};
  fail("'", key, "' ", value.dump(), " is not supported; give shortest_edge, or height and width");
}

std::string filter_of_pil_number(int64_t number) {
  switch (number) {
    case 0: return "nearest";
    case 1: return "lanczos";
    case 2: return "bilinear";
    case 3: return "bicubic";
    default: fail("'resample' ", number, " is not supported; there are 0 nearest, 1 lanczos, 2 bilinear, 3 bicubic");
  }
}

/// Values of the wrong type are errors that name the file, not exceptions of the JSON library.
template <class Read>
PreprocessOptions reading(const char* what, const Read& read) {
  try {
    return with_context(what, read);
  } catch (const json::exception& error) {
    fail(what, ": ", error.what());
  }
}

}  // namespace preprocess_config

PreprocessOptions read_open_clip_preprocess(const nlohmann::json& given) {
  using namespace preprocess_config;
  return reading("preprocess_cfg", [&] {
    PreprocessOptions o;
    const json cfg = given.contains("model_cfg") ? given.value("preprocess_cfg", json::object()) : given;
    if (!cfg.is_object()) fail("not an object");
    if (has(cfg, "size")) o.size = numbers(cfg["size"]);
    if (has(cfg, "mode")) o.mode = cfg["mode"].get<std::string>();
    if (has(cfg, "mean")) o.mean = cfg["mean"].get<std::vector<double>>();
    if (has(cfg, "std")) o.std = cfg["std"].get<std::vector<double>>();
    if (has(cfg, "interpolation")) o.interpolation = cfg["interpolation"].get<std::string>();
    if (has(cfg, "resize_mode")) o.resize_mode = cfg["resize_mode"].get<std::string>();
    if (has(cfg, "fill_color")) o.fill_color = numbers(cfg["fill_color"]).front();
    if (o.interpolation == "random") o.interpolation = "bicubic";  // a choice for training; evaluation is bicubic
    return o;
  });
}

PreprocessOptions read_hf_preprocessor(const nlohmann::json& cfg) {
  // Models that no processor of HF's is for.
  if (cfg.is_object() && cfg.contains("preprocess_cfg")) return read_open_clip_preprocess(cfg["preprocess_cfg"]);
  using namespace preprocess_config;
  return reading("preprocessor_config.json", [&] {
    if (!cfg.is_object()) fail("not an object");
    PreprocessOptions o;
    std::string type;
    for (const char* key : {"image_processor_type", "feature_extractor_type", "processor_class"}) {
      if (type.empty() && has(cfg, key)) type = ascii_lower(cfg[key].get<std::string>());
    }
    const bool siglip = starts_with(type, "siglip"), blip = starts_with(type, "blip");
    bool shortest = !siglip && !blip, center_crop = shortest;
    o.size = {blip ? 384 : 224};
    if (siglip) o.mean = o.std = {0.5, 0.5, 0.5};
    if (has(cfg, "size")) {
      o.size = height_width(cfg["size"], "size");
      if (cfg["size"].is_object()) shortest = has(cfg["size"], "shortest_edge");
      if (type.empty()) center_crop = shortest;
    }
    if (has(cfg, "do_center_crop")) center_crop = cfg["do_center_crop"].get<bool>();
    o.crop = center_crop ? "hf" : "none";
    o.crop_size = {224};
    if (has(cfg, "crop_size")) o.crop_size = height_width(cfg["crop_size"], "crop_size");
    const bool resize = !has(cfg, "do_resize") || cfg["do_resize"].get<bool>();
    o.resize_mode = !resize ? "none" : shortest ? "shortest" : "squash";
    if (has(cfg, "resample")) o.interpolation = filter_of_pil_number(cfg["resample"].get<int64_t>());
    if (has(cfg, "rescale_factor")) o.rescale_factor = cfg["rescale_factor"].get<double>();
    if (has(cfg, "do_rescale") && !cfg["do_rescale"].get<bool>()) o.rescale_factor = 1;
    if (has(cfg, "do_normalize")) o.normalize = cfg["do_normalize"].get<bool>();
    if (has(cfg, "image_mean")) o.mean = cfg["image_mean"].get<std::vector<double>>();
    if (has(cfg, "image_std")) o.std = cfg["image_std"].get<std::vector<double>>();
    return o;
  });
}

PreprocessOptions instructed_preprocess() {
  PreprocessOptions out;
  out.mean = out.std = {0.5, 0.5, 0.5};
  out.resize_mode = "squash";
  out.crop = "none";
  return out;
}

PreprocessOptions load_preprocess(const std::filesystem::path& folder) {
  const auto parse = [](const std::filesystem::path& file) {
    auto parsed = parse_json(read_file(file));
    if (parsed.is_discarded()) fail(file.string(), ": not JSON");
    return parsed;
  };
  const auto hf = folder / "preprocessor_config.json", open_clip = folder / "open_clip_config.json";
  if (std::filesystem::exists(hf)) return with_context(folder.string(), [&] { return read_hf_preprocessor(parse(hf)); });
  // Newer versions of transformers write one file for pictures and texts together.
  const auto processor = folder / "processor_config.json";
  if (std::filesystem::exists(processor)) {
    const auto both = parse(processor);
    if (both.is_object() && both.contains("image_processor")) {
      return with_context(processor.string(), [&] { return read_hf_preprocessor(both["image_processor"]); });
    }
  }
  if (std::filesystem::exists(open_clip)) return with_context(folder.string(), [&] { return read_open_clip_preprocess(parse(open_clip)); });
  fail(folder.string(), ": neither preprocessor_config.json, processor_config.json nor open_clip_config.json says how pictures are prepared");
}

}  // namespace vlm
