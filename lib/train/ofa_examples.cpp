#include "vlm/train/ofa_examples.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/answer_set.h"
#include "vlm/train/vqa_objective.h"

namespace vlm {

namespace ofa_examples {

/// What a task is: how it asks and what it needs of a sample.
enum class Kind { caption, question, entailment, region, class_name, picture, summary, glue };

struct Known {
  const char* name;
  Kind kind;
  const char* evaluation;
};

constexpr Known known[] = {{"caption", Kind::caption, "caption"},
                           {"vqa", Kind::question, "vqa"},
                           {"snli_ve", Kind::entailment, "entail"},
                           {"refcoco", Kind::region, "ground"},
                           {"image_classify", Kind::class_name, ""},
                           {"image_gen", Kind::picture, ""},
                           {"gigaword", Kind::summary, ""},
                           {"cola", Kind::glue, ""},
                           {"mnli", Kind::glue, ""},
                           {"rte", Kind::glue, ""},
                           {"mrpc", Kind::glue, ""},
                           {"qnli", Kind::glue, ""},
                           {"qqp", Kind::glue, ""},
                           {"sst2", Kind::glue, ""}};

const Known& find(const std::string& task) {
  for (const auto& one : known) {
    if (task == one.name) return one;
  }
  fail_usage("objective.options.task: there is no '", task, "'", did_you_mean(task, ofa_task_names()), "; there are: ", join(ofa_task_names(), ", "));
}

std::string meta_text(const Sample& sample, const char* key) {
  if (!sample.meta.is_object()) return "";
  const auto it = sample.meta.find(key);
  if (it == sample.meta.end()) return "";
  return it->is_string() ? it->get<std::string>() : it->is_number_integer() ? std::to_string(it->get<int64_t>()) : "";
}

/// Whole numbers separated by white space, or a list of them.
std::vector<int64_t> meta_codes(const Sample& sample) {
  std::vector<int64_t> out;
  const auto it = sample.meta.is_object() ? sample.meta.find("codes") : sample.meta.end();
  if (!sample.meta.is_object() || it == sample.meta.end()) return out;
  if (it->is_array()) {
    for (const auto& code : *it) out.push_back(code.is_number_integer() ? code.get<int64_t>() : -1);
  } else if (it->is_string()) {
    for (const auto& part : split(it->get_ref<const std::string&>(), " ")) {
      if (part.empty()) continue;
      const bool digits = part.size() < 10 && std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
      out.push_back(digits ? std::stoll(part) : -1);
    }
  }
  return out;
}

}  // namespace ofa_examples

using ofa_examples::Kind;

void OfaTaskOptions::fields(Fields& f) {
  f.field("task", task, "caption, vqa, snli_ve, refcoco, image_classify, image_gen, gigaword; GLUE's cola, mnli, rte, mrpc, qnli, qqp, sst2");
  f.field("max_src_length", max_src_length, "words of a question, hypothesis or article that are read");
  f.field("max_tgt_length", max_tgt_length, "captions and summaries: words that are taught; answers: ids");
  f.field("prompt_type", prompt_type, "what the decoder is given before an answer: none, src (the instruction) or prev_output (without its end)");
  f.field("taught_answers", taught_answers, "vqa: best (the answer that weighs most), all (each times its weight), or one (drawn by weight)");
  f.field("add_object", add_object, "vqa: the names of detected objects are put behind the question");
  f.field("add_caption", add_caption, "snli_ve: the picture's caption is part of the instruction");
  f.field("max_image_size", max_image_size, "pixels that the last bin of a box stands for");
  f.field("decoder_input_noise", decoder_input_noise, "gigaword: part of the ids before each position that are random ones");
  f.field("answers", answers, "vqa, image_classify: file of the closed set (a line, a JSON string or a JSON key each); ids outside of it are "
                              "left out of the softmax. image_classify: also the names of numbered labels");
}

const std::vector<std::string>& ofa_task_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const auto& one : ofa_examples::known) out.push_back(one.name);
    return out;
  }();
  return names;
}

std::string ofa_task_evaluation(const std::string& task) { return ofa_examples::find(task).evaluation; }

