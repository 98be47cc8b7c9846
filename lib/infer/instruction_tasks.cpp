#include "vlm/infer/instruction_tasks.h"

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/text/caption_cleaning.h"
#include "vlm/text/unicode.h"

namespace vlm::instruct {

namespace say = ofa_instruction;
using Ids = InstructionPipeline::Ids;

namespace words {

void must_be_as_many(const Tensor& pixels, size_t count, const char* what) {
  if (pixels.size(0) != static_cast<int64_t>(count)) fail("there are ", count, " ", what, " for ", pixels.size(0), " pictures");
}

ResizeRatios ratios(const PicturePlacement& placement) { return {placement.width_ratio, placement.height_ratio}; }

Corners moved(const Corners& box, float x, float y) { return {box[0] + x, box[1] + y, box[2] + x, box[3] + y}; }

BoxBinOptions bins_of(const InstructionPipeline& model, int64_t max_image_size) {
  const int64_t bins = model.vocabulary().bins;
  if (bins < 2) fail("this model has no coordinates: it can neither find nor read a region");
  if (max_image_size < 1) fail_usage("max_image_size is a number of pixels, not ", max_image_size);
  return {.num_bins = bins, .max_image_size = max_image_size};
}

}  // namespace words

SequenceSearchOptions search_of(const GenerateOptions& options) {
  if (options.repetition_penalty != 1) fail_usage("a model that takes instructions is searched without a repetition penalty; take no_repeat_ngram");
  SequenceSearchOptions out;
  out.beam = options.beams;
  out.max_len_b = options.max_new_tokens;
  out.min_len = std::max<int64_t>(1, options.min_new_tokens);
  out.len_penalty = options.length_penalty;
  out.normalize_scores = options.length_penalty != 0;
  out.temperature = options.temperature;
  out.no_repeat_ngram = options.no_repeat_ngram;
  out.sample = options.sample;
  out.top_k = options.top_k;
  out.top_p = options.top_p;
  out.seed = options.seed;
  return out;
}

GenerateOptions caption_search() {
  GenerateOptions out = GenerateOptions::beam(5, 16);
  out.no_repeat_ngram = 3;
  return out;
}

GenerateOptions answer_search() {
  GenerateOptions out = GenerateOptions::beam(5, 30);
  out.length_penalty = 0;
  return out;
}

GenerateOptions reply_search() { return GenerateOptions::beam(5, 200); }

std::vector<GeneratedText> caption(const InstructionPipeline& model, const Tensor& pixels, const GenerateOptions& search, const std::string& begin) {
  const std::vector<Ids> sources(static_cast<size_t>(pixels.size(0)), model.encode(say::caption()));
  auto out = model.reply(pixels, sources, {.search = search_of(search), .begin = begin});
  for (auto& one : out) one.text = ofa_target_caption(one.text, 0);
  return out;
}

std::vector<GeneratedText> answer(const InstructionPipeline& model, const Tensor& pixels, const std::vector<std::string>& questions, const ReplyOptions& options,
                                  const std::vector<std::string>& objects) {
  words::must_be_as_many(pixels, questions.size(), "questions");
  std::vector<Ids> sources;
  for (size_t i = 0; i < questions.size(); ++i) {
    Ids& source = sources.emplace_back(model.encode(say::question(questions[i])));
    if (i >= objects.size() || objects[i].empty()) continue;
    const Ids names = model.encode(say::objects(objects[i]));
    source.insert(source.end(), names.begin(), names.end());
  }
  return model.reply(pixels, sources, options);
}

std::vector<double> match(const InstructionPipeline& model, const Tensor& pixels, const std::vector<std::string>& texts) {
  words::must_be_as_many(pixels, texts.size(), "texts");
  std::vector<Ids> sources;
  for (const auto& text : texts) sources.push_back(model.encode(say::match(text)));
  const Tensor scores = model.score(pixels, sources, {"yes", "no"});                          // [B, 2]
  std::vector<double> out;
  for (size_t i = 0; i < texts.size(); ++i) out.push_back(std::exp(static_cast<double>(scores.const_data_ptr<float>()[2 * i])));
  return out;
}

Tensor classify(const InstructionPipeline& model, const Tensor& pixels, const std::vector<std::string>& classes) {
  return model.score(pixels, std::vector<Ids>(static_cast<size_t>(pixels.size(0)), model.encode(say::caption())), classes);
}

Tensor entail(const InstructionPipeline& model, const Tensor& pixels, const std::vector<std::string>& hypotheses, const std::vector<std::string>& premises,
              say::Prompt prompt) {
  words::must_be_as_many(pixels, hypotheses.size(), "hypotheses");
  if (!premises.empty()) words::must_be_as_many(pixels, premises.size(), "premises");
  std::vector<Ids> sources;
  for (size_t i = 0; i < hypotheses.size(); ++i) sources.push_back(model.encode(say::entailment(hypotheses[i], premises.empty() ? "" : premises[i])));
  std::vector<std::string> answers;
  for (const auto& answer : say::entailment_answers()) answers.emplace_back(strip(answer));
  return model.score(pixels, sources, answers, prompt);
}

std::vector<GroundedBox> ground(const InstructionPipeline& model, const Tensor& pixels, const std::vector<PicturePlacement>& placements, const std::vector<std::string>& texts,
                                const GroundOptions& options) {
  words::must_be_as_many(pixels, texts.size(), "texts");
  words::must_be_as_many(pixels, placements.size(), "placements");
  const BoxBinOptions bins = words::bins_of(model, options.max_image_size);
  const int64_t first = model.vocabulary().first_bin;
  ReplyOptions reply;
  reply.search.beam = options.beams;
  reply.search.min_len = reply.search.max_len_b = 4;
  reply.search.no_repeat_ngram = 3;
  if (options.only_bins) {
    reply.search.constraint_range = concat(first, ",", first + bins.num_bins);
    reply.search.gen_code = true;  // the range alone lets special ids through
  }
  std::vector<Ids> sources;
  for (const auto& text : texts) sources.push_back(model.encode(say::region_of(text)));
  const auto replies = model.reply(pixels, sources, reply);
  std::vector<GroundedBox> out;
  for (size_t i = 0; i < replies.size(); ++i) {
    GroundedBox& found = out.emplace_back();
    found.score = replies[i].score;
    for (size_t k = 0; k < 4; ++k) found.bins[k] = (k < replies[i].ids.size() ? replies[i].ids[k] : 0) - first;
    found.box = words::moved(from_bins(found.bins, words::ratios(placements[i]), bins), placements[i].left / placements[i].width_ratio,
                             placements[i].top / placements[i].height_ratio);
  }
  return out;
}

std::vector<GeneratedText> describe_region(const InstructionPipeline& model, const Tensor& pixels, const std::vector<PicturePlacement>& placements, const std::vector<Corners>& boxes,
                                           const GenerateOptions& search, int64_t max_image_size) {
  words::must_be_as_many(pixels, boxes.size(), "regions");
  words::must_be_as_many(pixels, placements.size(), "placements");
  const BoxBinOptions bins = words::bins_of(model, max_image_size);
  const Ids question = model.encode(say::describe_region());
  std::vector<Ids> sources;
  for (size_t i = 0; i < boxes.size(); ++i) {
    const BoxBins box = to_bins(words::moved(scaled(boxes[i], words::ratios(placements[i])), -placements[i].left, -placements[i].top), bins);
    const Ids region = model.bins({box.begin(), box.end()});
    Ids& source = sources.emplace_back(question);
    source.insert(source.end(), region.begin(), region.end());
  }
  return model.reply(pixels, sources, {.search = search_of(search)});
}

std::vector<GeneratedText> infill(const InstructionPipeline& model, const std::vector<std::string>& texts, const GenerateOptions& search) {
  const Ids instruction = model.encode(say::infill());
  std::vector<Ids> sources;
  for (const auto& text : texts) {
    const Ids masked = model.encode(say::answer(squash(lower(text))));
    Ids& source = sources.emplace_back(instruction);
    source.insert(source.end() - std::min<std::ptrdiff_t>(2, static_cast<std::ptrdiff_t>(source.size())), masked.begin(), masked.end());
  }
  return model.reply({}, sources, {.search = search_of(search)});
}

}  // namespace vlm::instruct
