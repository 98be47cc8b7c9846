#include <ATen/ops/from_blob.h>
#include <ATen/ops/tensor.h>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/data/epoch_plan.h"
#include "vlm/data/image.h"
#include "vlm/data/image_folder.h"
#include "vlm/data/shard_patterns.h"
#include "vlm/data/skips.h"
#include "vlm/data/source.h"
#include "vlm/data/webdataset.h"
#include "vlm/golden/case.h"

namespace vlm::golden {

namespace data_operations {

Tensor numbers(std::vector<int64_t> values, std::vector<int64_t> shape) {
  return at::from_blob(values.data(), shape, at::TensorOptions().dtype(at::kLong)).clone();
}

Tensor numbers(std::vector<int64_t> values) {
  const auto count = static_cast<int64_t>(values.size());
  return numbers(std::move(values), {count});
}

Result permutation(const Case& c) {
  const auto n = c.params.at("n").get<int64_t>();
  const auto seed = c.params.at("seed").get<uint64_t>();
  SplitMix64 random(seed);
  nlohmann::json words;
  for (int i = 0; i < 4; ++i) words.push_back(std::to_string(random.next()));
  Result result;
  result.set_strings("out.words", words);
  result.set_strings("out.mix", {std::to_string(mix({1, 2, 3})), std::to_string(mix({42, 0, 0}))});
  result.set("out.order", numbers(vlm::permutation(n, seed)));
  return result;
}

Result brace_expand(const Case& c) {
  auto lists = nlohmann::json::array();
  for (const auto& pattern : c.in_strings("patterns")) lists.push_back(expand_braces(pattern));
  Result result;
  result.set_strings("out.expanded", lists);
  return result;
}

/// Goes through the source in order as a run would; what cannot be used is counted.
template <class Describe>
void read_all(const Source& source, Result& result, Describe describe) {
  SkipCounter skips(source.name());
  for (const auto& problem : source.problems()) skips.skip(problem);
  auto samples = nlohmann::json::array();
  for (int64_t n = 0; n < source.size(); ++n) {
    try {
      const Sample sample = source.read_number(n);
      Image image;
      try {
        image = decode_image(sample.images.at(0).bytes, source.decode_options());
      } catch (const Error& error) {
        throw SampleError("bad_image", sample.place(), error.what());
      }
      samples.push_back(describe(sample, nlohmann::json::array({image.width, image.height})).dump());
    } catch (const SampleError& error) {
      skips.skip(error);
    }
  }
  result.set_strings("out.samples", samples);
  result.set_strings("out.skipped", skips.counts());
}

Result webdataset(const Case& c) {
  std::vector<std::string> parts;
  for (const auto& part : split(c.params.at("shards").get<std::string>(), "::")) parts.push_back((c.folder / part).string());
  SourceOptions options;
  options.path = join(parts, "::");
  options.image_key = c.param("image_key", options.image_key);
  options.caption_key = c.param("caption_key", options.caption_key);
  options.write_index = false;
  Result result;
  read_all(WebDatasetSource(options), result, [](const Sample& sample, const nlohmann::json& size) {
    return nlohmann::json{{"key", sample.key}, {"shard", sample.shard}, {"image", sample.images.at(0).name}, {"size", size},
                          {"caption", sample.captions.at(0)}, {"fields", sample.fields},
                          {"cls", sample.label ? nlohmann::json(*sample.label) : nlohmann::json()}};
  });
  return result;
}

Result image_folder(const Case& c) {
  SourceOptions options;
  options.path = c.file(c.params.at("root")).string();
  const ImageFolderSource source(options);
  Result result;
  result.set_strings("out.classes", source.class_folders());
  read_all(source, result, [](const Sample& sample, const nlohmann::json& size) {
    return nlohmann::json{{"image", sample.images.at(0).name}, {"label", sample.label.value()}, {"size", size}};
  });
  return result;
}

struct PlanParams {
  std::vector<int64_t> sizes;
  uint64_t seed;
  int64_t epoch, consumers;
  bool shuffle;
  explicit PlanParams(const Case& c)
      : sizes(c.params.at("sizes").get<std::vector<int64_t>>()), seed(c.params.at("seed").get<uint64_t>()),
        epoch(c.params.at("epoch").get<int64_t>()),
        consumers(c.params.at("world_size").get<int64_t>() * std::max<int64_t>(c.param("workers", int64_t(1)), 1)),
        shuffle(c.param("shuffle", true)) {}
};

/// Rows consumer, shard, sample.
Tensor rows(const EpochPlan& plan, const std::vector<int64_t>& from) {
  std::vector<int64_t> values;
  for (int64_t g = 0; g < plan.consumers(); ++g) {
    for (const SampleId id : plan.list(g, from[static_cast<size_t>(g)])) values.insert(values.end(), {g, id.shard, id.index});
  }
  const auto count = static_cast<int64_t>(values.size()) / 3;
  return numbers(std::move(values), {count, 3});
}

Result epoch_plan(const Case& c) {
  const PlanParams p(c);
  const EpochPlan plan(p.sizes, p.seed, p.epoch, p.consumers, p.shuffle);
  std::vector<int64_t> lengths;
  for (int64_t g = 0; g < p.consumers; ++g) lengths.push_back(plan.length(g));
  Result result;
  result.set("out.plan", rows(plan, std::vector<int64_t>(static_cast<size_t>(p.consumers), 0)));
  result.set("out.lengths", numbers(lengths));
  return result;
}

Result epoch_resume(const Case& c) {
  const PlanParams p(c);
  const auto consumed = c.params.at("cursor").get<std::vector<int64_t>>();
  const auto others = c.params.at("new_consumers").get<int64_t>();
  std::vector<CursorStage> stages;
  if (c.params.contains("earlier")) {
    for (const auto& stage : c.params["earlier"]) stages.push_back({stage.at("consumers"), stage.at("consumed")});
  }
  Result result;
  result.set("out.same", rows(EpochPlan(p.sizes, p.seed, p.epoch, p.consumers, p.shuffle, stages), consumed));
  stages.push_back({p.consumers, consumed});
  result.set("out.other", rows(EpochPlan(p.sizes, p.seed, p.epoch, others, p.shuffle, stages),
                               std::vector<int64_t>(static_cast<size_t>(others), 0)));
  return result;
}

Result resampled(const Case& c) {
  const auto shards = c.params.at("shards").get<int64_t>(), consumers = c.params.at("consumers").get<int64_t>();
  const auto draws = c.params.at("draws").get<int64_t>();
  std::vector<int64_t> values;
  for (int64_t g = 0; g < consumers; ++g) {
    ResampledOrder order(std::vector<int64_t>(static_cast<size_t>(shards), 1), c.param("weights", std::vector<double>{}),
                         c.params.at("seed").get<uint64_t>(), c.params.at("epoch").get<int64_t>(), g);
    for (int64_t k = 0; k < draws; ++k) values.push_back(order.draw());
  }
  Result result;
  result.set("out.shards", numbers(std::move(values), {consumers, draws}));
  return result;
}

}  // namespace data_operations

void add_data_operations(Operations& operations) {
  operations["data.permutation"] = data_operations::permutation;
  operations["data.brace_expand"] = data_operations::brace_expand;
  operations["data.webdataset"] = data_operations::webdataset;
  operations["data.image_folder"] = data_operations::image_folder;
  operations["data.epoch_plan"] = data_operations::epoch_plan;
  operations["data.epoch_resume"] = data_operations::epoch_resume;
  operations["data.resampled"] = data_operations::resampled;
}

}  // namespace vlm::golden