OfaTask::OfaTask(const OfaVocabulary& vocabulary, const OfaTaskOptions& options) : vocabulary_(vocabulary), options_(options) {
  const Kind kind = ofa_examples::find(options_.task).kind;
  prompt_ = ofa_instruction::prompt_named(options_.prompt_type);
  if (kind == Kind::glue) glue_ = &ofa_instruction::glue_task(options_.task);
  const bool answers = kind == Kind::question || kind == Kind::entailment || kind == Kind::glue;
  const auto only = [&](bool set, bool allowed, const char* key, const char* tasks) {
    if (set && !allowed) fail_usage("objective.options.", key, " is for the task ", tasks, ", not for '", options_.task, "'");
  };
  only(prompt_ != ofa_instruction::Prompt::none, answers, "prompt_type", "vqa, snli_ve or one of GLUE");
  only(options_.add_object, kind == Kind::question, "add_object", "vqa");
  only(options_.add_caption, kind == Kind::entailment, "add_caption", "snli_ve");
  only(options_.decoder_input_noise != 0, kind == Kind::summary, "decoder_input_noise", "gigaword");
  only(!options_.answers.empty(), kind == Kind::question || kind == Kind::class_name, "answers", "vqa or image_classify");
  if (options_.max_src_length < 1 || options_.max_tgt_length < 1) fail_usage("objective.options.max_src_length and max_tgt_length are at least 1");
  if (options_.max_image_size < 1) fail_usage("objective.options.max_image_size is at least 1, not ", options_.max_image_size);
  if (!(options_.decoder_input_noise >= 0 && options_.decoder_input_noise <= 1)) fail_usage("objective.options.decoder_input_noise is a part, 0 to 1");
  const std::string& taught = options_.taught_answers;
  if (taught != "best" && taught != "all" && taught != "one") fail_usage("objective.options.taught_answers is best, all or one, not '", taught, "'");
  if (kind == Kind::region && vocabulary_.ids().bins < 2) fail_usage("the task refcoco needs a model with bins (model.config.num_bins)");
  if (kind == Kind::picture && vocabulary_.ids().codes < 1) fail_usage("the task image_gen needs a model with codes (model.config.num_codes)");

  if (!options_.answers.empty()) set_ = read_answer_set(options_.answers);
  if (kind == Kind::entailment) set_ = ofa_instruction::entailment_answers();
  if (glue_) set_ = glue_->answers;
  if (set_.empty()) return;
  std::vector<std::vector<int64_t>> sequences;
  for (const auto& answer : set_) sequences.push_back(vocabulary_.text(kind == Kind::entailment || glue_ ? answer : ofa_instruction::answer(answer)));
  trie_ = std::make_unique<TokenTrie>(sequences, vocabulary_.tokens().end);
}

bool OfaTask::in_set(const std::vector<int64_t>& ids) const {
  const int64_t node = trie_->find(ids);
  return node != TokenTrie::nowhere && trie_->child(node, trie_->end()) != TokenTrie::nowhere;
}

bool OfaTask::pictured() const {
  const Kind kind = ofa_examples::find(options_.task).kind;
  return kind != Kind::picture && kind != Kind::summary && kind != Kind::glue;
}

std::vector<int64_t> OfaTask::instruction(const Sample& sample, const std::string& text) const {
  namespace say = ofa_instruction;
  const auto ids = [&](const std::string& words) { return vocabulary_.text(words); };
  const int64_t most = options_.max_src_length;
  switch (ofa_examples::find(options_.task).kind) {
    case Kind::caption:
    case Kind::class_name: return ids(say::caption());
    case Kind::question: {
      auto out = ids(say::question(sample.question, most));
      if (const std::string objects = ofa_examples::meta_text(sample, "objects"); options_.add_object && !objects.empty()) {
        const auto names = ids(say::objects(objects));
        out.insert(out.end(), names.begin(), names.end());
      }
      return out;
    }
    case Kind::entailment: return ids(say::entailment(text, options_.add_caption ? ofa_examples::meta_text(sample, "premise") : "", most));
    case Kind::region: return ids(say::region_of(text, most));
    case Kind::picture: return ids(say::picture_of(text, most));
    case Kind::summary: {
      auto out = ids(say::summary(ofa_examples::meta_text(sample, "source"), most));
      out.resize(std::min(out.size(), static_cast<size_t>(most)));
      return out;
    }
    case Kind::glue:
      return ids(glue_->instruct(ofa_examples::meta_text(sample, "sentence1"), glue_->pair() ? ofa_examples::meta_text(sample, "sentence2") : "", most));
  }
  fail("no such task");
}

