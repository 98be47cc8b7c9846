#include "vlm/eval/generation_protocols.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "vlm/core/error.h"
#include "vlm/eval/bleu.h"
#include "vlm/eval/cider.h"
#include "vlm/eval/pixel_neighbours.h"
#include "vlm/eval/ptb_tokenizer.h"
#include "vlm/eval/rouge.h"
#include "vlm/eval/sample_stream.h"

namespace vlm {

namespace generation_protocols {

/// The captions of every picture; reads no picture.
std::map<std::string, std::vector<std::string>> references_of(const Source& source) {
  std::map<std::string, std::vector<std::string>> out;
  for (int64_t i = 0; i < source.size(); ++i) {
    try {
      const Sample sample = source.describe_number(i);
      auto& own = out[picture_of(sample)];
      own.insert(own.end(), sample.captions.begin(), sample.captions.end());
    } catch (const SampleError&) {
      // It is counted when its picture is to be read.
    }
  }
  return out;
}

struct ScoredItems {
  std::map<std::string, double> scores;
  Bleu bleu;
  CaptionScores rouge, cider_d;
};

ScoredItems score(const std::vector<CaptionItem>& items, const std::string& document_frequency) {
  ScoredItems out;
  out.bleu = bleu(items);
  for (size_t n = 0; n < out.bleu.corpus.size(); ++n) out.scores["BLEU-" + std::to_string(n + 1)] = out.bleu.corpus[n];
  out.rouge = rouge_l(items);
  std::optional<DocumentFrequency> frequency;
  if (!document_frequency.empty()) frequency = read_document_frequency(document_frequency);
  CiderOptions plain;
  plain.d = false;
  out.cider_d = cider(items, {}, frequency ? &*frequency : nullptr);
  out.scores["ROUGE-L"] = out.rouge.corpus;
  out.scores["CIDEr-D"] = out.cider_d.corpus;
  out.scores["CIDEr"] = cider(items, plain, frequency ? &*frequency : nullptr).corpus;
  return out;
}

std::string meta_text(const nlohmann::json& meta, const char* key) {
  return meta.is_object() && meta.contains(key) && meta[key].is_string() ? meta[key].get<std::string>() : "";
}

/// As many times as people gave each answer, where that is known.
std::vector<std::string> answers_of(const Sample& sample) {
  if (sample.counts.size() != sample.answers.size()) return sample.answers;
  std::vector<std::string> out;
  for (size_t i = 0; i < sample.answers.size(); ++i) out.insert(out.end(), static_cast<size_t>(std::max<int64_t>(0, sample.counts[i])), sample.answers[i]);
  return out;
}

/// The weight of an answer among those of the data set; 0 if it is none of them.
double weight_of(const Sample& sample, const std::string& answer) {
  const auto it = std::find(sample.answers.begin(), sample.answers.end(), answer);
  return it == sample.answers.end() ? 0 : sample.weights[static_cast<size_t>(it - sample.answers.begin())];
}

}  // namespace generation_protocols

CaptionReport evaluate_captions(const TextPipeline& pipeline, const Source& source, const CaptionEvaluation& options) {
  using namespace generation_protocols;
  SkipCounter skips(source.name(), options.strict);
  const auto references = references_of(source);
  SampleStream samples(source, skips, "captions", options.progress);
  std::set<std::string> seen;
  PendingSamples pending(samples, skips, [&](const Sample& sample) {
    const std::string picture = picture_of(sample);
    if (references.count(picture) == 0 || references.at(picture).empty()) {
      skips.skip(SampleError("no_caption", sample.place()));
      return false;
    }
    return seen.insert(picture).second;
  });
  std::vector<CaptionItem> items;
  std::vector<std::string> written;
  std::vector<int64_t> numbers;
  PictureStream stream = pipeline.stream(pending.reader(), pending.on_failure());
  CaptionReport report;
  PictureBatch batch;
  while (stream.next(batch)) {
    const auto captions = pipeline.caption(batch.pixels, options.caption);
    for (size_t i = 0; i < captions.size(); ++i) {
      skips.use();
      const Sample sample = pending.take(batch.names[i]);
      CaptionItem item{picture_of(sample), caption_tokens(captions[i].text), {}};
      for (const auto& reference : references.at(item.id)) item.references.push_back(caption_tokens(reference));
      report.references += static_cast<int64_t>(item.references.size());
      items.push_back(std::move(item));
      written.push_back(captions[i].text);
      numbers.push_back(sample.number);
    }
  }
  if (items.empty()) fail(source.name(), " holds no picture with a caption that can be used");
  report.pictures = static_cast<int64_t>(items.size());
  report.skipped = skips.skipped();
  const ScoredItems scored = score(items, options.document_frequency);
  report.scores = scored.scores;
  if (options.each) {
    for (size_t i = 0; i < items.size(); ++i) {
      options.each({{"picture", items[i].id}, {"number", numbers[i]}, {"caption", written[i]}, {"references", references.at(items[i].id)},
                    {"BLEU-4", scored.bleu.per_item[i].back()}, {"ROUGE-L", scored.rouge.per_item[i]}, {"CIDEr-D", scored.cider_d.per_item[i]}});
    }
  }
  return report;
}

CaptionReport nearest_picture_captions(const Source& train, const Source& test, const CaptionEvaluation& options) {
  using namespace generation_protocols;
  const auto captioned = [](const Sample& sample) { return !sample.captions.empty(); };
  SkipCounter train_skips(train.name(), options.strict), skips(test.name(), options.strict);
  std::vector<std::string> known;
  SampleStream teachers(train, train_skips, "nearest pictures", options.progress);
  const Tensor known_pixels = pixel_vectors(teachers, train_skips, captioned, [&](Sample& sample) { known.push_back(sample.captions[0]); });
  if (known.empty()) fail(train.name(), " holds no picture with a caption that can be used");

  const auto references = references_of(test);
  std::set<std::string> seen;
  std::vector<CaptionItem> items;
  CaptionReport report;
  SampleStream asked(test, skips, "captions", options.progress);
  const Tensor pixels = pixel_vectors(
      asked, skips,
      [&](const Sample& sample) {
        const auto own = references.find(picture_of(sample));
        return own != references.end() && !own->second.empty() && seen.insert(own->first).second;
      },
      [&](Sample& sample) {
        CaptionItem item{picture_of(sample), "", {}};
        for (const auto& reference : references.at(item.id)) item.references.push_back(caption_tokens(reference));
        report.references += static_cast<int64_t>(item.references.size());
        items.push_back(std::move(item));
      });
  if (items.empty()) fail(test.name(), " holds no picture with a caption that can be used");
  const auto nearest = nearest_rows(pixels, known_pixels);
  for (size_t i = 0; i < items.size(); ++i) items[i].candidate = caption_tokens(known[static_cast<size_t>(nearest[i])]);
  report.pictures = static_cast<int64_t>(items.size());
  report.skipped = skips.skipped();
  report.scores = score(items, options.document_frequency).scores;
  return report;
}

nlohmann::ordered_json CaptionReport::to_json() const {
  nlohmann::ordered_json out;
  for (const auto& [name, value] : scores) out[name] = value;
  out["pictures"] = pictures;
  out["references"] = references;
  out["skipped"] = skipped;
  return out;
}

VqaReport evaluate_vqa(const TextPipeline& pipeline, const Source& source, const VqaEvaluation& options) {
  using namespace generation_protocols;
  SkipCounter skips(source.name(), options.strict);
  SampleStream samples(source, skips, "questions", options.progress);
  PendingSamples pending(samples, skips, [&](const Sample& sample) {
    if (!sample.question.empty()) return true;
    skips.skip(SampleError("no_question", sample.place()));
    return false;
  });
  PictureStream stream = pipeline.stream(pending.reader(), pending.on_failure());
  VqaReport report;
  std::vector<VqaQuestion> asked;
  std::vector<nlohmann::ordered_json> results;
  AnswerOptions answering = options.answer;
  double weights = 0;
  int64_t weighed = 0;
  PictureBatch batch;
  while (stream.next(batch)) {
    std::vector<Sample> rows;
    std::vector<std::string> questions;
    for (const auto& name : batch.names) {
      rows.push_back(pending.take(name));
      questions.push_back(rows.back().question);
    }
    if (options.with_objects) {
      answering.objects.clear();
      for (const auto& row : rows) answering.objects.push_back(meta_text(row.meta, "objects"));
    }
    const auto answers = pipeline.answer(batch.pixels, questions, answering);
    for (size_t i = 0; i < answers.size(); ++i) {
      skips.use();
      VqaQuestion question{rows[i].key, answers[i].text, answers_of(rows[i]), meta_text(rows[i].meta, "question_type"), meta_text(rows[i].meta, "answer_type")};
      results.push_back({{"question_id", rows[i].key}, {"number", rows[i].number}, {"question", rows[i].question}, {"answer", answers[i].text}, {"score", answers[i].score}});
      report.questions += 1;
      if (!rows[i].weights.empty() && rows[i].weights.size() == rows[i].answers.size() && rows[i].counts.empty()) {
        weighed += 1;
        weights += weight_of(rows[i], answers[i].text);
        results.back()["weight"] = weight_of(rows[i], answers[i].text);
      }
      if (question.answers.empty()) {
        report.unanswered += 1;
        if (options.each) options.each(results.back());
        results.pop_back();
      } else {
        asked.push_back(std::move(question));
      }
    }
  }
  if (report.questions == 0) fail(source.name(), " holds no question that can be asked");
  report.skipped = skips.skipped();
  if (weighed > 0) report.soft_accuracy = weights / static_cast<double>(weighed);
  if (!asked.empty()) {
    report.accuracy = vqa_accuracy(asked, options.variant);
    report.exact_match = vqa_exact_match(asked);
    for (size_t i = 0; i < results.size() && options.each; ++i) {
      results[i]["answers"] = asked[i].answers;
      results[i]["accuracy"] = report.accuracy.per_question[i] / 100.0;
      options.each(results[i]);
    }
  }
  return report;
}

nlohmann::ordered_json VqaReport::to_json() const {
  nlohmann::ordered_json out;
  const bool known = questions > unanswered;
  if (known) {
    if (soft_accuracy) out["soft_accuracy"] = *soft_accuracy;
    out["accuracy"] = accuracy.overall / 100.0;
    out["exact_match"] = exact_match;
    for (const auto& [type, value] : accuracy.per_answer_type) out["per_answer_type"][type] = value / 100.0;
    for (const auto& [type, value] : accuracy.per_question_type) out["per_question_type"][type] = value / 100.0;
  }
  out["questions"] = questions;
  out["without_known_answers"] = unanswered;
  out["skipped"] = skipped;
  return out;
}

}  // namespace vlm
