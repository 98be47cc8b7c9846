#include "vlm/train/ofa_pretrain_objective.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/strings.h"
#include "vlm/train/augmentation.h"

namespace vlm {

namespace ofa_pretrain_objective {

OfaPretrainOptions with_side(OfaPretrainOptions options, Model& model) {
  options.patch_image_size = ofa_picture_side(model, options.patch_image_size);
  if (options.code_image_size < 8 || options.code_image_size % 8) {
    fail_usage("objective.options.code_image_size must be a multiple of 8, not ", options.code_image_size);
  }
  if (options.sample_patches < 0) fail_usage("objective.options.sample_patches must not be negative, and is ", options.sample_patches);
  return options;
}

/// In pixels of the decoded picture, which can be smaller than the stored one.
Corners corners_of(const std::array<double, 4>& box, double shrunk) {
  Corners out;
  for (size_t i = 0; i < 4; ++i) out[i] = static_cast<float>(box[i] * shrunk);
  return out;
}

std::array<double, 4> box_of(const Corners& corners) { return {corners[0], corners[1], corners[2], corners[3]}; }

void need_picture(const Sample& sample, const Image& image) {
  if (image.pixels.empty()) throw SampleError("no_image", sample.place());
}

}  // namespace ofa_pretrain_objective

OfaPretrainObjective::OfaPretrainObjective(const ObjectiveContext& context, const OfaPretrainOptions& options)
    : options_(ofa_pretrain_objective::with_side(options, context.model)),
      vocabulary_(require_instructed(context.model, "ofa_pretrain"), context.tokenizer),
      examples_(vocabulary_, options_),
      teacher_(require_instructed(context.model, "ofa_pretrain"), vocabulary_, options_),
      device_(context.model.trainable().at(0).tensor.device()) {}

OfaPretrainObjective::Kind OfaPretrainObjective::kind_of(const std::string& source) const {
  const auto in = [&](const std::vector<std::string>& names) { return std::find(names.begin(), names.end(), source) != names.end(); };
  if (in(options_.pairs)) return Kind::pair;
  if (in(options_.texts)) return Kind::text;
  if (in(options_.pictures)) return Kind::picture;
  if (in(options_.detections)) return Kind::detection;
  fail_usage("the objective ofa_pretrain does not know what data set '", source, "' is; name it in objective.options.image_text, text, image or detection, ",
             "or call it so in data.mix");
}

std::pair<int64_t, int64_t> OfaPretrainObjective::image_size_of(const std::string& source) const {
  const Kind kind = kind_of(source);
  if (kind == Kind::text) return {0, 0};
  const int64_t side = kind == Kind::pair ? options_.patch_image_size : 2 * options_.code_image_size;
  return {side, side};
}

PrepareSample OfaPretrainObjective::prepare_pair(const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const {
  using namespace ofa_pretrain_objective;
  const Normalizer normalizer(evaluation.mean, evaluation.std, evaluation.rescale_factor, evaluation.normalize);
  const PrepareSample plain = options_.augment ? PrepareSample() : augmentation_of(augment, evaluation, options_.patch_image_size, options_.patch_image_size);
  return [this, normalizer, plain](Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string& text) {
    examples_.check_pair(sample, text);
    if (plain) return plain(sample, image, random, pixels, text);
    need_picture(sample, image);
    if (ofa_pair_kind(sample, text) != OfaPairKind::region) {
      normalizer.write(augment_pair(image, options_, random), pixels);
      return;
    }
    const PictureWithBoxes cut = augment_grounding(image, {corners_of(*sample.box, shrunk_by(sample, image))}, options_, random);
    normalizer.write(cut.image, pixels);
    sample.box = box_of(cut.boxes.at(0));
  };
}

PrepareSample OfaPretrainObjective::preparation(const std::string& source, const TrainTransformOptions& augment, const PreprocessOptions& evaluation) const {
  using namespace ofa_pretrain_objective;
  const Normalizer normalizer(evaluation.mean, evaluation.std, evaluation.rescale_factor, evaluation.normalize);
  switch (kind_of(source)) {
    case Kind::pair: return prepare_pair(augment, evaluation);
    case Kind::text:
      return [this](Sample& sample, const Image&, SplitMix64&, float*, std::string& text) { examples_.check_text(text, sample.place()); };
    case Kind::picture:
      return [this, normalizer](Sample& sample, const Image& image, SplitMix64&, float* pixels, std::string&) {
        examples_.check_picture(sample);
        need_picture(sample, image);
        write_infilling_picture(image, normalizer, options_.code_image_size, pixels);
      };
    case Kind::detection:
      return [this, normalizer](Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string&) {
        examples_.check_detection(sample);
        need_picture(sample, image);
        const double shrunk = shrunk_by(sample, image);
        const nlohmann::json before = sample.meta["detections"];
        std::vector<Corners> boxes;
        for (const auto& object : before) boxes.push_back(corners_of(object.at("box").get<std::array<double, 4>>(), shrunk));
        const PictureWithBoxes cut = augment_detection(image, boxes, options_, random);
        normalizer.write(cut.image, pixels);
        nlohmann::json after = nlohmann::json::array();
        for (size_t i = 0; i < cut.kept.size(); ++i) after.push_back({{"box", box_of(cut.boxes[i])}, {"name", before[cut.kept[i]].at("name")}});
        sample.meta["detections"] = std::move(after);
      };
  }
  fail("no such kind of data set");
}

std::vector<LossTerm> OfaPretrainObjective::joint_losses(const std::vector<SourceBatch>& batches) {
  const uint64_t seed = at::detail::getDefaultCPUGenerator().current_seed();
  const auto stream_of = [&](const Sample& sample, uint64_t kind) { return SplitMix64(mix({seed, kind, static_cast<uint64_t>(sample.number)})); };
  const int64_t side = 2 * options_.code_image_size;
  std::vector<OfaExample> pairs, extra;
  std::vector<Tensor> pair_pictures;
  std::vector<Tensor> extra_pictures = {at::zeros({1, 3, side, side}, at::TensorOptions(device_))};  // what texts look at, masked
  int64_t paired = 0, others = 1;
  bool pictured = false;
  for (const auto& [source, batch] : batches) {
    const Kind kind = kind_of(source);
    std::vector<std::string> answers;
    for (const auto& sample : batch->samples) {
      if (!sample.answers.empty()) answers.push_back(sample.answers[0]);
    }
    for (size_t i = 0; i < batch->samples.size(); ++i) {
      const Sample& sample = batch->samples[i];
      SplitMix64 random = stream_of(sample, static_cast<uint64_t>(kind));
      const auto row = static_cast<int64_t>(i);
      if (kind == Kind::pair) {
        const bool asks = ofa_pair_kind(sample, batch->texts[i]) == OfaPairKind::question;
        for (auto& example : examples_.pair(sample, batch->texts[i], asks ? answers : batch->texts, paired + row, random)) pairs.push_back(std::move(example));
      }
      if (kind == Kind::text) extra.push_back(examples_.text(batch->texts[i], random));
      if (kind == Kind::picture) extra.push_back(examples_.picture(sample, others + row));
      if (kind == Kind::detection) extra.push_back(examples_.detection(sample, others + row));
    }
    if (kind == Kind::pair) {
      pair_pictures.push_back(batch->images);
      paired += batch->images.size(0);
    } else if (kind != Kind::text) {
      extra_pictures.push_back(batch->images);
      others += batch->images.size(0);
      pictured = true;
    }
  }
  std::vector<LossTerm> out;
  const auto add = [&](const char* name, const std::vector<OfaExample>& examples, const Tensor& pictures, int64_t patches) {
    if (examples.empty()) return;
    LossTerm term = term_of(name, teacher_(examples, pictures, device_, nullptr, patches, step_));
    term.count = 1;  // as the reference weighs ranks, however many ids they score
    out.push_back(std::move(term));
  };
  add("pairs", pairs, pairs.empty() ? Tensor() : at::cat(pair_pictures), options_.sample_patches);
  add("infilling", extra, pictured ? at::cat(extra_pictures) : Tensor(), 0);
  return out;
}

std::unique_ptr<Objective> make_ofa_pretrain_objective(const ObjectiveContext& context, const Config& options) {
  OfaPretrainOptions parsed;
  options.read(parsed);
  return std::make_unique<OfaPretrainObjective>(context, parsed);
}

}  // namespace vlm
