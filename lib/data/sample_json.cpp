#include "vlm/data/sample_json.h"

namespace vlm {

namespace sample_json {

template <class List>
void put(nlohmann::json& json, const char* key, const List& list) {
  if (!list.empty()) json[key] = list;
}

template <class Value>
void take(const nlohmann::json& json, const char* key, Value& value) {
  const auto it = json.find(key);
  if (it != json.end()) it->get_to(value);
}

}  // namespace sample_json

nlohmann::json sample_to_json(const Sample& sample) {
  using sample_json::put;
  nlohmann::json json = {{sample_mark, 1}, {"key", sample.key}};
  std::vector<std::string> images;
  for (const auto& image : sample.images) images.push_back(image.name);
  put(json, "images", images);
  put(json, "captions", sample.captions);
  put(json, "question", sample.question);
  put(json, "answers", sample.answers);
  put(json, "weights", sample.weights);
  put(json, "counts", sample.counts);
  if (sample.label) json["label"] = *sample.label;
  if (sample.box) json["box"] = *sample.box;
  if (sample.image_index) json["image_index"] = *sample.image_index;
  if (!sample.meta.is_null()) json["meta"] = sample.meta;
  return json;
}

Sample sample_from_json(const nlohmann::json& json) {
  using sample_json::take;
  Sample sample;
  try {
    take(json, "key", sample.key);
    std::vector<std::string> images;
    take(json, "images", images);
    for (auto& name : images) sample.images.push_back({std::move(name), ""});
    take(json, "captions", sample.captions);
    take(json, "question", sample.question);
    take(json, "answers", sample.answers);
    take(json, "weights", sample.weights);
    take(json, "counts", sample.counts);
    if (json.contains("label")) sample.label = json["label"].get<int64_t>();
    if (json.contains("box")) sample.box = json["box"].get<std::array<double, 4>>();
    if (json.contains("image_index")) sample.image_index = json["image_index"].get<int64_t>();
    take(json, "meta", sample.meta);
  } catch (const nlohmann::json::exception& error) {
    fail("not a sample: ", error.what());
  }
  if (!sample.meta.is_null() && !sample.meta.is_object()) fail("not a sample: meta is no object");
  return sample;
}

bool is_sample_json(const nlohmann::json& json) { return json.is_object() && json.contains(sample_mark); }

}  // namespace vlm
