#include "vlm/eval/instruction_protocols.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/eval/grounding.h"
#include "vlm/eval/labelled_samples.h"
#include "vlm/eval/sample_stream.h"

namespace vlm {

namespace instruction_protocols {

constexpr const char* labels[] = {"contradiction", "neutral", "entailment"};

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

double share(int64_t part, int64_t whole) { return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0; }

}  // namespace instruction_protocols

EntailmentReport evaluate_entailment(const TextPipeline& pipeline, const Source& source, const EntailmentEvaluation& options) {
  using namespace instruction_protocols;
  const InstructionPipeline& model = pipeline.instructions("judge statements");
  SkipCounter skips(source.name(), options.strict);
  SampleStream samples(source, skips, "statements", options.progress);
  EntailmentReport report;
  PendingSamples pending(samples, skips, [&](const Sample& sample) {
    if (!sample.label || *sample.label < 0 || *sample.label > 2) {
      report.unlabelled += 1;
      return false;
    }
    const bool complete = !sample.captions.empty() && (!options.with_premise || !meta_text(sample, "premise").empty());
    if (!complete) skips.skip(SampleError("no_caption", sample.place(), sample.captions.empty() ? "no statement" : "no premise"));
    return complete;
  });
  std::array<int64_t, 3> asked{}, right{};
  for_each_batch(pipeline, pending, skips, [&](const PictureBatch& batch, std::vector<Sample>& rows) {
    std::vector<std::string> hypotheses, premises;
    for (const auto& row : rows) {
      hypotheses.push_back(row.captions[0]);
      if (options.with_premise) premises.push_back(meta_text(row, "premise"));
    }
    const Tensor scores = instruct::entail(model, batch.pixels, hypotheses, premises, options.prompt);  // [B, 3]
    for (size_t i = 0; i < rows.size(); ++i) {
      const float* row = scores.const_data_ptr<float>() + 3 * i;
      const auto best = static_cast<size_t>(std::max_element(row, row + 3) - row);
      const auto label = static_cast<size_t>(*rows[i].label);
      asked[label] += 1;
      right[label] += best == label;
      if (!options.each) continue;
      options.each({{"picture", rows[i].key}, {"number", rows[i].number}, {"hypothesis", hypotheses[i]}, {"label", labels[label]}, {"predicted", labels[best]},
                    {"probability", std::exp(static_cast<double>(row[best]))}});
    }
  });
  for (size_t k = 0; k < 3; ++k) {
    report.items += asked[k];
    if (asked[k] > 0) report.per_label[labels[k]] = share(right[k], asked[k]);
  }
  if (report.items == 0) fail(source.name(), " holds no statement with a label (entailment, neutral or contradiction) that can be used");
  report.accuracy = share(right[0] + right[1] + right[2], report.items);
  report.majority = share(*std::max_element(asked.begin(), asked.end()), report.items);
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

GroundingReport evaluate_grounding(const TextPipeline& pipeline, const Source& source, const GroundingEvaluation& options) {
  using namespace instruction_protocols;
  const InstructionPipeline& model = pipeline.instructions("ground texts");
  SkipCounter skips(source.name(), options.strict);
  SampleStream samples(source, skips, "boxes", options.progress);
  PendingSamples pending(samples, skips, [&](const Sample& sample) {
    if (sample.captions.empty()) skips.skip(SampleError("no_caption", sample.place()));
    else if (!sample.box) skips.skip(SampleError("bad_box", sample.place(), "there is none"));
    return !sample.captions.empty() && sample.box;
  });
  std::vector<Corners> predicted, target;
  std::vector<std::string> splits;
  std::vector<nlohmann::ordered_json> results;
  for_each_batch(pipeline, pending, skips, [&](const PictureBatch& batch, std::vector<Sample>& rows) {
    std::vector<std::string> texts;
    for (const auto& row : rows) texts.push_back(row.captions[0]);
    const auto found = instruct::ground(model, batch.pixels, batch.placements, texts, options.ground);
    for (size_t i = 0; i < rows.size(); ++i) {
      Corners box{};
      std::transform(rows[i].box->begin(), rows[i].box->end(), box.begin(), [](double x) { return static_cast<float>(x); });
      predicted.push_back(found[i].box);
      target.push_back(box);
      splits.push_back(meta_text(rows[i], "split"));
      if (options.each) {
        results.push_back({{"picture", rows[i].key}, {"number", rows[i].number}, {"text", texts[i]}, {"box", found[i].box}, {"target", box}, {"score", found[i].score}});
      }
    }
  });
  GroundingReport report;
  report.items = static_cast<int64_t>(predicted.size());
  if (report.items == 0) fail(source.name(), " holds no text with a box that can be used");
  const auto tensor = [&](std::vector<Corners>& boxes) { return at::from_blob(boxes.data(), {report.items, 4}, at::kFloat); };
  const GroundingAccuracy accuracy = grounding_accuracy(tensor(predicted), tensor(target), BoxVariant::ofa, options.threshold);
  report.accuracy = accuracy.accuracy;
  report.skipped = skips.skipped();
  std::map<std::string, std::pair<int64_t, int64_t>> by_split;
  const float *iou = accuracy.iou.const_data_ptr<float>(), *correct = accuracy.correct.const_data_ptr<float>();
  for (size_t i = 0; i < predicted.size(); ++i) {
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
