#include "vlm/data/question_lists.h"

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <unordered_map>
#include <unordered_set>

#include "vlm/core/strings.h"
#include "vlm/data/json_items.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace question_lists {

using Json = nlohmann::json;

/// Distinct answers in order of first appearance.
struct Counted {
  std::vector<std::string> answers;
  std::vector<int64_t> counts;
  int64_t total = 0;
  void add(std::string answer) {
    ++total;
    const auto known = std::find(answers.begin(), answers.end(), answer);
    if (known != answers.end()) {
      ++counts[static_cast<size_t>(known - answers.begin())];
    } else {
      answers.push_back(std::move(answer));
      counts.push_back(1);
    }
  }
};

struct Annotation {
  Counted answers;
  std::string question_type, answer_type;
};

/// No row has more answers; a list of a million would cost a quadratic search.
constexpr size_t most_answers = 1000;

std::unordered_map<int64_t, Annotation> read_annotations(const std::string& file, std::vector<int64_t>& order,
                                                         const std::function<void(size_t)>& bad) {
  std::unordered_map<int64_t, Annotation> out;
  size_t position = 0;
  for_each_json_item(file, {{"annotations", [&](Json&& item) {
                               const size_t at = position++;
                               const auto id = integer_of(item, "question_id");
                               if (!id) return bad(at);
                               Annotation annotation;
                               if (const auto answers = item.find("answers"); answers != item.end() && answers->is_array()) {
                                 for (size_t i = 0; i < std::min(answers->size(), most_answers); ++i) {
                                   if (const std::string* answer = text_of((*answers)[i], "answer"))
                                     annotation.answers.add(std::string(strip(*answer)));
                                 }
                               }
                               if (const std::string* type = text_of(item, "question_type"))
                                 annotation.question_type = *type;
                               if (const std::string* type = text_of(item, "answer_type")) annotation.answer_type = *type;
                               order.push_back(*id);
                               out[*id] = std::move(annotation);
                             }}});
  return out;
}

/// What the pictures of a questions file are called, by its data_subtype.
std::string coco_template(const std::string& file) {
  std::map<std::string, Json> values = {{"data_subtype", nullptr}};
  for_each_json_item(file, std::map<std::string, JsonItemHandler>{}, &values);
  const Json& subtype = values["data_subtype"];
  if (!subtype.is_string() || subtype.get<std::string>().find_first_of("{}") != std::string::npos) {
    fail_usage(file,
               " does not say what its pictures are called (data_subtype); set image_template, as "
               "COCO_val2014_{:012d}.jpg");
  }
  const auto& name = subtype.get_ref<const std::string&>();
  // "test-dev2015" is a part of the pictures of test2015.
  return "COCO_" + (starts_with(name, "test-dev") ? "test" + name.substr(8) : name) + "_{:012d}.jpg";
}

}  // namespace question_lists

std::string fill_image_template(const std::string& pattern, int64_t image_id) {
  const size_t open = pattern.find('{'), close = pattern.find('}', open == std::string::npos ? 0 : open);
  const auto wrong = [&] {
    fail_usage("image_template '", pattern,
               "' needs exactly one place for the number of the picture, as COCO_val2014_{:012d}.jpg");
  };
  if (open == std::string::npos || close == std::string::npos || pattern.find_first_of("{}", close + 1) != std::string::npos)
    wrong();
  std::string_view format(pattern.data() + open + 1, close - open - 1);
  size_t width = 0;
  bool zeros = false;
  if (!format.empty()) {
    if (format[0] != ':') wrong();
    format.remove_prefix(1);
    if (!format.empty() && format.back() == 'd') format.remove_suffix(1);
    zeros = !format.empty() && format[0] == '0';
    if (!format.empty()) {
      const auto [end, error] = std::from_chars(format.data(), format.data() + format.size(), width);
      if (error != std::errc() || end != format.data() + format.size() || width > 64) wrong();
    }
  }
  std::string digits = std::to_string(image_id);
  if (digits.size() < width) {
    const bool negative = zeros && digits[0] == '-';
    digits.insert(negative ? 1 : 0, width - digits.size(), zeros ? '0' : ' ');
  }
  return pattern.substr(0, open) + digits + pattern.substr(close + 1);
}

double soft_answer_weight(int64_t people) {
  static constexpr double weights[] = {0, 0.3, 0.6, 0.9, 1};
  return weights[std::clamp<int64_t>(people, 0, 4)];
}

