/// What surrounds OFA's model: texts and their noise, boxes, pictures, and the updates of its trainer (specs: ofa, 3 to 5;
/// objectives, 3.1).

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include "vlm/core/error.h"
#include "vlm/data/ofa_boxes.h"
#include "vlm/data/ofa_pictures.h"
#include "vlm/eval/grounding.h"
#include "vlm/golden/case.h"
#include "vlm/text/caption_cleaning.h"
#include "vlm/text/text_infilling.h"
#include "vlm/train/optimizer.h"
#include "vlm/train/schedule.h"

namespace vlm::golden {

namespace ofa_texts {

Result clean_text(const Case& c) {
  const auto max_words = c.param("max_words", int64_t(0));
  auto question = nlohmann::json::array(), caption = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) {
    question.push_back(ofa_question(text, max_words));
    caption.push_back(ofa_caption(text, max_words));
  }
  Result result;
  result.set_strings("out.question", question);
  result.set_strings("out.caption", caption);
  return result;
}

std::vector<int64_t> integers(const Tensor& tensor) {
  const Tensor flat = tensor.to(at::kLong).contiguous();
  return {flat.const_data_ptr<int64_t>(), flat.const_data_ptr<int64_t>() + flat.numel()};
}

/// Draws that the case gives, each kind from its own queue.
class GivenDraws : public InfillingDraws {
 public:
  std::vector<int64_t> lengths, random_ids;
  std::vector<std::vector<int64_t>> permutations;
  std::vector<double> uniforms;

  int64_t span_length() override { return take(lengths, next_length_, "span lengths"); }
  std::vector<int64_t> permutation(int64_t) override { return take(permutations, next_permutation_, "permutations"); }
  double uniform() override { return take(uniforms, next_uniform_, "uniform numbers"); }
  int64_t random_id(int64_t, int64_t) override { return take(random_ids, next_id_, "random words"); }