std::vector<std::pair<std::vector<int64_t>, double>> OfaTask::answers(const Sample& sample, const std::string& text, SplitMix64* random) const {
  namespace say = ofa_instruction;
  const auto one = [&](const std::string& words) { return std::vector<std::pair<std::vector<int64_t>, double>>{{vocabulary_.text(words), 1.0}}; };
  switch (ofa_examples::find(options_.task).kind) {
    case Kind::caption: return one(say::target_caption(text, options_.max_tgt_length));
    case Kind::question: {
      std::vector<std::pair<std::vector<int64_t>, double>> out;
      auto weighed = sample.weights.empty() ? std::vector<std::pair<std::string, double>>() : taught_answers(sample, false, 0);
      if (weighed.empty()) {
        for (const auto& answer : sample.answers) weighed.emplace_back(answer, 1.0);
      }
      const auto more = [](const auto& a, const auto& b) { return a.second < b.second; };
      if (options_.taught_answers == "best") weighed = {*std::max_element(weighed.begin(), weighed.end(), more)};
      if (options_.taught_answers == "one" && weighed.size() > 1) {
        double sum = 0;
        for (const auto& entry : weighed) sum += entry.second;
        double left = (random ? random->uniform() : 0.0) * sum;
        size_t drawn = 0;
        while (drawn + 1 < weighed.size() && left >= weighed[drawn].second) left -= weighed[drawn++].second;
        weighed = {weighed[drawn]};
      }
      for (const auto& [answer, weight] : weighed) {
        auto ids = vocabulary_.text(say::answer(answer));
        ids.resize(std::min(ids.size(), static_cast<size_t>(options_.max_tgt_length)));
        out.emplace_back(std::move(ids), weight);
      }
      return out;
    }
    case Kind::entailment: return one(say::entailment_answers().at(static_cast<size_t>(*sample.label)));
    case Kind::region: return {{vocabulary_.box(*sample.box, static_cast<double>(options_.max_image_size)), 1.0}};
    case Kind::class_name: return one(say::answer(sample.label && !set_.empty() && *sample.label >= 0 ? set_.at(static_cast<size_t>(*sample.label)) : text));
    case Kind::picture: return {{vocabulary_.codes(ofa_examples::meta_codes(sample), sample.place()), 1.0}};
    case Kind::summary: return one(say::target_summary(text, options_.max_tgt_length));
    case Kind::glue: return one(glue_->answers.at(*glue_->label(ofa_examples::meta_text(sample, "label"))));
  }
  fail("no such task");
}

void OfaTask::check(const Sample& sample, const std::string& text) const {
  const std::string place = sample.shard + ": " + sample.key;
  const Kind kind = ofa_examples::find(options_.task).kind;
  const auto need = [&](bool there, const char* reason, const std::string& detail = "") {
    if (!there) throw SampleError(reason, place, detail);
  };
  need(!pictured() || !sample.images.empty(), "no_image");
  switch (kind) {
    case Kind::question:
      need(!sample.question.empty(), "no_question");
      need(!sample.answers.empty(), "no_answer");
      break;
    case Kind::entailment:
      need(!text.empty(), "no_caption");
      need(sample.label && *sample.label >= 0 && *sample.label < 3, "bad_label", "entailment has the labels 0, 1 and 2");
      break;
    case Kind::region:
      need(!text.empty(), "no_caption");
      need(sample.box.has_value(), "bad_box", "there is none");
      break;
    case Kind::class_name:
      if (sample.label && !set_.empty()) {
        need(*sample.label >= 0 && *sample.label < static_cast<int64_t>(set_.size()), "bad_label", concat("there are ", set_.size(), " classes"));
      } else {
        need(!text.empty(), "no_caption");
      }
      break;
    case Kind::picture:
      need(!text.empty(), "no_caption");
      need(!vocabulary_.codes(ofa_examples::meta_codes(sample), place).empty(), "bad_row", "no codes");
      return;
    case Kind::summary: need(!ofa_examples::meta_text(sample, "source").empty(), "no_caption", "no article"); [[fallthrough]];
    case Kind::caption: need(!text.empty(), "no_caption"); break;
    case Kind::glue:
      need(!ofa_examples::meta_text(sample, "sentence1").empty(), "no_caption", "no first sentence");
      need(!glue_->pair() || !ofa_examples::meta_text(sample, "sentence2").empty(), "no_caption", "no second sentence");
      need(glue_->label(ofa_examples::meta_text(sample, "label")).has_value(), "bad_label", "'" + ofa_examples::meta_text(sample, "label") + "'");
      return;
  }
  if (options_.answers.empty()) return;
  bool known = false;
  for (const auto& [ids, weight] : answers(sample, text, nullptr)) known = known || in_set(ids);
  need(known, "no_answer", "none of objective.options.answers");
}

OfaExample OfaTask::example(const Sample& sample, const std::string& text, SplitMix64& random) const {
  OfaExample out;
  out.source = vocabulary_.source(instruction(sample, text));
  const Kind kind = ofa_examples::find(options_.task).kind;
  out.codes = kind == Kind::picture;
  std::vector<int64_t> prompt = {vocabulary_.tokens().begin};
  if (prompt_ != ofa_instruction::Prompt::none) prompt = out.source;
  if (prompt_ == ofa_instruction::Prompt::prev_output) prompt.pop_back();
  for (const auto& [ids, weight] : answers(sample, text, &random)) {
    if (!options_.answers.empty() && !in_set(ids)) continue;  // of several answers some may lie outside
    out.replies.push_back(vocabulary_.reply(prompt, ids, ends(), weight));
  }
  if (options_.decoder_input_noise > 0) {
    const int64_t words = vocabulary_.ids().size - vocabulary_.ids().codes - vocabulary_.ids().bins;
    for (auto& reply : out.replies) {
      for (size_t i = 1; i < reply.previous.size(); ++i) {
        if (random.chance(options_.decoder_input_noise)) reply.previous[i] = 4 + static_cast<int64_t>(random.below(static_cast<uint64_t>(words - 4)));
      }
    }
  }
  return out;
}

}  // namespace vlm
