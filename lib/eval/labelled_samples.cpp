#include "vlm/eval/labelled_samples.h"

#include <ATen/ops/tensor.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

LabelledSamples::LabelledSamples(const Source& source, const ZeroShotOptions& options, ZeroShotReport& report)
    : source_(source), options_(options), report_(report) {
  report.classes = options.classes.empty() ? source.class_names() : options.classes;
  if (!report.classes.empty()) return;
  // Found out before anything is computed.
  for (int64_t i = 0; i < source.size(); ++i) {
    try {
      const Sample first = source.describe_number(i);
      if (!first.label.has_value()) continue;
      if (name_of(first).empty()) fail_usage("the classes of ", source.name(), " have numbers but no names; give them with --classnames FILE");
      return;
    } catch (const SampleError&) {
      continue;
    }
  }
}

std::string LabelledSamples::name_of(const Sample& sample) const {
  if (sample.meta.is_object() && sample.meta.contains("class") && sample.meta["class"].is_string()) return sample.meta["class"].get<std::string>();
  const auto& known = report_.classes;
  if (!sample.label && sample.captions.size() == 1 && std::find(known.begin(), known.end(), sample.captions[0]) != known.end()) return sample.captions[0];
  return "";
}

bool LabelledSamples::want(const Sample& sample) {
  const bool labelled = sample.label.has_value() || !name_of(sample).empty();
  report_.unlabelled += !labelled;
  return labelled;
}

void LabelledSamples::keep(const Sample& sample) {
  keys_.push_back(sample.key);
  names_.push_back(name_of(sample));
  numbers_.push_back(sample.label.value_or(-1));
  places_.push_back(sample.number);
}

void LabelledSamples::take_names(std::vector<std::string> names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (!names.empty() && names.front().empty()) fail("the classes of ", source_.name(), " have numbers but no names; give them with --classnames FILE");
  report_.classes = std::move(names);
}

void LabelledSamples::find_classes() {
  if (!report_.classes.empty()) return;
  std::vector<std::string> names;
  for (int64_t i = 0; i < source_.size(); ++i) {
    try {
      const Sample sample = source_.describe_number(i);
      if (sample.label || !name_of(sample).empty()) names.push_back(name_of(sample));
    } catch (const SampleError&) {
      // It is counted when its picture is to be read.
    }
  }
  if (names.empty()) fail(source_.name(), " holds no picture with a class; where captions are the classes, list them with --classnames FILE");
  take_names(std::move(names));
}

void LabelledSamples::resolve() {
  report_.items = static_cast<int64_t>(names_.size());
  if (names_.empty()) fail(source_.name(), " holds no picture with a class");
  if (report_.classes.empty()) take_names(names_);
  std::map<int64_t, int64_t> frequency;
  for (size_t i = 0; i < names_.size(); ++i) {
    int64_t label = numbers_[i];
    if (!names_[i].empty()) {
      const auto it = std::find(report_.classes.begin(), report_.classes.end(), names_[i]);
      if (it == report_.classes.end()) {
        fail("the class '", names_[i], "' of ", source_.name(), " is not among the given classes", did_you_mean(names_[i], report_.classes));
      }
      label = it - report_.classes.begin();
    }
    target_.push_back(label);
    frequency[label] += 1;
  }
  for (const auto& [label, count] : frequency) report_.majority = std::max(report_.majority, static_cast<double>(count) / static_cast<double>(report_.items));
}

void LabelledSamples::finish(const Tensor& scores, const char* score_name) {
  report_.accuracy = zero_shot_topk(scores, at::tensor(target_, at::kLong), options_.ks);
  const Tensor best = scores.argmax(1);
  for (size_t i = 0; i < target_.size() && options_.each; ++i) {
    const auto row = static_cast<int64_t>(i);
    const auto chosen = best[row].item<int64_t>();
    options_.each({{"picture", keys_[i]}, {"number", places_[i]}, {"class", report_.classes[static_cast<size_t>(target_[i])]},
                   {"predicted", report_.classes[static_cast<size_t>(chosen)]}, {score_name, scores[row][chosen].item<double>()}});
  }
}

}  // namespace vlm
