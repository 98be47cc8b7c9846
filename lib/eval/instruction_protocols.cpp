#include "vlm/eval/instruction_protocols.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/eval/detections.h"
#include "vlm/eval/grounding.h"
#include "vlm/eval/labelled_samples.h"
#include "vlm/eval/picture_pair_stream.h"
#include "vlm/eval/sample_stream.h"
#include "vlm/infer/explain_texts.h"
#include "vlm/infer/ground_texts.h"
#include "vlm/infer/judge_statements.h"

namespace vlm {

namespace instruction_protocols {

std::string meta_text(const Sample& sample, const char* key) {
  if (!sample.meta.is_object()) return "";
  const auto it = sample.meta.find(key);
  return it != sample.meta.end() && it->is_string() ? it->get<std::string>() : "";
}

/// Goes through the wanted samples batch by batch.
void for_each_batch(const TextPipeline& pipeline, PendingSamples& pending, SkipCounter& skips, const std::function<void(const PictureBatch&, std::vector<Sample>&)>& each) {
  PictureStream stream = pipeline.stream(pending.reader(), pending.on_failure());
  PictureBatch batch;
  while (stream.next(batch)) {
    std::vector<Sample> rows;
    for (const auto& name : batch.names) {
      skips.use();
      rows.push_back(pending.take(name));
    }
    each(batch, rows);
  }
}

/// Counts what is right of each label.
class Judged {
 public:
  explicit Judged(std::vector<const char*> labels) : labels_(std::move(labels)), asked_(labels_.size()), right_(labels_.size()) {}
  /// row: log-probabilities of the labels. Tells `each`, if it is there.
  void take(const Sample& sample, const std::string& hypothesis, const float* row, const SampleResult& each) {
    const auto best = static_cast<size_t>(std::max_element(row, row + labels_.size()) - row), label = static_cast<size_t>(*sample.label);
    asked_[label] += 1;
    right_[label] += best == label;
    if (!each) return;
    each({{"picture", sample.key}, {"number", sample.number}, {"hypothesis", hypothesis}, {"label", labels_[label]}, {"predicted", labels_[best]},
          {"probability", std::exp(static_cast<double>(row[best]))}});
  }
  bool knows(const Sample& sample) const { return sample.label && *sample.label >= 0 && *sample.label < static_cast<int64_t>(labels_.size()); }
  void finish(EntailmentReport& report, const Source& source) const;

