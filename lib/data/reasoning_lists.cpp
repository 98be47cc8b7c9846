#include "vlm/data/reasoning_lists.h"

#include <algorithm>

#include "vlm/core/strings.h"
#include "vlm/data/json_items.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace reasoning_lists {

using Json = nlohmann::json;

/// A picture's number or name without its extension; "" if it is neither.
std::string picture_stem(const Json& row, const char* key) {
  if (const std::string* name = text_of(row, key)) return *name;
  const auto number = integer_of(row, key);
  return number ? std::to_string(*number) : "";
}

}  // namespace reasoning_lists

int64_t entailment_label(std::string_view name) {
  if (name == "contradiction") return 0;
  if (name == "neutral") return 1;
  return name == "entailment" ? 2 : -1;
}

SnliVeSource::SnliVeSource(const SourceOptions& options) : RowSource(options, options.path), lines_(options.path) {
  for (int64_t i = 0; i < lines_.size(); ++i) {
    if (!strip(lines_.line(i)).empty()) numbers_.push_back(i);
  }
  set_rows(static_cast<int64_t>(numbers_.size()));
}

Sample SnliVeSource::row(int64_t number) const {
  const int64_t line = numbers_.at(static_cast<size_t>(number));
  const std::string place = concat(file_of(number).string(), ": line ", line + 1);
  const auto json = parse_json_line(lines_.line(line));
  if (json.is_discarded()) throw SampleError("bad_json", place);
  const std::string picture = reasoning_lists::picture_stem(json, "Flickr30K_ID");
  const std::string* hypothesis = text_of(json, "sentence2");
  if (picture.empty() || !hypothesis) throw SampleError("bad_row", place, "Flickr30K_ID and sentence2 are needed");
  const auto gold = json.find("gold_label");
  const int64_t label = gold != json.end() && gold->is_string() ? entailment_label(gold->get_ref<const std::string&>()) : -1;
  if (label < 0)
    throw SampleError("bad_label", place, gold == json.end() ? "no gold_label" : concat("gold_label ", gold->dump()));
  Sample sample;
  sample.key = row_key(number);
  sample.images.push_back({picture + ".jpg", ""});
  sample.captions.emplace_back(strip(*hypothesis));
  sample.label = label;
  const std::string* premise = text_of(json, "sentence1");
  sample.meta = {{"premise", premise ? std::string(strip(*premise)) : ""}};
  if (const std::string* pair = text_of(json, "pairID")) sample.meta["pair_id"] = *pair;
  if (const std::string* caption = text_of(json, "captionID")) sample.meta["caption_id"] = *caption;
  return sample;
}

AlbefVeSource::AlbefVeSource(const SourceOptions& options) : StoredRows(options, options.path) {
  for_each_json_item(options.path, [&](nlohmann::json&& item) {
    const std::string picture = reasoning_lists::picture_stem(item, "image");
    const std::string* sentence = text_of(item, "sentence");
    if (picture.empty() || !sentence) return add_bad("bad_row", "a row needs image and sentence");
    const std::string* name = text_of(item, "label");
    const int64_t label = name ? entailment_label(*name) : -1;
    if (label < 0) return add_bad("bad_label", name ? *name : "no label");
    Sample sample;
    sample.key = row_key(rows());
    sample.images.push_back({picture + ".jpg", ""});
    sample.captions.emplace_back(strip(*sentence));
    sample.label = label;
    add(sample);
  });
  set_rows(rows());
}

Nlvr2Source::Nlvr2Source(const SourceOptions& options) : StoredRows(options, options.path) {
  for_each_json_item(options.path, [&](nlohmann::json&& item) {
    const std::string* sentence = text_of(item, "sentence");
    const auto images = sentence ? item.find("images") : item.end();
    const auto is_path = [](const auto& image) {
      return image.is_string() && !strip(image.template get_ref<const std::string&>()).empty();
    };
    if (!sentence || images == item.end() || !images->is_array() || images->size() != 2 ||
        !std::all_of(images->begin(), images->end(), is_path)) {
      return add_bad("bad_row", "a row needs sentence and images, two paths");
    }
    const std::string* label = text_of(item, "label");
    if (!label || (*label != "True" && *label != "False"))
      return add_bad("bad_label", label ? *label : "no label \"True\" or \"False\"");
    Sample sample;
    sample.key = row_key(rows());
    for (const auto& image : *images) sample.images.push_back({image.template get<std::string>(), ""});
    sample.captions.emplace_back(strip(*sentence));
    sample.label = *label == "True" ? 1 : 0;
    if (const std::string* identifier = text_of(item, "identifier")) sample.meta = {{"identifier", *identifier}};
    add(sample);
  });
  set_rows(rows());
}

std::string swap_left_right(std::string_view sentence) {
  auto words = split(sentence, " ");
  for (auto& word : words) {
    if (word == "left") {
      word = "right";
    } else if (word == "right") {
      word = "left";
    }
  }
  return join(words, " ");
}

bool swap_nlvr2(Sample& sample, SplitMix64& random) {
  if (sample.images.size() != 2) fail(sample.place(), ": ", sample.images.size(), " pictures; NLVR2 has two");
  if (!random.chance(0.5)) return false;
  std::swap(sample.images[0], sample.images[1]);
  for (auto& caption : sample.captions) caption = swap_left_right(caption);
  return true;
}

}  // namespace vlm
