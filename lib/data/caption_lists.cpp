#include "vlm/data/caption_lists.h"

#include <algorithm>
#include <unordered_map>

#include "vlm/core/strings.h"
#include "vlm/data/json_items.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace caption_lists {

using Json = nlohmann::json;

/// The image_id, as JSON, or null.
Json value_of(const Json& row, const char* key) {
  const auto it = row.find(key);
  return it == row.end() ? Json() : *it;
}

struct CocoImage {
  Json id;
  std::string file_name;
  std::vector<std::string> captions;
};

/// Kept until all images are known: files may name annotations first.
struct CocoAnnotation {
  std::string image;  ///< identity_of(image_id)
  std::string caption;
  bool has_caption = false;
};

/// True if `caption` is a string or a list of strings; `out` gets those with text.
bool take_captions(const Json& caption, std::vector<std::string>& out) {
  const auto add = [&](const Json& item) {
    if (!item.is_string()) return false;
    if (const auto text = strip(item.get_ref<const std::string&>()); !text.empty()) out.emplace_back(text);
    return true;
  };
  if (!caption.is_array()) return add(caption);
  return std::all_of(caption.begin(), caption.end(), add);
}

}  // namespace caption_lists

CocoCaptionsSource::CocoCaptionsSource(const SourceOptions& options) : StoredRows(options, options.path) {
  using caption_lists::Json;
  std::vector<caption_lists::CocoImage> images;
  std::unordered_map<std::string, size_t> image_of;
  std::vector<caption_lists::CocoAnnotation> annotations;
  const auto take_image = [&](Json&& item) {
    const std::string* name = text_of(item, "file_name");
    if (name && item.contains("id")) {
      image_of.emplace(identity_of(item["id"]), images.size());
      images.push_back({item["id"], *name, {}});
    } else {
      images.emplace_back();
    }
  };
  const auto take_annotation = [&](Json&& item) {
    auto& annotation = annotations.emplace_back();
    if (!item.is_object()) return;
    annotation.image = identity_of(caption_lists::value_of(item, "image_id"));
    const auto caption = item.find("caption");
    annotation.has_caption = caption != item.end() && caption->is_string();
    if (annotation.has_caption) annotation.caption = caption->get<std::string>();
  };
  for_each_json_item(options.path, {{"images", take_image}, {"annotations", take_annotation}});
  for (size_t i = 0; i < annotations.size(); ++i) {
    const auto& annotation = annotations[i];
    const std::string place = concat(options.path, ": annotation ", i);
    const auto image = image_of.find(annotation.image);
    const auto text = strip(annotation.caption);
    if (image == image_of.end()) {
      add_problem("unknown_image", place, concat("image_id ", annotation.image.empty() ? "is missing" : annotation.image));
    } else if (!annotation.has_caption) {
      add_problem("bad_row", place, "no caption that is a string");
    } else if (text.empty()) {
      add_problem("no_caption", place);
    } else {
      images[image->second].captions.emplace_back(text);
    }
  }
  for (auto& image : images) {
    if (image.file_name.empty()) {
      add_bad("bad_row", "an image needs id and file_name");
    } else if (image.captions.empty()) {
      add_bad("image_without_caption", image.file_name);
    } else {
      Sample sample;
      sample.key = image.file_name;
      sample.images.push_back({image.file_name, ""});
      sample.captions = std::move(image.captions);
      sample.meta = {{"image_id", image.id}};
      add(sample);
    }
  }
  set_rows(rows());
}

KarpathySource::KarpathySource(const SourceOptions& options) : StoredRows(options, options.path) {
  using caption_lists::Json;
  static const std::vector<std::string> splits = {"train", "val", "test"};
  if (!options.split.empty() && std::find(splits.begin(), splits.end(), options.split) == splits.end())
    fail_usage("there is no split '", options.split, "'", did_you_mean(options.split, splits),
               "; there are: train, val, test");
  if (options.restval != "train" && options.restval != "val" && options.restval != "drop")
    fail_usage("restval is train, val or drop, not '", options.restval, "'");
  int64_t position = -1;
  for_each_json_item(options.path, {{"images", [&](Json&& item) {
                                       ++position;
                                       const std::string* given = text_of(item, "split");
                                       std::string split = given ? *given : "";
                                       if (split == "restval") {
                                         if (options.restval == "drop") return;
                                         split = options.restval;
                                       }
                                       if (std::find(splits.begin(), splits.end(), split) == splits.end()) {
                                         // Of no split, so it is no row of any; it counts with whichever is read.
                                         add_problem("bad_split", concat(options.path, ": image ", position),
                                                     given ? *given : "no split");
                                         return;
                                       }
                                       if (!options.split.empty() && split != options.split) return;
                                       const std::string* filename = text_of(item, "filename");
                                       if (!filename)
                                         return add_bad("bad_row", concat("image ", position, " has no filename"));
                                       Sample sample;
                                       if (const auto sentences = item.find("sentences");
                                           sentences != item.end() && sentences->is_array()) {
                                         for (const auto& sentence : *sentences) {
                                           if (const std::string* raw = text_of(sentence, "raw"))
                                             sample.captions.emplace_back(strip(*raw));
                                         }
                                       }
                                       const std::string* folder = text_of(item, "filepath");
                                       const std::string path = folder ? *folder + "/" + *filename : *filename;
                                       if (sample.captions.empty()) return add_bad("no_caption", path);
                                       sample.key = path;
                                       sample.images.push_back({path, ""});
                                       Json id = caption_lists::value_of(item, "cocoid");
                                       if (id.is_null()) id = caption_lists::value_of(item, "imgid");
                                       sample.meta = {{"image_id", std::move(id)}, {"split", split}};
                                       add(sample);
                                     }}});
  set_rows(rows());
}

AlbefListSource::AlbefListSource(const SourceOptions& options) : StoredRows(options, split(options.path, "::")[0]) {
  using caption_lists::Json;
  std::unordered_map<std::string, int64_t> index_of;
  for (const auto& path : vlm::split(options.path, "::")) {
    const std::filesystem::path file = path;
    begin_file(rows(), file);
    for_each_json_item(file, [&](Json&& item) {
      const std::string* image = text_of(item, "image");
      Sample sample;
      if (!image || !item.contains("caption") || !caption_lists::take_captions(item["caption"], sample.captions))
        return add_bad("bad_row", "a row needs image, a path, and caption, a text or a list of texts");
      const Json id = caption_lists::value_of(item, "image_id");
      if (id.is_structured()) return add_bad("bad_row", "image_id is neither a number nor a text");
      if (sample.captions.empty()) return add_bad("no_caption", *image);
      sample.key = row_key(rows());
      sample.image_index =
          index_of.emplace(identity_of(id.is_null() ? Json(*image) : id), static_cast<int64_t>(index_of.size()))
              .first->second;
      sample.images.push_back({*image, ""});
      if (!id.is_null()) sample.meta = {{"image_id", id}};
      add(sample);
    });
  }
  set_rows(rows());
}

}  // namespace vlm
