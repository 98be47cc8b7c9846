#include "vlm/eval/protocols.h"

#include <ATen/ops/matmul.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/progress.h"
#include "vlm/core/strings.h"
#include "vlm/eval/embed_samples.h"
#include "vlm/eval/labelled_samples.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace protocols {

RetrievalRecall expected_at_random(const std::vector<std::vector<int64_t>>& relevant, int64_t texts, const std::vector<int64_t>& ks) {
  const auto images = static_cast<int64_t>(relevant.size());
  std::vector<int64_t> owners(static_cast<size_t>(texts));
  for (const auto& own : relevant) {
    for (const int64_t text : own) owners[static_cast<size_t>(text)] += 1;
  }
  // Chance that K of n candidates, drawn without replacement, hold at least one of r right ones.
  const auto hit = [](int64_t n, int64_t r, int64_t k) {
    double miss = 1;
    for (int64_t i = 0; i < std::min(k, n); ++i) miss *= std::max(0.0, static_cast<double>(n - r - i)) / static_cast<double>(n - i);
    return 1 - miss;
  };
  RetrievalRecall out;
  for (const int64_t k : ks) {
    double of_images = 0, of_texts = 0;
    for (const auto& own : relevant) of_images += hit(texts, static_cast<int64_t>(own.size()), k);
    for (const int64_t own : owners) of_texts += hit(images, own, k);
    out.image_to_text[k] = of_images / static_cast<double>(std::max<int64_t>(1, images));
    out.text_to_image[k] = of_texts / static_cast<double>(std::max<int64_t>(1, texts));
  }
  return out;
}

}  // namespace protocols

std::string text_identity(const std::string& text) {
  std::string out;
  size_t at = 0;
  const std::string lowered = lower(text);
  while (at < lowered.size()) {
    const char32_t c = next_code_point(lowered, at);
    if (is_letter(c) || is_number(c)) {
      append_utf8(out, c);
    } else if (is_white_space(c)) {
      out += ' ';
    }
  }
  return squash(out);
}

EmbeddedSet embed_set(const DualEncoderPipeline& pipeline, const Source& source, const RetrievalOptions& options, SkipCounter& skips) {
  SampleStream stream(source, skips, "pictures", options.progress);
  EmbeddedSet set;
  std::map<std::string, int64_t> known;
  set.images = embed_samples(
      pipeline, stream, skips,
      [&](const Sample& sample) {
        if (!sample.captions.empty()) return true;
        skips.skip(SampleError("no_caption", sample.shard + ": " + sample.key));
        return false;
      },
      [&](Sample& sample) {
        set.keys.push_back(sample.key);
        set.numbers.push_back(sample.number);
        auto& own = set.relevant.emplace_back();
        for (size_t i = 0; i < (options.all_captions ? sample.captions.size() : 1); ++i) {
          const std::string& text = sample.captions[i];
          auto index = static_cast<int64_t>(set.texts.size());
          if (options.merge_equal_texts) index = known.emplace(text_identity(text), index).first->second;
          if (index == static_cast<int64_t>(set.texts.size())) set.texts.push_back(text);
          if (std::find(own.begin(), own.end(), index) == own.end()) own.push_back(index);
        }
      });
  if (set.keys.empty()) fail(source.name(), " holds no picture with a caption that can be used");
  set.text_vectors = pipeline.embed_texts(set.texts);
  return set;
}

RetrievalReport evaluate_retrieval(const DualEncoderPipeline& pipeline, const EmbeddedSet& set, const RetrievalOptions& options) {
  RetrievalReport report;
  report.images = static_cast<int64_t>(set.keys.size());
  report.texts = static_cast<int64_t>(set.texts.size());
  report.recall = retrieval_recall(pipeline.logits(set.images, set.text_vectors), set.relevant, options.ks);
  report.chance = protocols::expected_at_random(set.relevant, report.texts, options.ks);
  for (size_t i = 0; i < set.keys.size() && options.each; ++i) {
    options.each({{"picture", set.keys[i]}, {"rank_of_best_text", report.recall.image_ranks[i] + 1}});
  }
  for (size_t i = 0; i < set.texts.size() && options.each; ++i) {
    options.each({{"text", set.texts[i]}, {"rank_of_best_picture", report.recall.text_ranks[i] + 1}});
  }
  return report;
}

RetrievalReport evaluate_retrieval(const DualEncoderPipeline& pipeline, const Source& source, const RetrievalOptions& options, bool strict) {
  SkipCounter skips(source.name(), strict);
  RetrievalReport report = evaluate_retrieval(pipeline, embed_set(pipeline, source, options, skips), options);
  report.skipped = skips.skipped();
  return report;
}

nlohmann::ordered_json RetrievalReport::to_json() const {
  nlohmann::ordered_json out;
  for (const auto& [k, share] : recall.image_to_text) out["image_to_text"][concat("R@", k)] = share;
  for (const auto& [k, share] : recall.text_to_image) out["text_to_image"][concat("R@", k)] = share;
  out["mean_recall"] = recall.mean;
  for (const auto& [k, share] : chance.image_to_text) out["chance"]["image_to_text"][concat("R@", k)] = share;
  for (const auto& [k, share] : chance.text_to_image) out["chance"]["text_to_image"][concat("R@", k)] = share;
  out["images"] = images;
  out["texts"] = texts;
  out["skipped"] = skipped;
  return out;
}

ZeroShotReport evaluate_zero_shot(const DualEncoderPipeline& pipeline, const Source& source, const ZeroShotOptions& options, bool strict) {
  SkipCounter skips(source.name(), strict);
  SampleStream stream(source, skips, "pictures", options.progress);
  ZeroShotReport report;
  LabelledSamples labels(source, options, report);
  const Tensor images = embed_samples(
      pipeline, stream, skips, [&](const Sample& sample) { return labels.want(sample); }, [&](Sample& sample) { labels.keep(sample); });
  report.skipped = skips.skipped();
  labels.resolve();
  const Tensor classifier = zero_shot_classifier(report.classes, options.templates, [&](const auto& texts) { return pipeline.embed_texts(texts); });
  labels.finish(at::matmul(images, classifier), "cosine");
  return report;
}

nlohmann::ordered_json ZeroShotReport::to_json() const {
  nlohmann::ordered_json out;
  for (const auto& [k, share] : accuracy.top) out[concat("top", k)] = share;
  out["mean_per_class"] = accuracy.mean_per_class;
  out["majority"] = majority;
  for (const auto& [k, share] : accuracy.top) out["chance"][concat("top", k)] = static_cast<double>(k) / static_cast<double>(classes.size());
  out["items"] = items;
  out["classes"] = classes.size();
  out["unlabelled"] = unlabelled;
  out["skipped"] = skipped;
  return out;
}

}  // namespace vlm
