#include "vlm/train/ofa_pretrain_examples.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/answer_set.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/ofa_instructions.h"
#include "vlm/text/unicode.h"
#include "vlm/train/vqa_objective.h"

namespace vlm {

namespace ofa_pretraining {

std::string meta_text(const Sample& sample, const char* key) {
  if (!sample.meta.is_object() || !sample.meta.contains(key) || !sample.meta[key].is_string()) return "";
  return sample.meta[key].get<std::string>();
}

const std::string& one_of(const std::vector<std::string>& list, SplitMix64& random) { return list[random.below(list.size())]; }

/// Any but `not_this`, whose turn the last one takes.
const std::string& another_of(const std::vector<std::string>& list, const std::string& not_this, SplitMix64& random) {
  if (list.size() == 1) return list[0];
  const std::string& drawn = list[random.below(list.size() - 1)];
  return drawn == not_this ? list.back() : drawn;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; !from.empty() && (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
  return text;
}

/// The answer that weighs most, and its weight.
std::pair<std::string, double> best_answer(const Sample& sample) {
  if (sample.weights.size() != sample.answers.size()) return {sample.answers.at(0), 1.0};
  const auto best = std::max_element(sample.weights.begin(), sample.weights.end()) - sample.weights.begin();
  return {sample.answers[static_cast<size_t>(best)], sample.weights[static_cast<size_t>(best)]};
}

}  // namespace ofa_pretraining

OfaPairKind ofa_pair_kind(const Sample& sample, const std::string& text) {
  const std::string type = ofa_pretraining::meta_text(sample, "type");
  if (type == "visual_grounding") return OfaPairKind::region;
  if (type == "qa") return OfaPairKind::question;
  if (type == "caption") return OfaPairKind::caption;
  if (sample.box && !text.empty()) return OfaPairKind::region;
  return !sample.question.empty() && !sample.answers.empty() ? OfaPairKind::question : OfaPairKind::caption;
}

void OfaPretrainTexts::fields(Fields& f) {
  f.field("max_src_length", max_src_length, "words of captions and questions that are read");
  f.field("max_tgt_length", max_tgt_length, "words of captions that are written");
  f.field("max_image_size", max_image_size, "pixels that the last bin of a box stands for");
  f.field("extra_weight", extra_weight, "of texts and pictures with holes, and of detection");
  f.field("negative_captions", negative_captions, "file with captions that do not fit, one a line; empty: others of the batch");
  f.field("negative_objects", negative_objects, "file with names of objects, one a line, to put in place of those in a caption; empty: never");
  f.field("answer_types", answer_types, "JSON file {answer: type}: wrong answers are of the right one's type; empty: others of the batch");
  infilling.fields(f);
}

OfaPretrainExamples::OfaPretrainExamples(const OfaVocabulary& vocabulary, const OfaPretrainTexts& options)
    : vocabulary_(vocabulary), options_(options), word_starts_(word_start_table(vocabulary.tokenizer())), lengths_(options.infilling.poisson_lambda) {
  if (!options_.negative_captions.empty()) {
    for (auto& line : split(read_file(options_.negative_captions), "\n")) {
      if (!strip(line).empty()) captions_.push_back(std::move(line));
    }
    if (captions_.empty()) fail(options_.negative_captions, " holds no captions");
  }
  if (!options_.negative_objects.empty()) objects_ = read_answer_set(options_.negative_objects);
  if (!options_.answer_types.empty()) {
    const auto json = nlohmann::json::parse(read_file(options_.answer_types), nullptr, false);
    if (!json.is_object() || json.empty()) fail(options_.answer_types, ": no JSON object of answers and their types");
    for (const auto& [answer, type] : json.items()) {
      if (!type.is_string()) fail(options_.answer_types, ": the type of '", answer, "' is no string");
      type_of_answer_[answer] = type;
      answers_of_type_[type].push_back(answer);
    }
  }
  word_starts_.resize(static_cast<size_t>(vocabulary.ids().size), true);
}

void OfaPretrainExamples::check_pair(const Sample& sample, const std::string& text) const {
  const std::string place = sample.place();
  const OfaPairKind kind = ofa_pair_kind(sample, text);
  if (sample.images.empty()) throw SampleError("no_image", place);
  if (kind == OfaPairKind::question && sample.question.empty()) throw SampleError("no_question", place);
  if (kind == OfaPairKind::question && sample.answers.empty()) throw SampleError("no_answer", place);
  if (kind != OfaPairKind::question && text.empty()) throw SampleError("no_caption", place);
  if (kind == OfaPairKind::region && !sample.box) throw SampleError("bad_box", place, "there is none");
  if (kind == OfaPairKind::region && vocabulary_.ids().bins < 2) throw SampleError("bad_box", place, "the model has no bins for boxes");
}

void OfaPretrainExamples::check_text(const std::string& text, const std::string& place) const {
  if (strip(text).empty()) throw SampleError("no_caption", place);
}

void OfaPretrainExamples::check_picture(const Sample& sample) const {
  if (sample.images.empty()) throw SampleError("no_image", sample.place());
  picture(sample, 0);
}

void OfaPretrainExamples::check_detection(const Sample& sample) const {
  if (sample.images.empty()) throw SampleError("no_image", sample.place());
  if (!sample.meta.is_object() || !sample.meta.contains("detections") || !sample.meta["detections"].is_array()) {
    throw SampleError("bad_box", sample.place(), "no detections");
  }
  if (vocabulary_.ids().bins < 2) throw SampleError("bad_box", sample.place(), "the model has no bins for boxes");
}

OfaExample OfaPretrainExamples::example(const std::string& instruction, const std::vector<int64_t>& answer, double weight, int64_t picture) const {
  OfaExample out;
  out.source = vocabulary_.source(vocabulary_.text(instruction));
  out.replies = {vocabulary_.reply(answer, weight)};
  out.picture = picture;
  return out;
}

std::string OfaPretrainExamples::negative_caption(const Sample& sample, const std::string& caption, const std::vector<std::string>& others,
                                                  SplitMix64& random) const {
  using namespace ofa_pretraining;
  const std::string objects = meta_text(sample, "objects");
  if (random.chance(0.4) && !objects.empty() && !objects_.empty()) {
    const std::string object = one_of(split(objects, "&&"), random);
    return replaced(caption, object, another_of(objects_, object, random));
  }
  if (!captions_.empty()) return one_of(captions_, random);
  return others.empty() ? caption : another_of(others, caption, random);
}

std::string OfaPretrainExamples::negative_answer(const std::string& answer, double confidence, const std::vector<std::string>& others,
                                                 SplitMix64& random) const {
  using namespace ofa_pretraining;
  const double u = random.uniform();
  const auto type = type_of_answer_.find(answer);
  if (type != type_of_answer_.end() && confidence > u + 0.1) {
    const bool number = !answer.empty() && answer.size() < 10 && std::all_of(answer.begin(), answer.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (type->second == "how many" && number && u > 0.5) {
      const int64_t count = std::stoll(answer);
      return std::to_string(count == 0 ? 1 : count + (random.chance(0.5) ? 1 : -1));
    }
    return another_of(answers_of_type_.at(type->second), answer, random);
  }
  const auto other = answers_of_type_.find("other");
  if (other != answers_of_type_.end()) return another_of(other->second, answer, random);
  return others.empty() ? answer : another_of(others, answer, random);
}

std::vector<OfaExample> OfaPretrainExamples::pair(const Sample& sample, const std::string& text, const std::vector<std::string>& others, int64_t picture,
                                                  SplitMix64& random) const {
  namespace say = ofa_instruction;
  const auto ids = [&](const std::string& words) { return vocabulary_.text(words); };
  const int64_t read = options_.max_src_length, written = options_.max_tgt_length;
  const auto caption = ids(say::pretraining_caption(text, written));
  switch (ofa_pair_kind(sample, text)) {
    case OfaPairKind::caption: {
      OfaExample first = example(say::caption(), caption, 1, picture);
      if (ofa_pretraining::meta_text(sample, "dataset") == "cc12m") {
        // Its captions often begin with what no picture shows; the end counts always.
        auto& target = first.replies[0].target;
        for (size_t t = 0; t < 2 && t + 1 < target.size(); ++t) target[t] = vocabulary_.tokens().pad;
      }
      const bool fits = random.chance(0.5);
      const std::string asked = fits ? text : negative_caption(sample, text, others, random);
      return {std::move(first), example(say::match(asked, read), ids(say::yes_or_no(fits)), 1, picture)};
    }
    case OfaPairKind::question: {
      const auto [answer, weight] = ofa_pretraining::best_answer(sample);
      OfaExample first = example(say::question(sample.question, read, /*mark=*/false), ids(say::answer(answer)), weight, picture);
      const bool fits = random.chance(0.5);
      const std::string asked = fits ? answer : negative_answer(answer, weight, others, random);
      return {std::move(first), example(say::match_answer(sample.question, asked, read), ids(say::yes_or_no(fits)), weight, picture)};
    }
    case OfaPairKind::region: {
      const auto bins = box(*sample.box);
      OfaExample second = example(say::describe_region(), caption, 1, picture);
      second.source.insert(second.source.end() - 1, bins.begin(), bins.end());
      return {example(say::region_of(text, read), bins, 1, picture), std::move(second)};
    }
  }
  fail("no such kind of pair");
}

OfaExample OfaPretrainExamples::text(const std::string& text, SplitMix64& random) const {
  std::vector<int64_t> whole = vocabulary_.text(" " + lower(strip(text)));
  whole.resize(std::min<size_t>(whole.size(), 512));
  if (whole.size() > 256) whole.erase(whole.begin(), whole.end() - 256);
  const auto wrapped = vocabulary_.source(whole);
  std::vector<bool> starts;
  for (const int64_t id : wrapped) starts.push_back(word_starts_[static_cast<size_t>(id)]);
  RandomInfillingDraws draws(lengths_, random);
  const InfillingIds special{vocabulary_.ids().mask, 4, vocabulary_.ids().first_code};
  const auto holes = infill_text(wrapped, starts, options_.infilling, special, draws);
  std::vector<int64_t> source = vocabulary_.text(ofa_instruction::infill());
  source.insert(source.end() - std::min<std::ptrdiff_t>(2, static_cast<std::ptrdiff_t>(source.size())), holes.begin() + 1, holes.end() - 1);
  OfaExample out;
  out.source = vocabulary_.source(std::move(source));
  out.replies = {vocabulary_.reply(whole, options_.extra_weight)};
  return out;
}

OfaExample OfaPretrainExamples::picture(const Sample& sample, int64_t picture) const {
  std::vector<int64_t> codes;
  const auto found = sample.meta.is_object() ? sample.meta.find("codes") : sample.meta.end();
  if (!sample.meta.is_object() || found == sample.meta.end() || !found->is_array() || found->empty()) throw SampleError("bad_row", sample.place(), "no codes");
  for (const auto& code : *found) codes.push_back(code.is_number_integer() ? code.get<int64_t>() : -1);
  OfaExample out = example(ofa_instruction::middle_of_picture(), vocabulary_.codes(codes, sample.place()), options_.extra_weight, picture);
  out.codes = true;
  return out;
}

OfaExample OfaPretrainExamples::detection(const Sample& sample, int64_t picture) const {
  std::vector<int64_t> answer;
  for (const auto& object : sample.meta.at("detections")) {
    const auto corners = box(object.at("box").get<std::array<double, 4>>());
    const auto name = vocabulary_.text(" " + object.at("name").get<std::string>());
    answer.insert(answer.end(), corners.begin(), corners.end());
    answer.insert(answer.end(), name.begin(), name.end());
  }
  return example(ofa_instruction::detection(), answer, options_.extra_weight, picture);
}

}  // namespace vlm