 private:
  std::vector<const char*> labels_;
  std::vector<int64_t> asked_, right_;
};

double share(int64_t part, int64_t whole) { return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0; }

void Judged::finish(EntailmentReport& report, const Source& source) const {
  int64_t right = 0;
  for (size_t k = 0; k < labels_.size(); ++k) {
    report.items += asked_[k];
    right += right_[k];
    if (asked_[k] > 0) report.per_label[labels_[k]] = share(right_[k], asked_[k]);
  }
  if (report.items == 0) {
    std::string names;
    for (const char* label : labels_) names += concat(names.empty() ? "" : ", ", label);
    fail(source.name(), " holds no statement with a label (", names, ") that can be used");
  }
  report.accuracy = share(right, report.items);
  report.majority = share(*std::max_element(asked_.begin(), asked_.end()), report.items);
}

}  // namespace instruction_protocols

EntailmentReport evaluate_entailment(const TextPipeline& pipeline, const Source& source, const EntailmentEvaluation& options) {
  using namespace instruction_protocols;
  must_judge(pipeline);
  SkipCounter skips(source.name(), options.strict);
  SampleStream samples(source, skips, "statements", options.progress);
  EntailmentReport report;
  Judged judged({"contradiction", "neutral", "entailment"});
  PendingSamples pending(samples, skips, [&](const Sample& sample) {
    if (!judged.knows(sample)) {
      report.unlabelled += 1;
      return false;
    }
    const bool complete = !sample.captions.empty() && (!options.with_premise || !meta_text(sample, "premise").empty());
    if (!complete) skips.skip(SampleError("no_caption", sample.place(), sample.captions.empty() ? "no statement" : "no premise"));
    return complete;
  });
  for_each_batch(pipeline, pending, skips, [&](const PictureBatch& batch, std::vector<Sample>& rows) {
    std::vector<std::string> hypotheses, premises;
    for (const auto& row : rows) {
      hypotheses.push_back(row.captions[0]);
      if (options.with_premise) premises.push_back(meta_text(row, "premise"));
    }
    const Tensor scores = judge_statements(pipeline, batch.pixels, hypotheses, premises, options.prompt);  // [B, 3]
    for (size_t i = 0; i < rows.size(); ++i) judged.take(rows[i], hypotheses[i], scores.const_data_ptr<float>() + 3 * i, options.each);
  });
  judged.finish(report, source);
  report.skipped = skips.skipped();
  return report;
}

EntailmentReport evaluate_nlvr2(const TextPipeline& pipeline, const Source& source, const EntailmentEvaluation& options) {
  using namespace instruction_protocols;
  const PairClassifier& model = must_compare(pipeline);
  SkipCounter skips(source.name(), options.strict);
  SampleStream samples(source, skips, "statements", options.progress);
  EntailmentReport report;
  Judged judged({"false", "true"});
  PicturePairStream pairs(samples, skips, [&](const Sample& sample) {
    if (!judged.knows(sample)) {
      report.unlabelled += 1;
      return false;
    }
    if (sample.captions.empty()) skips.skip(SampleError("no_caption", sample.place(), "no statement"));
    else if (sample.images.size() < 2) skips.skip(SampleError("no_image", sample.place(), "two pictures are needed"));
    return !sample.captions.empty() && sample.images.size() >= 2;
  });
  PictureStream stream = pipeline.stream(pairs.reader(), pairs.on_failure());
  PictureBatch batch;
  while (stream.next(batch)) {
    const auto complete = pairs.take(batch);
    if (complete.empty()) continue;
    std::vector<Tensor> first, second;
    std::vector<std::string> sentences;
    for (const auto& pair : complete) {
      first.push_back(pair.pixels[0]);
      second.push_back(pair.pixels[1]);
      sentences.push_back(pair.sample.captions[0]);
    }
    first.insert(first.end(), second.begin(), second.end());
    const Tensor scores = classify_sentences(model, pipeline.tokenizer(), at::stack(first), sentences);  // [B, 2]
    for (size_t i = 0; i < complete.size(); ++i) {
      skips.use();
      judged.take(complete[i].sample, sentences[i], scores.const_data_ptr<float>() + 2 * i, options.each);
    }
  }
  judged.finish(report, source);
  report.skipped = skips.skipped();
  return report;
}

nlohmann::ordered_json EntailmentReport::to_json() const {
  nlohmann::ordered_json out = {{"accuracy", accuracy}, {"majority", majority}};
  for (const auto& [label, value] : per_label) out["per_label"][label] = value;
  out["items"] = items;
  out["unlabelled"] = unlabelled;
  out["skipped"] = skipped;
  return out;
}

namespace instruction_protocols {

/// Boxes of one sample: in pixels for people, and in the form that they are compared in.
struct Located {
  Corners box{}, target{};
  std::array<float, 4> compared{}, compared_target{};
  double score = 0;
};

Corners corners_of(const Sample& sample) {
  Corners box{};
  std::transform(sample.box->begin(), sample.box->end(), box.begin(), [](double x) { return static_cast<float>(x); });
  return box;
}

/// x, y, w, h.
std::array<float, 4> with_extent(const Corners& box) { return {box[0], box[1], box[2] - box[0], box[3] - box[1]}; }

/// Centre x and y, width and height in shares of what the model sees.
std::array<float, 4> as_shares(const Corners& box, const PicturePlacement& place, const Tensor& pixels) {
  const auto width = static_cast<float>(pixels.size(3)), height = static_cast<float>(pixels.size(2));
  const float x0 = (box[0] * place.width_ratio - place.left) / width, x1 = (box[2] * place.width_ratio - place.left) / width;
  const float y0 = (box[1] * place.height_ratio - place.top) / height, y1 = (box[3] * place.height_ratio - place.top) / height;
  return {(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0};
}

/// By what the model says itself.
std::vector<Located> written_boxes(const TextPipeline& pipeline, const PictureBatch& batch, const std::vector<Sample>& rows, const std::vector<std::string>& texts,
                                   const GroundingEvaluation& options) {
  const bool instructed = pipeline.takes_instructions();
  const auto found = ground_texts(pipeline, batch.pixels, batch.placements, texts, options.ground);
  std::vector<Located> out;
  for (size_t i = 0; i < rows.size(); ++i) {
    Located& one = out.emplace_back();
    one.box = found[i].box;
    one.target = corners_of(rows[i]);
    one.compared = instructed ? one.box : as_shares(one.box, batch.placements[i], batch.pixels);
    one.compared_target = instructed ? one.target : as_shares(one.target, batch.placements[i], batch.pixels);
    one.score = found[i].score;
  }
  return out;
}

/// By heat, out of detections.
std::vector<Located> chosen_boxes(const TextPipeline& pipeline, const PictureBatch& batch, const std::vector<Sample>& rows, const std::vector<std::string>& texts,
                                  const Detections& detections, int64_t layer) {
  const auto explained = explain_texts(pipeline, batch, texts, layer, /*with_words=*/false);
  std::vector<Located> out;
  for (size_t i = 0; i < rows.size(); ++i) {
    Located& one = out.emplace_back();
    one.target = corners_of(rows[i]);
    one.compared_target = with_extent(one.target);
    const ImageSize& size = batch.placements[i].picture;
    const Tensor boxes = detections.of(rows[i]);
    const BoxPick pick = pick_box(explained[i].heat, boxes, size.height, size.width);
    if (pick.best < 0) continue;  // no heat in any of them: an empty box, which is wrong
    const Tensor best = boxes[pick.best].to(at::kFloat).contiguous();
    std::copy_n(best.const_data_ptr<float>(), 4, one.compared.begin());
    one.box = {one.compared[0], one.compared[1], one.compared[0] + one.compared[2], one.compared[1] + one.compared[3]};
    one.score = pick.scores[pick.best].item<double>();
  }
  return out;
}

}  // namespace instruction_protocols

GroundingReport evaluate_grounding(const TextPipeline& pipeline, const Source& source, const GroundingEvaluation& options) {
  using namespace instruction_protocols;
  std::optional<Detections> detections;
  if (options.detections.empty()) {
    if (explains(pipeline)) fail_usage("this ", pipeline.model().family(), " model finds texts by heat: give it boxes to choose from (--detections FILE)");
    must_ground(pipeline);
  } else {
    must_explain(pipeline);
    detections.emplace(options.detections);
  }
  SkipCounter skips(source.name(), options.strict);
  SampleStream samples(source, skips, "boxes", options.progress);
  PendingSamples pending(samples, skips, [&](const Sample& sample) {
    try {
      if (sample.captions.empty()) throw SampleError("no_caption", sample.place());
      if (!sample.box) throw SampleError("bad_box", sample.place(), "there is none");
      if (detections) detections->of(sample);
    } catch (const SampleError& error) {
      skips.skip(error);
      return false;
    }
    return true;
  });
  std::vector<Located> located;
  std::vector<std::string> splits;
  std::vector<nlohmann::ordered_json> results;
  for_each_batch(pipeline, pending, skips, [&](const PictureBatch& batch, std::vector<Sample>& rows) {
    std::vector<std::string> texts;
    for (const auto& row : rows) texts.push_back(row.captions[0]);
    const auto found = detections ? chosen_boxes(pipeline, batch, rows, texts, *detections, options.layer) : written_boxes(pipeline, batch, rows, texts, options);
    for (size_t i = 0; i < rows.size(); ++i) {
      located.push_back(found[i]);
      splits.push_back(meta_text(rows[i], "split"));
      if (options.each) {
        results.push_back({{"picture", rows[i].key}, {"number", rows[i].number}, {"text", texts[i]}, {"box", found[i].box}, {"target", found[i].target}, {"score", found[i].score}});
      }
    }
  });
  GroundingReport report;
  report.items = static_cast<int64_t>(located.size());
  if (report.items == 0) fail(source.name(), " holds no text with a box that can be used");
  Tensor predicted = at::empty({report.items, 4}), target = at::empty({report.items, 4});
  for (size_t i = 0; i < located.size(); ++i) {
    std::copy_n(located[i].compared.begin(), 4, predicted.mutable_data_ptr<float>() + 4 * i);
    std::copy_n(located[i].compared_target.begin(), 4, target.mutable_data_ptr<float>() + 4 * i);
  }
  const BoxVariant variant = detections ? BoxVariant::albef : pipeline.takes_instructions() ? BoxVariant::ofa : BoxVariant::mplug;
  const GroundingAccuracy accuracy = grounding_accuracy(predicted, target, variant, options.threshold);
  report.accuracy = accuracy.accuracy;
  report.skipped = skips.skipped();
  std::map<std::string, std::pair<int64_t, int64_t>> by_split;
  const float *iou = accuracy.iou.const_data_ptr<float>(), *correct = accuracy.correct.const_data_ptr<float>();
  for (size_t i = 0; i < located.size(); ++i) {
    report.mean_iou += std::clamp(static_cast<double>(iou[i]), 0.0, 1.0) / static_cast<double>(report.items);
    if (!splits[i].empty()) by_split[splits[i]].first += correct[i] > 0, by_split[splits[i]].second += 1;
    if (!options.each) continue;
    results[i]["iou"] = iou[i];
    results[i]["right"] = correct[i] > 0;
    options.each(results[i]);
  }
  for (const auto& [split, counts] : by_split) report.per_split[split] = share(counts.first, counts.second);
  return report;
}

nlohmann::ordered_json GroundingReport::to_json() const {
  nlohmann::ordered_json out = {{"accuracy", accuracy}, {"mean_iou", mean_iou}};
  for (const auto& [split, value] : per_split) out["per_split"][split] = value;
  out["items"] = items;
  out["skipped"] = skipped;
  return out;
}

ZeroShotReport evaluate_zero_shot(const TextPipeline& pipeline, const Source& source, const ZeroShotOptions& options, bool strict) {
  using namespace instruction_protocols;
  const InstructionPipeline& model = pipeline.instructions("classify");
  SkipCounter skips(source.name(), strict);
  ZeroShotReport report;
  LabelledSamples labels(source, options, report);
  labels.find_classes();
  SampleStream samples(source, skips, "pictures", options.progress);
  PendingSamples pending(samples, skips, [&](const Sample& sample) { return labels.want(sample); });
  std::vector<Tensor> scores;
  for_each_batch(pipeline, pending, skips, [&](const PictureBatch& batch, std::vector<Sample>& rows) {
    for (const auto& row : rows) labels.keep(row);
    scores.push_back(instruct::classify(model, batch.pixels, report.classes));
  });
  report.skipped = skips.skipped();
  labels.resolve();
  labels.finish(at::cat(scores), "log_probability");
  return report;
}

}  // namespace vlm