 private:
  template <class T>
  static T take(const std::vector<T>& queue, size_t& next, const char* what) {
    if (next >= queue.size()) fail("the case gives too few ", what, ": ", queue.size());
    return queue[next++];
  }
  size_t next_length_ = 0, next_permutation_ = 0, next_uniform_ = 0, next_id_ = 0;
};

std::vector<double> doubles(const Tensor& tensor) {
  const Tensor flat = tensor.to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

TextInfillingOptions infilling_options(const Case& c) {
  TextInfillingOptions o;
  o.mask_ratio = c.param("mask_ratio", o.mask_ratio);
  o.poisson_lambda = c.param("poisson_lambda", o.poisson_lambda);
  o.replace_length = c.param("replace_length", o.replace_length);
  o.random_ratio = c.param("random_ratio", o.random_ratio);
  o.mask_length = c.param("mask_length", o.mask_length);
  return o;
}

Result infilled(const Case& c, const Tensor& ids, const std::vector<int64_t>& word_start, GivenDraws& draws) {
  const InfillingIds special{c.params.at("mask_id"), c.param("random_low", int64_t(4)), c.param("random_high", int64_t(0))};
  Result result;
  result.set("out.tokens", at::tensor(infill_text(integers(ids), {word_start.begin(), word_start.end()}, infilling_options(c), special, draws), at::kLong));
  return result;
}

/// Word starts come by id, lengths as they were drawn.
Result text_infill(const Case& c) {
  const auto source = integers(c.in("source")), by_id = integers(c.in("word_start_by_id"));
  std::vector<int64_t> word_start;
  for (const int64_t id : source) word_start.push_back(by_id.at(static_cast<size_t>(id)));
  GivenDraws draws;
  if (c.has_in("span_lengths")) draws.lengths = integers(c.in("span_lengths"));
  for (int64_t k = 0; c.has_in(concat("permutation.", k)); ++k) draws.permutations.push_back(integers(c.in(concat("permutation.", k))));
  if (c.has_in("u_random")) draws.uniforms = doubles(c.in("u_random"));
  if (c.has_in("random_words")) draws.random_ids = integers(c.in("random_words"));
  return infilled(c, c.in("source"), word_start, draws);
}

/// Word starts come by place, lengths as uniform numbers.
Result text_infilling(const Case& c) {
  GivenDraws draws;
  const PoissonLengths table(c.param("poisson_lambda", 3.0));
  for (const double u : doubles(c.in("u_lengths"))) draws.lengths.push_back(table.at(u));
  for (const char* name : {"perm_starts", "perm_insert"}) {
    if (c.in(name).numel() > 0) draws.permutations.push_back(integers(c.in(name)));
  }
  draws.uniforms = doubles(c.in("u_random"));
  draws.random_ids = integers(c.in("random_words"));
  return infilled(c, c.in("tokens"), integers(c.in("is_word_start")), draws);
}

Result poisson_lengths(const Case& c) {
  const PoissonLengths table(c.param("poisson_lambda", 3.0));
  std::vector<int64_t> lengths;
  for (const double u : doubles(c.in("u"))) lengths.push_back(table.at(u));
  Result result;
  result.set("out.probs", at::tensor(table.probabilities(), at::kFloat));
  result.set("out.lengths", at::tensor(lengths, at::kLong));
  return result;
}

}  // namespace ofa_texts

namespace ofa_regions {

BoxBinOptions bin_options(const Case& c) {
  BoxBinOptions o;
  o.num_bins = c.param("num_bins", o.num_bins);
  o.max_image_size = c.param("max_image_size", o.max_image_size);
  return o;
}

std::vector<Corners> corners(const Tensor& boxes) {
  const Tensor table = boxes.to(at::kFloat).contiguous();
  std::vector<Corners> out(static_cast<size_t>(table.size(0)));
  for (size_t i = 0; i < out.size(); ++i) std::copy_n(table.const_data_ptr<float>() + 4 * i, 4, out[i].begin());
  return out;
}

template <class Row>
Tensor rows(const std::vector<Row>& list, at::ScalarType type) {
  std::vector<typename Row::value_type> flat;
  for (const auto& row : list) flat.insert(flat.end(), row.begin(), row.end());
  return at::tensor(flat, type).view({static_cast<int64_t>(list.size()), -1});
}

Result box_bins(const Case& c) {
  const auto side = c.params.at("patch_image_size").get<int64_t>();
  const auto first_id = c.params.at("first_bin_id").get<int64_t>();
  const BoxBinOptions options = bin_options(c);
  const auto boxes = corners(c.in("boxes"));
  const auto sizes = ofa_texts::integers(c.in("image_wh"));
  std::vector<std::array<int64_t, 2>> resized;
  std::vector<BoxBins> bins, ids;
  std::vector<Corners> decoded;
  for (size_t i = 0; i < boxes.size(); ++i) {
    const ImageSize size{static_cast<int>(sizes.at(2 * i + 1)), static_cast<int>(sizes.at(2 * i))}, to = ofa_resized(size, side, side);
    const ResizeRatios ratios = resize_ratios(size, to);
    resized.push_back({to.height, to.width});
    bins.push_back(to_bins(scaled(boxes[i], ratios), options));
    ids.push_back(bins.back());
    for (int64_t& id : ids.back()) id += first_id;
    decoded.push_back(from_bins(bins.back(), ratios, options));
  }
  Result result;
  result.set("out.resized_hw", rows(resized, at::kLong));
  result.set("out.bins", rows(bins, at::kLong));
  result.set("out.token_ids", rows(ids, at::kLong));
  result.set("out.decoded_boxes", rows(decoded, at::kFloat));
  return result;
}

Result box_accuracy(const Case& c) {
  const auto bins = ofa_texts::integers(c.in("bins"));
  const auto w = ofa_texts::doubles(c.in("w_resize_ratios")), h = ofa_texts::doubles(c.in("h_resize_ratios"));
  std::vector<Corners> predicted;
  for (size_t i = 0; i < w.size(); ++i) {
    const BoxBins row{bins.at(4 * i), bins.at(4 * i + 1), bins.at(4 * i + 2), bins.at(4 * i + 3)};
    predicted.push_back(from_bins(row, {static_cast<float>(w[i]), static_cast<float>(h.at(i))}, bin_options(c)));
  }
  Result result;
  result.set("out.hit", grounding_accuracy(rows(predicted, at::kFloat), c.in("region_coords"), BoxVariant::ofa, c.param("thresh", 0.5)).correct);
  return result;
}

Result preprocess(const Case& c) {
  const Tensor levels = c.in("image").to(at::kByte).contiguous();
  Image image(static_cast<int>(levels.size(0)), static_cast<int>(levels.size(1)), 3);
  std::copy_n(levels.const_data_ptr<uint8_t>(), image.pixels.size(), image.pixels.begin());
  PreprocessOptions options;
  const auto side = c.params.at("patch_image_size").get<int64_t>();
  options.size = {side};
  options.mean = c.params.at("mean").get<std::vector<double>>();
  options.std = c.params.at("std").get<std::vector<double>>();
  options.resize_mode = "squash";
  Result result;
  result.set("out.patch_image", Preprocess(options)(image));
  if (c.has_in("boxes")) {
    std::vector<Corners> boxes;
    for (const auto& box : squashed(image, corners(c.in("boxes")), side).boxes) boxes.push_back(normalised(box, bin_options(c)));
    result.set("out.boxes", rows(boxes, at::kFloat));
  }
  return result;
}

}  // namespace ofa_regions

namespace ofa_updates {

Result adam_step(const Case& c) {
  const auto betas = c.param("betas", std::vector<double>{0.9, 0.999});
  std::vector<OptimizedParameter> parameters;
  for (int64_t i = 0; c.has_in(concat("param.", i)); ++i) {
    parameters.push_back({.name = std::to_string(i), .parameter = c.in(concat("param.", i)).clone().requires_grad_(), .weight_decay = c.param("weight_decay", 0.0)});
  }
  const auto optimizer = make_optimizer(parameters, {.name = "adam_fairseq", .beta1 = betas.at(0), .beta2 = betas.at(1), .eps = c.param("eps", 1e-8)});
  for (int64_t t = 0; t < c.params.at("steps").get<int64_t>(); ++t) {
    for (auto& p : parameters) p.parameter.mutable_grad() = c.in(concat("grad.", t, ".", p.name)).clone();
    optimizer->step(c.params.at("lr"));
  }
  Result result;
  for (const auto& p : parameters) result.set("out.param." + p.name, p.parameter.detach());
  return result;
}

Result lr_schedule(const Case& c) {
  const ScheduleOptions options{.style = "fairseq", .name = "polynomial_decay", .warmup_steps = c.param("warmup_updates", int64_t(0)),
                                .min_lr = c.param("end_learning_rate", 0.0), .power = c.param("power", 1.0)};
  std::vector<double> rates;
  for (const int64_t update : ofa_texts::integers(c.in("num_updates"))) {
    rates.push_back(1e6 * learning_rate(options, c.params.at("lr"), update, c.params.at("total_num_update")));
  }
  Result result;
  result.set("out.lr", at::tensor(rates, at::kDouble));
  return result;
}

}  // namespace ofa_updates

void add_ofa_text_operations(Operations& operations) {
  operations["ofa.clean_text"] = ofa_texts::clean_text;
  operations["ofa.text_infill"] = ofa_texts::text_infill;
  operations["mask.text_infilling"] = ofa_texts::text_infilling;
  operations["mask.poisson_lengths"] = ofa_texts::poisson_lengths;
  operations["ofa.box_bins"] = ofa_regions::box_bins;
  operations["ofa.box_accuracy"] = ofa_regions::box_accuracy;
  operations["ofa.preprocess"] = ofa_regions::preprocess;
  operations["ofa.adam_step"] = ofa_updates::adam_step;
  operations["ofa.lr_schedule"] = ofa_updates::lr_schedule;
}

}  // namespace vlm::golden
