#include "vlm/data/refcoco.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <unordered_map>

#include "vlm/core/strings.h"
#include "vlm/data/json_items.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace refcoco {

using Json = nlohmann::json;

struct Picture {
  std::string file_name;
  Json width, height;
};

using Corners = std::optional<std::array<double, 4>>;

/// Four finite numbers, or none.
Corners four_numbers(const Json& item, const char* key) {
  const auto list = item.find(key);
  if (list == item.end() || !list->is_array() || list->size() != 4) return std::nullopt;
  std::array<double, 4> out{};
  for (size_t i = 0; i < 4; ++i) {
    if (!(*list)[i].is_number()) return std::nullopt;
    out[i] = (*list)[i].get<double>();
    if (!std::isfinite(out[i])) return std::nullopt;
  }
  return out;
}

struct Instances {
  std::unordered_map<int64_t, Corners> boxes;  ///< by annotation; none: not four numbers or without width or height
  std::unordered_map<int64_t, Picture> pictures;

  explicit Instances(const std::filesystem::path& file) {
    const auto take_picture = [this](Json&& item) {
      const auto id = integer_of(item, "id");
      const std::string* name = text_of(item, "file_name");
      if (id && name) pictures[*id] = {*name, item.value("width", Json()), item.value("height", Json())};
    };
    const auto take_box = [this](Json&& item) {
      const auto id = integer_of(item, "id");
      if (!id) return;
      Corners box = four_numbers(item, "bbox");  // x, y, width, height
      if (box && !((*box)[2] > 0 && (*box)[3] > 0)) box.reset();
      if (box) *box = {(*box)[0], (*box)[1], (*box)[0] + (*box)[2], (*box)[1] + (*box)[3]};
      // Far from zero a small width gets lost, and the sum of large numbers is infinite.
      if (box && !((*box)[2] > (*box)[0] && (*box)[3] > (*box)[1] && std::isfinite((*box)[2]) && std::isfinite((*box)[3])))
        box.reset();
      boxes[*id] = box;
    };
    for_each_json_item(file, {{"images", take_picture}, {"annotations", take_box}});
  }
};

/// A pickle can run code when it is loaded, so there is no reader for it.
void refuse_pickle(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string begin(64, '\0');
  in.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  begin.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  std::string_view text = begin;
  if (starts_with(text, "\xef\xbb\xbf")) text.remove_prefix(3);
  text = text.substr(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  if (text.empty() ? begin.size() < 64 : text[0] != '[') {
    fail(file.string(),
         ": refs are read as a JSON list, and this does not begin like one. The release's refs(….p) are Python "
         "pickles, which can run code; convert them once (specs: data, section 6.1)");
  }
}

struct Sentence {
  int64_t id;
  std::string text;
};

/// False if a sentence lacks its number or is no object; those without text are left out.
bool take_sentences(const Json& list, std::vector<Sentence>& out) {
  for (const auto& item : list) {
    const auto id = integer_of(item, "sent_id");
    if (!id) return false;
    if (const std::string* text = text_of(item, "sent")) out.push_back({*id, std::string(strip(*text))});
  }
  return true;
}

}  // namespace refcoco

bool takes_ref_split(const std::string& wanted, const std::string& split) {
  if (wanted.empty()) return true;
  if (wanted == "testA" || wanted == "testB" || wanted == "testC") return split.find(wanted[4]) != std::string::npos;
  if (wanted == "test") return split.find("test") != std::string::npos;
  return split == wanted;
}

RefCocoSource::RefCocoSource(const SourceOptions& options) : StoredRows(options, options.path) {
  using refcoco::Json;
  refcoco::refuse_pickle(options.path);
  const std::filesystem::path beside = std::filesystem::path(options.path).parent_path() / "instances.json";
  const std::filesystem::path file = options.instances.empty() ? beside : std::filesystem::path(options.instances);
  std::error_code error;
  if (!std::filesystem::exists(file, error))
    fail_usage("there is no ", file.string(), "; set instances to the file with the boxes");
  const refcoco::Instances instances(file);
  std::unordered_map<int64_t, int64_t> index_of;
  int64_t position = -1;
  for_each_json_item(options.path, [&](Json&& item) {
    ++position;
    const auto bad = [&](const char* reason, const std::string& detail) {
      add_problem(reason, concat(options.path, ": ref ", position), detail);
    };
    const auto ref = integer_of(item, "ref_id"), annotation = integer_of(item, "ann_id"),
               image = integer_of(item, "image_id");
    const std::string* split = text_of(item, "split");
    // A ref of another split is none of this set; one without a split may be.
    if (split && !takes_ref_split(options.split, *split)) return;
    const auto sentences = item.is_object() ? item.find("sentences") : item.end();
    std::vector<refcoco::Sentence> texts;
    if (!ref || !annotation || !image || !split || sentences == item.end() || !sentences->is_array() ||
        !refcoco::take_sentences(*sentences, texts)) {
      return bad("bad_row", "a ref needs ref_id, ann_id, image_id, split and sentences with sent_id");
    }
    if (texts.empty()) return bad("no_caption", concat("ref_id ", *ref));
    const auto box = instances.boxes.find(*annotation);
    if (box == instances.boxes.end()) return bad("unknown_annotation", concat("ann_id ", *annotation));
    if (!box->second) return bad("bad_box", concat("ann_id ", *annotation, " has no box with width and height"));
    const auto picture = instances.pictures.find(*image);
    if (picture == instances.pictures.end()) return bad("unknown_image", concat("image_id ", *image));
    for (auto& sentence : texts) {
      Sample sample;
      sample.key = std::to_string(sentence.id);
      sample.images.push_back({picture->second.file_name, ""});
      sample.captions.push_back(std::move(sentence.text));
      sample.box = *box->second;
      sample.image_index = index_of.emplace(*image, static_cast<int64_t>(index_of.size())).first->second;
      sample.meta = {
          {"ref_id", *ref},  {"sent_id", sentence.id},         {"ann_id", *annotation},           {"image_id", *image},
          {"split", *split}, {"width", picture->second.width}, {"height", picture->second.height}};
      add(sample);
    }
  });
  set_rows(rows());
}

AlbefGroundingSource::AlbefGroundingSource(const SourceOptions& options) : StoredRows(options, options.path) {
  std::unordered_map<std::string, int64_t> index_of;
  for_each_json_item(options.path, [&](nlohmann::json&& item) {
    const std::string* image = text_of(item, "image");
    if (!image) return add_bad("bad_row", "a row needs image, a path");
    const std::string* text = text_of(item, "text");
    if (!text) return add_bad("no_caption", *image);
    Sample sample;
    if (item.contains("box")) {
      sample.box = refcoco::four_numbers(item, "box");
      if (!sample.box || (*sample.box)[2] <= (*sample.box)[0] || (*sample.box)[3] <= (*sample.box)[1])
        return add_bad("bad_box", *image);
    }
    sample.key = row_key(rows());
    sample.images.push_back({*image, ""});
    sample.captions.emplace_back(strip(*text));
    sample.image_index = index_of.emplace(*image, static_cast<int64_t>(index_of.size())).first->second;
    if (const auto ref = item.find("ref_id"); ref != item.end() && (ref->is_string() || ref->is_number_integer()))
      sample.meta = {{"ref_id", *ref}};
    add(sample);
  });
  set_rows(rows());
}

}  // namespace vlm
