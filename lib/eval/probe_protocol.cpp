#include "vlm/eval/probe_protocol.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/one_hot.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/eval/embed_samples.h"
#include "vlm/eval/pixel_neighbours.h"

namespace vlm {

namespace probe_protocol {

/// "" for a sample without a class.
std::string class_of(const Sample& sample, const Source& source) {
  if (sample.meta.is_object() && sample.meta.contains("class") && sample.meta["class"].is_string()) return sample.meta["class"].get<std::string>();
  if (!sample.label) return "";
  const auto& names = source.class_names();
  const int64_t number = *sample.label;
  if (number >= 0 && number < static_cast<int64_t>(names.size())) return names[static_cast<size_t>(number)];
  return concat("class ", number);
}

/// The labelled pictures of a data set.
struct Labelled {
  Tensor vectors, pixels;           // [N, E]; [N, 768] where they are asked for
  std::vector<std::string> names;   // of the classes
  std::vector<std::string> keys;
  std::vector<int64_t> numbers;

  Tensor labels(const std::vector<std::string>& classes) const {
    std::vector<int64_t> out;
    for (const auto& name : names) out.push_back(std::lower_bound(classes.begin(), classes.end(), name) - classes.begin());
    return at::tensor(out, at::kLong);
  }
};

Labelled read(const DualEncoderPipeline& pipeline, const Source& source, const ProbeOptions& options, bool pixels, ProbeReport* report) {
  SkipCounter skips(source.name(), options.strict);
  Labelled out;
  const auto labelled = [&](const Sample& sample) { return !class_of(sample, source).empty(); };
  {
    SampleStream stream(source, skips, source.name(), options.progress);
    const auto want = [&](const Sample& sample) {
      if (report && !labelled(sample)) report->unlabelled += 1;
      return labelled(sample);
    };
    out.vectors = embed_samples(pipeline, stream, skips, want, [&](Sample& sample) {
      out.names.push_back(class_of(sample, source));
      out.keys.push_back(sample.key);
      out.numbers.push_back(sample.number);
    });
  }
  if (out.names.empty()) fail(source.name(), " holds no picture with a class");
  if (report) report->skipped = skips.skipped();
  if (pixels) {
    SkipCounter quiet(source.name());
    SampleStream stream(source, quiet, "pixels", options.progress);
    out.pixels = pixel_vectors(stream, quiet, labelled, [](Sample&) {});
    if (out.pixels.size(0) != out.vectors.size(0)) fail(source.name(), " changed while it was read");
  }
  return out;
}

LinearProbe fit(const Labelled& train, const Labelled* held_out, const std::vector<std::string>& classes, const ProbeOptions& options,
                ProbeReport& report) {
  const auto count = static_cast<int64_t>(classes.size());
  const Tensor labels = train.labels(classes);
  ProbeChoice choice;
  if (held_out) {
    choice = choose_linear_probe(train.vectors, labels, held_out->vectors, held_out->labels(classes), count, options.fit);
  } else {
    if (labels.size(0) < 5) fail(labels.size(0), " labelled pictures are too few to choose a strength of l2 by; give --val-data");
    const Tensor place = at::arange(labels.size(0)).remainder(5), fifth = place.eq(4).nonzero().squeeze(1), rest = place.ne(4).nonzero().squeeze(1);
    choice = choose_linear_probe(train.vectors.index_select(0, rest), labels.index_select(0, rest), train.vectors.index_select(0, fifth), labels.index_select(0, fifth), count, options.fit);
    choice.probe = fit_linear_probe(train.vectors, labels, count, choice.probe.l2, options.fit, &choice.probe);
  }
  report.l2 = choice.probe.l2;
  report.held_out_top1 = choice.held_out_top1;
  return choice.probe;
}

}  // namespace probe_protocol

ProbeReport evaluate_probe(const DualEncoderPipeline& pipeline, const Source& train, const Source* held_out, const Source& test,
                           const ProbeOptions& options) {
  using namespace probe_protocol;
  const c10::InferenceMode inference;
  ProbeReport report;
  const Labelled known = read(pipeline, train, options, options.pixels, nullptr);
  const Labelled asked = read(pipeline, test, options, options.pixels, &report);
  std::optional<Labelled> choosing;
  if (held_out) choosing = read(pipeline, *held_out, options, false, nullptr);

  std::set<std::string> names(train.class_names().begin(), train.class_names().end());
  const Labelled* held = choosing ? &*choosing : nullptr;
  for (const Labelled* set : {&known, &asked, held}) {
    if (set) names.insert(set->names.begin(), set->names.end());
  }
  report.classes.assign(names.begin(), names.end());
  report.train_items = static_cast<int64_t>(known.names.size());
  report.items = static_cast<int64_t>(asked.names.size());

  const LinearProbe probe = fit(known, choosing ? &*choosing : nullptr, report.classes, options, report);
  const Tensor scores = probe.logits(asked.vectors), target = asked.labels(report.classes), taught = known.labels(report.classes);
  report.accuracy = zero_shot_topk(scores, target, options.ks);
  const int64_t commonest = taught.bincount().argmax().item<int64_t>();
  report.majority = target.eq(commonest).to(at::kDouble).mean().item<double>();
  if (options.pixels) {
    const Tensor nearest = taught.index_select(0, at::tensor(nearest_rows(asked.pixels, known.pixels), at::kLong));
    report.pixels = zero_shot_topk(at::one_hot(nearest, static_cast<int64_t>(report.classes.size())), target, {1});
  }
  const Tensor best = scores.argmax(1);
  for (size_t i = 0; i < asked.names.size() && options.each; ++i) {
    const int64_t chosen = best[static_cast<int64_t>(i)].item<int64_t>();
    options.each({{"picture", asked.keys[i]}, {"number", asked.numbers[i]}, {"class", asked.names[i]}, {"predicted", report.classes[static_cast<size_t>(chosen)]}});
  }
  return report;
}

nlohmann::ordered_json ProbeReport::to_json() const {
  nlohmann::ordered_json out;
  for (const auto& [k, share] : accuracy.top) out[concat("top", k)] = share;
  out["mean_per_class"] = accuracy.mean_per_class;
  out["majority"] = majority;
  if (pixels) out["nearest_pixels"] = {{"top1", pixels->top.at(1)}, {"mean_per_class", pixels->mean_per_class}};
  for (const auto& [k, share] : accuracy.top) out["chance"][concat("top", k)] = static_cast<double>(k) / static_cast<double>(classes.size());
  out["l2"] = l2;
  out["held_out_top1"] = held_out_top1;
  out["train_items"] = train_items;
  out["items"] = items;
  out["classes"] = classes.size();
  out["unlabelled"] = unlabelled;
  out["skipped"] = skipped;
  return out;
}

}  // namespace vlm
