#include "vlm/data/ofa_tsv.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>

#include "vlm/core/strings.h"
#include "vlm/data/base64.h"
#include "vlm/data/reasoning_lists.h"
#include "vlm/text/text_cleaning.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace ofa_tsv {

struct Task {
  const char* roles;
  const char* columns;
};

const std::map<std::string, Task>& tasks() {
  static const std::map<std::string, Task> all = {
      {"caption", {"id,image,text", "0,4,2"}},
      {"refcoco", {"id,image,text,box", "0,4,2,3"}},
      {"vqa_gen", {"id,image,question,answers,objects", "0,5,2,3,4"}},
      {"snli_ve", {"id,image,hypothesis,caption,label", "0,2,3,4,5"}},
      {"image_classify", {"image,label_text", "0,2"}},
      {"image_gen", {"id,text,codes", "0,2,1"}},
      {"gigaword", {"source,text", "0,1"}},
      {"glue", {"sentence1,label_name", "0,1"}},
      {"glue_pair", {"sentence1,sentence2,label_name", "0,1,2"}},
      {"pretrain", {"id,image,caption,question,refs,objects,dataset,type", "0,1,2,3,4,5,6,7"}},
      {"pretrain_text", {"id,text", "0,1"}},
      {"pretrain_image", {"id,image,codes", "0,1,2"}},
      {"pretrain_detection", {"id,image,detections", "0,1,2"}},
  };
  return all;
}

const std::vector<std::string> known_roles = {"id",      "image",   "text",       "box",        "question",   "answers",   "objects",
                                              "hypothesis", "label", "label_text", "label_name", "caption",    "refs",      "dataset",
                                              "type",    "codes",   "detections", "source",     "sentence1",  "sentence2"};

/// A finite number with nothing but white space around it.
std::optional<double> to_number(std::string_view text) {
  text = strip(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

/// "x0,y0,x1,y1,category,name" joined by "&&".
nlohmann::json parse_detections(std::string_view field, const std::string& place) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& part : split(field, "&&")) {
    const auto numbers = split(part, ",");
    if (numbers.size() < 6) throw SampleError("bad_box", place, concat("'", part, "' is not x0,y0,x1,y1,category,name"));
    const auto box = parse_ofa_box(join({numbers.begin(), numbers.begin() + 4}, ","), place);
    out.push_back({{"box", box}, {"name", std::string(strip(join({numbers.begin() + 5, numbers.end()}, ",")))}});
  }
  return out;
}

/// Whole numbers separated by white space.
nlohmann::json parse_codes(std::string_view field, const std::string& place) {
  nlohmann::json out = nlohmann::json::array();
  for (const auto& part : split(squash(field), " ")) {
    int64_t code = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), code);
    if (part.empty() || error != std::errc() || end != part.data() + part.size()) throw SampleError("bad_row", place, concat("'", part, "' is no code"));
    out.push_back(code);
  }
  return out;
}

/// The columns of one row by their roles.
class Row {
 public:
  Row(const std::string& line, const std::vector<TsvColumn>& columns, const std::string& place) : place_(place) {
    if (line.empty()) throw SampleError("bad_row", place, "an empty line");
    std::vector<std::string_view> fields;
    for (size_t at = 0;;) {
      const size_t tab = line.find('\t', at);
      fields.push_back(std::string_view(line).substr(at, tab - at));
      if (tab == std::string::npos) break;
      at = tab + 1;
    }
    for (const auto& column : columns) {
      if (column.number >= fields.size())
        throw SampleError("bad_row", place, concat(fields.size(), " columns, and number ", column.number, " is asked for"));
      fields_.emplace(column.role, fields[column.number]);
    }
  }
  bool has(const char* role) const { return fields_.count(role) > 0; }
  std::string_view raw(const char* role) const {
    const auto it = fields_.find(role);
    return it == fields_.end() ? std::string_view() : it->second;
  }
  std::string text(const char* role) const { return std::string(strip(raw(role))); }
  void check_texts() const {
    for (const auto& [role, field] : fields_) {
      if (role != "image" && !valid_utf8(field))
        throw SampleError("bad_text", place_, concat("the column of ", role, " is not UTF-8"));
    }
  }

