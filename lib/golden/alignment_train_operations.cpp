/// What surrounds the models of ALBEF and mPLUG: texts, schedules, parameter groups, frames, boxes, retrieval (specs: alignment, 3.5 to
/// 4; mplug, 3.3 to 5).

#include <ATen/ops/tensor.h>


#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/video_frames.h"
#include "vlm/eval/grounding.h"
#include "vlm/eval/retrieval.h"
#include "vlm/golden/case.h"
#include "vlm/losses/box_overlap.h"
#include "vlm/text/caption_cleaning.h"
#include "vlm/train/momentum.h"
#include "vlm/train/parameter_groups.h"
#include "vlm/train/schedule.h"

namespace vlm::golden {

namespace alignment_train {

using Clean = std::string (*)(std::string_view, int64_t);

nlohmann::json cleaned(const Case& c, Clean clean) {
  auto out = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) out.push_back(clean(text, c.param("max_words", int64_t(0))));
  return out;
}

Result clean_text(const Case& c) {
  Result result;
  result.set_strings("out.captions", cleaned(c, albef_caption));
  result.set_strings("out.questions", cleaned(c, albef_question));
  return result;
}

template <Clean clean>
Result clean_one(const Case& c) {
  Result result;
  result.set_strings("out.texts", cleaned(c, clean));
  return result;
}

ScheduleOptions schedule_options(const Case& c) {
  ScheduleOptions o{.style = "albef", .name = "cosine"};
  o.warmup_steps = o.warmup_stair * c.params.at("warmup_epochs").get<int64_t>();
  o.warmup_init_lr = c.params.at("warmup_lr");
  o.min_lr = c.params.at("min_lr");
  return o;
}

Result albef_schedule(const Case& c) {
  const ScheduleOptions options = schedule_options(c);
  const auto per_epoch = c.params.at("steps_per_epoch").get<int64_t>(), total = per_epoch * c.params.at("epochs").get<int64_t>();
  const Tensor epoch = c.in("epoch"), iteration = c.in("iteration");
  std::vector<double> lr, alpha;
  for (int64_t i = 0; i < epoch.numel(); ++i) {
    const int64_t step = epoch[i].item<int64_t>() * per_epoch + iteration[i].item<int64_t>();
    lr.push_back(learning_rate(options, c.params.at("lr"), step, total, per_epoch));
    alpha.push_back(distillation_share(c.param("alpha", 0.0), step, per_epoch));
  }
  Result result;
  result.set("out.lr", at::tensor(lr, at::kDouble));
  result.set("out.alpha", at::tensor(alpha, at::kDouble));
  return result;
}

/// The reference counts warm-up stairs and then epochs; here it is all steps, of epochs just long enough for the warm-up.
Result mplug_schedule(const Case& c) {
  const ScheduleOptions options = schedule_options(c);
  const auto warmup = c.params.at("warmup_epochs").get<int64_t>();
  const int64_t per_epoch = options.warmup_steps + 2, total = per_epoch * c.params.at("epochs").get<int64_t>();
  const auto rates = c.params.at("group_lrs").get<std::vector<double>>();
  std::vector<double> lr;
  for (const double rate : rates) lr.push_back(initial_learning_rate(options, rate, total, per_epoch));
  const auto steps = c.params.at("steps").get<std::vector<int64_t>>();
  for (const int64_t t : steps) {
    const int64_t step = t <= warmup ? t * options.warmup_stair + 1 : (t - warmup) * per_epoch;
    for (const double rate : rates) lr.push_back(learning_rate(options, rate, step, total, per_epoch));
  }
  Result result;
  result.set("out.lr", at::tensor(lr, at::kDouble).view({static_cast<int64_t>(steps.size()) + 1, -1}));
  return result;
}

Result albef_groups(const Case& c) {
  const auto names = c.in_strings("names");
  auto decay = nlohmann::json::array(), no_decay = nlohmann::json::array();
  for (size_t i = 0; i < names.size(); ++i) {
    const bool decayed = takes_weight_decay("albef", names[i], c.in("ndim")[static_cast<int64_t>(i)].item<int64_t>());
    (decayed ? decay : no_decay).push_back(names[i]);
  }
  Result result;
  result.set_strings("out.decay", decay);
  result.set_strings("out.no_decay", no_decay);
  return result;
}

/// A recipe says lr1, and lr2 / lr1 as the multiplier of "visual_encoder.*"; momentum encoders are no parameters.
Result mplug_groups(const Case& c) {
  const auto names = c.in_strings("names");
  const double lr1 = c.params.at("lr1"), lr2 = c.params.at("lr2"), weight_decay = c.params.at("weight_decay");
  std::vector<int64_t> group;
  for (const auto& name : names) {
    const bool visual = name.find("visual_encoder") != std::string::npos;
    if (visual && !starts_with(name, "visual_encoder.")) {
      group.push_back(-1);
      continue;
    }
    group.push_back((visual ? 2 : 0) + (takes_weight_decay("mplug", name, 2) ? 0 : 1));
  }
  Result result;
  result.set("out.group", at::tensor(group, at::kLong));
  result.set("out.lr", at::tensor(std::vector<double>{lr1, lr1, lr2, lr2}, at::kDouble));
  result.set("out.weight_decay", at::tensor(std::vector<double>{weight_decay, 0, weight_decay, 0}, at::kDouble));
  return result;
}

Result box_iou(const Case& c) {
  const auto accuracy = grounding_accuracy(c.in("pred_boxes"), c.in("boxes"), BoxVariant::mplug);
  Result result;
  result.set("out.giou", generalised_iou(c.in("pred_boxes"), c.in("boxes")));
  result.set("out.eval_iou", accuracy.iou);
  result.set("out.correct", accuracy.correct);
  return result;
}

Result grounding_pick(const Case& c) {
  const auto pick = pick_box(c.in("cam"), c.in("boxes"), c.params.at("height"), c.params.at("width"), c.param("alpha", 0.5));
  Result result;
  result.set("out.scores", pick.scores);
  result.set("out.pick", at::tensor({pick.best}, at::kLong));
  return result;
}

Result video_normalize(const Case& c) {
  Result result;
  result.set("out.frames", normalize_frames(c.in("frames")));
  return result;
}

Result video_frames(const Case& c) {
  Result result;
  result.set("out.indices", at::tensor(frame_indices(c.params.at("video_length"), c.params.at("num_frames")), at::kLong));
  return result;
}

/// In percent. `texts`: how the results call the direction from texts.
std::map<std::string, double> percent(const RetrievalRecall& recall, const std::string& texts) {
  std::map<std::string, double> out;
  for (const auto& [k, share] : recall.image_to_text) out["txt_r" + std::to_string(k)] = 100 * share;
  for (const auto& [k, share] : recall.text_to_image) out[texts + "_r" + std::to_string(k)] = 100 * share;
  out["txt_r_mean"] = 100 * recall.image_to_text_mean;
  out[texts + "_r_mean"] = 100 * recall.text_to_image_mean;
  out["r_mean"] = 100 * recall.mean;
  return out;
}

Result albef_retrieval(const Case& c) {
  const Tensor by_image = c.in("score_i2t");
  const auto metrics = percent(retrieval_recall(by_image, c.in("score_t2i"), texts_of_pictures(c.in("txt2img"), by_image.size(0))), "img");
  std::vector<double> values;
  for (const auto& name : c.params.at("order")) values.push_back(metrics.at(name.get<std::string>()));
  Result result;
  result.set("out.metrics", at::tensor(values, at::kDouble));
  return result;
}

/// A list of numbers, or of lists.
std::vector<std::vector<int64_t>> lists(const nlohmann::json& json) {
  std::vector<std::vector<int64_t>> out;
  for (const auto& entry : json) out.push_back(entry.is_array() ? entry.get<std::vector<int64_t>>() : std::vector<int64_t>{entry.get<int64_t>()});
  return out;
}

Result mplug_retrieval(const Case& c) {
  const auto recall = retrieval_recall(c.in("scores_i2t"), c.in("scores_t2i"), lists(c.params.at("img2txt")));
  const bool video = c.param("video", false);
  Result result;
  const auto metrics = percent(recall, video ? "vid" : "img");
  for (const auto& [name, value] : metrics) result.set("out." + name, value);
  if (video) result.set("out.vid_mdR", median_rank(recall.text_ranks));
  return result;
}

}  // namespace alignment_train

void add_alignment_train_operations(Operations& operations) {
  operations["alignment.clean_text"] = alignment_train::clean_text;
  operations["mplug.pre_caption"] = alignment_train::clean_one<mplug_caption>;
  operations["mplug.pre_question"] = alignment_train::clean_one<mplug_question>;
  operations["albef.schedule"] = alignment_train::albef_schedule;
  operations["mplug.lr_schedule"] = alignment_train::mplug_schedule;
  operations["albef.param_groups"] = alignment_train::albef_groups;
  operations["mplug.param_groups"] = alignment_train::mplug_groups;
  operations["mplug.box_iou"] = alignment_train::box_iou;
  operations["albef.grounding_pick"] = alignment_train::grounding_pick;
  operations["mplug.video_normalize"] = alignment_train::video_normalize;
  operations["mplug.frame_indices"] = alignment_train::video_frames;
  operations["albef.retrieval_metrics"] = alignment_train::albef_retrieval;
  operations["mplug.retrieval_metrics"] = alignment_train::mplug_retrieval;
}

}  // namespace vlm::golden
