#include <ATen/ops/tensor.h>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/eval/bleu.h"
#include "vlm/eval/cider.h"
#include "vlm/eval/clip_score.h"
#include "vlm/eval/grounding.h"
#include "vlm/eval/ptb_tokenizer.h"
#include "vlm/eval/rouge.h"
#include "vlm/eval/vqa_accuracy.h"
#include "vlm/eval/vqa_normalize.h"
#include "vlm/eval/yes_no.h"
#include "vlm/golden/case.h"

namespace vlm::golden {

namespace metric_operations {

Tensor numbers(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

Result ptb_tokenize(const Case& c) {
  auto raw = nlohmann::json::array(), tokens = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) {
    raw.push_back(join(vlm::ptb_tokens(text), " "));
    tokens.push_back(caption_tokens(text));
  }
  Result result;
  result.set_strings("out.raw", raw);
  result.set_strings("out.tokens", tokens);
  return result;
}

std::vector<CaptionItem> caption_items(const Case& c) {
  const auto candidates = c.in_strings("candidates");
  const auto references = c.strings.at("in.references").get<std::vector<std::vector<std::string>>>();
  if (references.size() != candidates.size()) fail(candidates.size(), " candidates, but references of ", references.size(), " items");
  std::vector<CaptionItem> items;
  for (size_t i = 0; i < candidates.size(); ++i) items.push_back({std::to_string(i), candidates[i], references[i]});
  return items;
}

Result bleu(const Case& c) {
  BleuOptions options;
  options.n = c.param("n", options.n);
  options.length = bleu_length_named(c.param<std::string>("ref_len", "closest"));
  const Bleu scores = vlm::bleu(caption_items(c), options);
  std::vector<double> rows;
  for (const auto& row : scores.per_item) rows.insert(rows.end(), row.begin(), row.end());
  Result result;
  result.set("out.corpus", numbers(scores.corpus));
  result.set("out.per_image", numbers(rows).view({static_cast<int64_t>(scores.per_item.size()), options.n}));
  return result;
}

Result set_scores(const CaptionScores& scores) {
  Result result;
  result.set("out.score", scores.corpus);
  result.set("out.per_image", numbers(scores.per_item));
  return result;
}

template <bool d>
Result cider(const Case& c) {
  CiderOptions options;
  options.d = d;
  options.n = c.param("n", options.n);
  options.sigma = c.param("sigma", options.sigma);
  const auto df = c.param<std::string>("df", "references");
  if (df == "references") return set_scores(vlm::cider(caption_items(c), options));
  if (df != "corpus") fail("df is references or corpus, not '", df, "'");
  const auto frequency = count_document_frequency(c.strings.at("in.df_corpus").get<std::vector<std::vector<std::string>>>(), options.n);
  return set_scores(vlm::cider(caption_items(c), options, &frequency));
}

Result rouge_l(const Case& c) { return set_scores(vlm::rouge_l(caption_items(c), c.param("beta", 1.2))); }

Result vqa_accuracy(const Case& c) {
  const auto predictions = c.in_strings("predictions");
  const auto answers = c.strings.at("in.answers").get<std::vector<std::vector<std::string>>>();
  const auto types = [&](const char* name) {
    return c.strings.contains(std::string("in.") + name) ? c.in_strings(name) : std::vector<std::string>(predictions.size());
  };
  const auto question_types = types("question_types"), answer_types = types("answer_types");
  if (answers.size() != predictions.size() || question_types.size() != predictions.size() || answer_types.size() != predictions.size()) {
    fail(predictions.size(), " predictions, but ", answers.size(), " lists of answers");
  }
  std::vector<VqaQuestion> questions;
  for (size_t i = 0; i < predictions.size(); ++i) {
    questions.push_back({std::to_string(i), predictions[i], answers[i], question_types[i], answer_types[i]});
  }
  const auto accuracy = vlm::vqa_accuracy(questions, vqa_variant_named(c.param<std::string>("variant", "official")), c.param("decimals", 2));
  Result result;
  result.set("out.overall", accuracy.overall);
  result.set("out.per_question", numbers(accuracy.per_question));
  const auto by_type = [&](const std::string& values, const std::string& list, const std::map<std::string, double>& means) {
    std::vector<double> shares;
    auto names = nlohmann::json::array();
    for (const auto& [type, mean] : means) {
      names.push_back(type);
      shares.push_back(mean);
    }
    result.set(values, numbers(shares));
    result.set_strings(list, names);
  };
  by_type("out.per_question_type", "out.question_types", accuracy.per_question_type);
  by_type("out.per_answer_type", "out.answer_types", accuracy.per_answer_type);
  return result;
}

Result vqa_normalized(const Case& c) {
  auto punctuation = nlohmann::json::array(), texts = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) {
    punctuation.push_back(vqa_without_punctuation(text));
    texts.push_back(vqa_normalize(text));
  }
  Result result;
  result.set_strings("out.punctuation", punctuation);
  result.set_strings("out.texts", texts);
  return result;
}

Result iou_accuracy(const Case& c) {
  const auto variant = box_variant_named(c.param<std::string>("variant", "ofa"));
  const auto accuracy = grounding_accuracy(c.in("pred"), c.in("target"), variant, c.param("threshold", 0.5));
  Result result;
  result.set("out.iou", accuracy.iou);
  result.set("out.correct", accuracy.correct);
  result.set("out.accuracy", accuracy.accuracy);
  return result;
}

Result clip_score(const Case& c) {
  const bool references = c.has_in("reference");
  const auto scores = clip_scores(c.in("image"), c.in("candidate"), references ? c.in("reference") : Tensor(),
                                  references ? c.in("reference_of") : Tensor(), c.param("w", 2.5));
  Result result;
  result.set("out.clipscore", scores.clipscore);
  result.set("out.mean_clipscore", scores.mean_clipscore);
  if (references) {
    result.set("out.reference_similarity", scores.reference_similarity);
    result.set("out.refclipscore", scores.refclipscore);
    result.set("out.mean_refclipscore", scores.mean_refclipscore);
  }
  return result;
}

Result yes_no(const Case& c) {
  const auto answers = c.in_strings("answers");
  const auto scores = yes_no_scores(answers, c.in_strings("labels"));
  auto reduced = nlohmann::json::array();
  for (const auto& answer : answers) reduced.push_back(says_yes(answer) ? "yes" : "no");
  Result result;
  result.set_strings("out.answers", reduced);
  const std::vector<int64_t> counts = {scores.true_positives, scores.false_positives, scores.true_negatives, scores.false_negatives};
  result.set("out.counts", at::tensor(counts, at::kLong));
  result.set("out.accuracy", scores.accuracy);
  result.set("out.precision", scores.precision);
  result.set("out.recall", scores.recall);
  result.set("out.f1", scores.f1);
  result.set("out.yes_ratio", scores.yes_ratio);
  return result;
}

}  // namespace metric_operations

void add_metric_operations(Operations& operations) {
  operations["metric.ptb_tokenize"] = metric_operations::ptb_tokenize;
  operations["metric.bleu"] = metric_operations::bleu;
  operations["metric.cider"] = metric_operations::cider<false>;
  operations["metric.cider_d"] = metric_operations::cider<true>;
  operations["metric.rouge_l"] = metric_operations::rouge_l;
  operations["metric.vqa_accuracy"] = metric_operations::vqa_accuracy;
  operations["metric.vqa_normalize"] = metric_operations::vqa_normalized;
  operations["metric.iou_accuracy"] = metric_operations::iou_accuracy;
  operations["metric.clipscore"] = metric_operations::clip_score;
  operations["metric.yes_no"] = metric_operations::yes_no;
}

}  // namespace vlm::golden
