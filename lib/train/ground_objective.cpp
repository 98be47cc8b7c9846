#include "vlm/train/ground_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "vlm/eval/grounding.h"
#include "vlm/infer/ground_texts.h"
#include "vlm/losses/box_token_loss.h"
#include "vlm/models/mplug/grounder.h"
#include "vlm/text/unicode.h"
#include "vlm/train/augmentation.h"

namespace vlm {

MplugGroundObjective::MplugGroundObjective(const ObjectiveContext& context, const MplugGroundOptions& options)
    : model_(require<MplugGrounder>(context.model, "be trained with the objective 'mplug_ground'",
                                    "it does not write boxes as words; mPLUG's with model.config.task: grounding does")),
      tokenizer_(context.tokenizer),
      options_(options),
      size_(model_.picture_size()) {
  if (!tokenizer_) fail("the objective 'mplug_ground' needs a tokenizer (model.tokenizer)");
  options_.augment.size = size_.first;
  const GroundingAugment checked(options_.augment);
}

void MplugGroundObjective::check(const Sample& sample, const std::string& text) const {
  Objective::check(sample, text);
  if (!sample.box) throw SampleError("bad_box", sample.place(), "there is none");
}

PrepareSample MplugGroundObjective::preparation(const std::string&, const TrainTransformOptions&, const PreprocessOptions&) const {
  const auto augment = std::make_shared<const GroundingAugment>(options_.augment);
  return [augment](Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string& text) {
    if (image.pixels.empty()) throw SampleError("no_image", sample.place());
    const double shrunk = shrunk_by(sample, image);
    Corners box{};
    std::transform(sample.box->begin(), sample.box->end(), box.begin(), [&](double x) { return static_cast<float>(x * shrunk); });
    const Corners whole = {0, 0, static_cast<float>(image.width), static_cast<float>(image.height)};
    if (!(std::min(box[2], whole[2]) > std::max(box[0], 0.0F) && std::min(box[3], whole[3]) > std::max(box[1], 0.0F))) {
      throw SampleError("bad_box", sample.place(), "nothing of it lies in the picture");
    }
    text = lower(text);
    augment->write(image, box, text, random, pixels);
    std::copy(box.begin(), box.end(), sample.box->begin());
  };
}

std::vector<LossTerm> MplugGroundObjective::losses(const Batch& batch) {
  const auto device = batch.images.device();
  const auto rows = static_cast<int64_t>(batch.samples.size());
  std::vector<double> shares;
  for (const auto& sample : batch.samples) {
    const auto& box = sample.box.value();
    const auto width = static_cast<double>(size_.second), height = static_cast<double>(size_.first);
    for (const double x : {(box[0] + box[2]) / 2 / width, (box[1] + box[3]) / 2 / height, (box[2] - box[0]) / width, (box[3] - box[1]) / height}) shares.push_back(x);
  }
  const Tensor target = at::tensor(shares, at::kDouble).view({rows, 4}).to(at::kFloat);
  const Tensor expression = expression_rows(*tokenizer_, batch.texts, model_.expression_length()).to(device);
  const Tensor ids = model_.box_ids(target).to(device);
  const Tensor logits = model_.box_logits(batch.images, expression, expression.ne(tokenizer_->specials().pad).to(at::kLong), ids);
  const auto& config = model_.architecture();
  const BoxTokenLoss loss = box_token_loss(logits, ids, target.to(device), {.first = config.box_first, .bins = config.box_bins, .own_weights = options_.own_weights});
  iou_ = grounding_accuracy(loss.boxes, target, BoxVariant::mplug).iou.mean().item<double>();
  return {{"box", loss.loss, static_cast<double>(rows)}};
}

std::unique_ptr<Objective> make_mplug_ground_objective(const ObjectiveContext& context, const Config& options) {
  MplugGroundOptions parsed;
  options.read(parsed);
  return std::make_unique<MplugGroundObjective>(context, parsed);
}

}  // namespace vlm