VqaV2Source::VqaV2Source(const SourceOptions& options) : StoredRows(options, options.path) {
  namespace lists = question_lists;
  const std::string pattern = options.image_template.empty() ? lists::coco_template(options.path) : options.image_template;
  fill_image_template(pattern, 0);
  std::vector<int64_t> order;
  std::unordered_map<int64_t, lists::Annotation> annotations;
  const bool annotated = !options.annotations.empty();
  if (annotated) {
    annotations = lists::read_annotations(options.annotations, order, [&](size_t at) {
      add_problem("unknown_question", concat(options.annotations, ": annotation ", at), "question_id is no whole number");
    });
  }
  std::unordered_set<int64_t> asked;
  std::unordered_map<int64_t, int64_t> index_of;
  for_each_json_item(options.path,
                     {{"questions", [&](lists::Json&& item) {
                         const auto id = integer_of(item, "question_id"), image = integer_of(item, "image_id");
                         const std::string* question = text_of(item, "question");
                         if (id) asked.insert(*id);
                         if (!id || !image || !question)
                           return add_bad("bad_row", "a question needs question, question_id and image_id");
                         Sample sample;
                         sample.key = std::to_string(*id);
                         sample.question = strip(*question);
                         sample.images.push_back({fill_image_template(pattern, *image), ""});
                         sample.meta = {{"question_id", *id}, {"image_id", *image}};
                         if (annotated) {
                           const auto annotation = annotations.find(*id);
                           if (annotation == annotations.end()) return add_bad("no_annotation", concat("question_id ", *id));
                           const auto& [answers, question_type, answer_type] = annotation->second;
                           if (answers.answers.empty())
                             return add_bad("bad_row", concat("question_id ", *id, " has no answers with text"));
                           sample.answers = answers.answers;
                           sample.counts = answers.counts;
                           for (const int64_t count : answers.counts) sample.weights.push_back(soft_answer_weight(count));
                           if (!question_type.empty()) sample.meta["question_type"] = question_type;
                           if (!answer_type.empty()) sample.meta["answer_type"] = answer_type;
                         }
                         sample.image_index = index_of.emplace(*image, static_cast<int64_t>(index_of.size())).first->second;
                         add(sample);
                       }}});
  for (const int64_t id : order) {
    if (asked.count(id) == 0)
      add_problem("unknown_question", concat(options.annotations, ": question_id ", id),
                  "it is in no row of the questions file");
  }
  set_rows(rows());
}

AlbefVqaSource::AlbefVqaSource(const SourceOptions& options)
    : StoredRows(options, split(options.path, "::")[0]),
      vqa_root_(options.vqa_root),
      vg_root_(options.vg_root),
      gqa_root_(options.gqa_root) {
  namespace lists = question_lists;
  using lists::Json;
  std::unordered_map<std::string, int64_t> index_of;
  for (const auto& file : vlm::split(options.path, "::")) {
    begin_file(rows(), file);
    for_each_json_item(file, [&](Json&& item) {
      const std::string* image = text_of(item, "image");
      const std::string* question = text_of(item, "question");
      const std::string* dataset = text_of(item, "dataset");
      if (!image || !question || !dataset || (*dataset != "vqa" && *dataset != "vg" && *dataset != "gqa"))
        return add_bad("bad_row", "a row needs question, image, and dataset, which is vqa, vg or gqa");
      Sample sample;
      if (const auto answer = item.find("answer"); answer != item.end() && !answer->is_null()) {
        lists::Counted counted;
        if (*dataset == "vqa") {
          if (!answer->is_array() || answer->empty() || answer->size() > lists::most_answers ||
              !std::all_of(answer->begin(), answer->end(), [](const Json& a) { return a.is_string(); })) {
            return add_bad("bad_row", "answer of a vqa row is a list of texts");
          }
          for (const auto& text : *answer) counted.add(text.get<std::string>());
          for (const int64_t count : counted.counts)
            sample.weights.push_back(static_cast<double>(count) / static_cast<double>(counted.total));
          sample.counts = std::move(counted.counts);
        } else {
          if (!answer->is_string()) return add_bad("bad_row", concat("answer of a ", *dataset, " row is a text"));
          counted.add(answer->get<std::string>());
          sample.weights = {0.5};
        }
        sample.answers = std::move(counted.answers);
      }
      sample.meta = {{"dataset", *dataset}};
      sample.key = row_key(rows());
      if (const auto id = item.find("question_id"); id != item.end() && (id->is_string() || id->is_number_integer())) {
        sample.meta["question_id"] = *id;
        if (const std::string key = id->is_string() ? id->get<std::string>() : id->dump(); !key.empty()) sample.key = key;
      }
      sample.question = *question;
      sample.image_index = index_of.emplace(*dataset + " " + *image, static_cast<int64_t>(index_of.size())).first->second;
      sample.images.push_back({*image, ""});
      add(sample);
    });
  }
  set_rows(rows());
}

std::filesystem::path AlbefVqaSource::root_of(const Sample& sample) const {
  const auto dataset = sample.meta.value("dataset", "");
  const auto& root = dataset == "vg" ? vg_root_ : dataset == "gqa" ? gqa_root_ : vqa_root_;
  return root.empty() ? StoredRows::root_of(sample) : root;
}

}  // namespace vlm