 private:
  const std::string& place_;
  std::map<std::string, std::string_view, std::less<>> fields_;
};

}  // namespace ofa_tsv

std::vector<TsvColumn> tsv_columns(const std::string& task, const std::string& selected, const std::string& roles) {
  const auto& tasks = ofa_tsv::tasks();
  const auto it = tasks.find(task);
  if (it == tasks.end()) {
    std::vector<std::string> names;
    for (const auto& [name, columns] : tasks) names.push_back(name);
    fail_usage("tsv_task: there is no '", task, "'", did_you_mean(task, names), "; there are: ", join(names, ", "));
  }
  const auto role_list = split(roles.empty() ? it->second.roles : roles, ",");
  const auto numbers = split(selected.empty() ? it->second.columns : selected, ",");
  if (role_list.size() != numbers.size()) {
    fail_usage("selected_cols gives ", numbers.size(), " columns, but there are ", role_list.size(),
               " roles: ", join(role_list, ", "));
  }
  std::vector<TsvColumn> out;
  for (size_t i = 0; i < numbers.size(); ++i) {
    const std::string role(strip(role_list[i]));
    if (std::find(ofa_tsv::known_roles.begin(), ofa_tsv::known_roles.end(), role) == ofa_tsv::known_roles.end())
      fail_usage("tsv_roles: there is no role '", role, "'", did_you_mean(role, ofa_tsv::known_roles),
                 "; there are: ", join(ofa_tsv::known_roles, ", "));
    const std::string_view digits = strip(numbers[i]);
    size_t number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
      fail_usage("selected_cols: '", numbers[i], "' is no number of a column; they count from 0, as 0,4,2");
    out.push_back({role, number});
  }
  return out;
}

size_t WeightedAnswers::best() const {
  return static_cast<size_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
}

WeightedAnswers parse_ofa_answers(std::string_view field) {
  WeightedAnswers out;
  for (const auto& part : split(field, "&&")) {
    const size_t mark = part.find("|!+");
    if (mark == std::string::npos) fail("'", part, "' has no weight before '|!+'");
    const auto weight = ofa_tsv::to_number(std::string_view(part).substr(0, mark));
    if (!weight) fail("'", part.substr(0, mark), "' is no weight of an answer");
    const std::string answer(strip(std::string_view(part).substr(mark + 3)));
    const auto known = std::find(out.answers.begin(), out.answers.end(), answer);
    if (known != out.answers.end()) {
      out.weights[static_cast<size_t>(known - out.answers.begin())] = *weight;
    } else {
      out.answers.push_back(answer);
      out.weights.push_back(*weight);
    }
  }
  return out;
}

std::array<double, 4> parse_ofa_box(std::string_view field, const std::string& place) {
  const auto parts = split(field, ",");
  std::array<double, 4> box{};
  if (parts.size() != 4) throw SampleError("bad_box", place, concat(parts.size(), " numbers instead of x0,y0,x1,y1"));
  for (size_t i = 0; i < 4; ++i) {
    const auto number = ofa_tsv::to_number(parts[i]);
    if (!number) throw SampleError("bad_box", place, concat("'", parts[i], "' is no finite number"));
    box[i] = *number;
  }
  if (box[2] <= box[0] || box[3] <= box[1]) throw SampleError("bad_box", place, "width or height is not positive");
  return box;
}

std::vector<std::string> ofa_references(std::string_view field) {
  std::vector<std::string> out;
  for (const auto& part : split(squash(field), "&&")) {
    std::string plain;
    for (const char c : part) {
      if (!is_ascii_punctuation(c)) plain += c;
    }
    if (const auto text = strip(plain); !text.empty()) out.emplace_back(text);
  }
  return out;
}

TsvSlice ofa_slice(int64_t rows, int64_t world_size, int64_t rank) {
  if (rows < 0 || world_size < 1 || rank < 0 || rank >= world_size)
    fail("there is no slice of ", rows, " rows for rank ", rank, " of ", world_size);
  const int64_t each = rows / world_size, more = rows % world_size;
  return rank < more ? TsvSlice{rank * (each + 1), each + 1} : TsvSlice{rank * each + more, each};
}

OfaTsvSource::OfaTsvSource(const SourceOptions& options)
    : RowSource(options, options.path),
      columns_(tsv_columns(options.tsv_task, options.selected_cols, options.tsv_roles)),
      references_(options.tsv_references),
      lines_(options.path, options.write_index) {
  set_rows(lines_.size());
}

Sample OfaTsvSource::read(int64_t shard, int64_t index) const {
  const int64_t n = number(shard, index);
  Sample sample = parse(lines_.line(n), n, true);
  sample.number = n;
  sample.shard = shard_name(shard);
  return sample;
}

Sample OfaTsvSource::parse(const std::string& line, int64_t number, bool with_picture) const {
  const std::string place = concat(file_of(number).string(), ": line ", number + 1);
  const ofa_tsv::Row row(line, columns_, place);
  Sample sample;
  sample.meta = nlohmann::json::object();
  // Rows of pretraining carry the texts of their own type only; questions have their answers among the references.
  const bool mixed = row.has("type");
  const std::string type = row.text("type");
  const char* answers = type == "qa" && !row.text("refs").empty() ? "refs" : "answers";
  if (row.has(answers)) {
    try {
      auto parsed = parse_ofa_answers(row.raw(answers));
      sample.answers = std::move(parsed.answers);
      sample.weights = std::move(parsed.weights);
    } catch (const Error& error) {
      throw SampleError("bad_row", place, error.what());
    }
  }
  row.check_texts();
  sample.question = row.text("question");
  if (row.has("question") && sample.question.empty() && (!mixed || type == "qa"))
    throw SampleError("no_caption", place, "no question");
  bool caption_taken = false;
  for (const char* role : {"text", "hypothesis", "caption", "label_text"}) {
    if (!row.has(role)) continue;
    if (caption_taken) {
      sample.meta["premise"] = row.text(role);
      if (row.text(role).empty()) throw SampleError("no_caption", place, concat("no ", role));
      continue;
    }
    caption_taken = true;
    if (references_) {
      sample.captions = ofa_references(row.raw(role));
    } else if (std::string text = row.text(role); !text.empty()) {
      sample.captions.push_back(std::move(text));
    }
    if (sample.captions.empty() && (!mixed || type == "caption"))
      throw SampleError("no_caption", place, concat("no ", role));
  }
  if (type == "visual_grounding") sample.box = parse_ofa_box(row.raw("refs"), place);
  if (row.has("detections")) sample.meta["detections"] = ofa_tsv::parse_detections(row.raw("detections"), place);
  if (row.has("codes")) sample.meta["codes"] = ofa_tsv::parse_codes(row.raw("codes"), place);
  if (row.has("label_name")) sample.meta["label"] = row.text("label_name");
  for (const char* role : {"source", "sentence1", "sentence2"}) {
    if (!row.has(role)) continue;
    sample.meta[role] = row.text(role);
    if (row.text(role).empty()) throw SampleError("no_caption", place, concat("no ", role));
  }
  if (row.has("box")) sample.box = parse_ofa_box(row.raw("box"), place);
  if (row.has("label")) {
    sample.label = entailment_label(row.text("label"));
    if (*sample.label < 0)
      throw SampleError("bad_label", place, concat("'", row.text("label"), "' is not entailment, neutral or contradiction"));
  }
  for (const char* role : {"id", "objects", "refs", "dataset", "type"}) {
    if (row.has(role)) sample.meta[role] = std::string(row.raw(role));
  }
  sample.key = row.has("id") && !row.raw("id").empty() ? std::string(row.raw("id")) : row_key(number);
  if (row.has("image")) {
    sample.images.push_back({sample.key, ""});
    if (with_picture) {
      auto bytes = decode_base64(row.raw("image"));
      if (!bytes || bytes->empty()) throw SampleError("bad_image", place, bytes ? "no bytes at all" : "not base64");
      sample.images[0].bytes = std::move(*bytes);
    }
  }
  return sample;
}

}  // namespace vlm
