#include "vlm/infer/text_pipeline.h"

#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <map>

#include "vlm/core/error.h"
#include "vlm/data/video.h"
#include "vlm/infer/answer_ranking.h"
#include "vlm/infer/coca_search.h"
#include "vlm/infer/instruction_tasks.h"
#include "vlm/models/blip/blip.h"
#include "vlm/models/layers/fast_linear.h"
#include "vlm/models/video_model.h"
#include "vlm/text/caption_cleaning.h"

namespace vlm {

namespace text_pipeline {

std::pair<int64_t, int64_t> picture_size(Model& model, const PipelineOptions& options) {
  const auto* pictures = dynamic_cast<PictureModel*>(&model);
  if (const int64_t side = options.image_size; side > 0) {
    const int64_t step = pictures ? pictures->picture_step() : 0;
    if (step == 0) fail_usage("this ", model.family(), " model takes pictures of its own size only; leave out --image-size");
    if (side % step != 0) {
      fail_usage("--image-size ", side, " is no multiple of ", step, ", the side of a patch of this ", model.family(), " model; take ",
                 std::max(step, side / step * step), " or ", (side / step + 1) * step);
    }
    return {side, side};
  }
  if (!pictures) return require<DualEncoder>(model, "look at pictures", "it has no image tower").image_size();
  if (options.usual_size > 0 && !pictures->picture_size_known()) return {options.usual_size, options.usual_size};
  return pictures->picture_size();
}

/// `another`: a size that the files do not know of.
PreprocessOptions sized(PreprocessOptions options, std::pair<int64_t, int64_t> size, bool another) {
  options.size = size.first == size.second ? std::vector<int64_t>{size.first} : std::vector<int64_t>{size.first, size.second};
  if (another && !options.crop_size.empty()) options.crop_size = options.size;
  return options;
}

}  // namespace text_pipeline

TextPipeline TextPipeline::load(const std::filesystem::path& folder, const PipelineOptions& options) {
  return of(load_parts(folder, options), options);
}

TextPipeline TextPipeline::of(ModelParts parts, const PipelineOptions& options) {
  return TextPipeline(std::move(parts.model), std::move(parts.tokenizer), parts.preprocess, options, true);
}

TextPipeline::TextPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer, const PreprocessOptions& preprocess,
                           const PipelineOptions& options, bool frozen)
    : model_(std::move(model)),
      tokenizer_(std::move(tokenizer)),
      instructions_(dynamic_cast<Instructed*>(model_.get()) ? std::make_shared<InstructionPipeline>(model_, tokenizer_, frozen) : nullptr),
      size_(text_pipeline::picture_size(*model_, options)),
      preprocess_(text_pipeline::sized(preprocess, size_, options.image_size > 0 || options.usual_size > 0)),
      options_(options),
      frozen_(frozen) {}

const InstructionPipeline& TextPipeline::instructions(const std::string& task) const {
  if (!instructions_) require<Instructed>(*model_, task, "it takes no instructions");
  return *instructions_;
}

void TextPipeline::must_caption() const {
  if (!instructions_) require<Captioner>(*model_, "caption", "it has no text decoder that reads a picture alone; BLIP's and mPLUG's captioners, CoCa and OFA have one");
}

void TextPipeline::must_answer() const {
  if (!instructions_) require<Answerer>(*model_, "answer questions", "it has no decoder that reads a question; BLIP's and mPLUG's models for VQA and OFA have one");
}

void TextPipeline::must_rank() const {
  require<AnswerRanker>(*model_, "rank answers", instructions_ ? "it compares all answers of a set by itself (--score-all)"
                                                              : "it has no decoder that scores whole answers to a question; ALBEF's and mPLUG's models for VQA have one");
}

bool TextPipeline::matches() const { return instructions_ || dynamic_cast<Matcher*>(model_.get()); }

GenerateOptions TextPipeline::caption_search() const {
  const auto* captioner = dynamic_cast<Captioner*>(model_.get());
  return instructions_ ? instruct::caption_search() : GenerateOptions::usual(captioner ? captioner->usual_caption_search() : UsualSearch{});
}

GenerateOptions TextPipeline::answer_search() const {
  const auto* answerer = dynamic_cast<Answerer*>(model_.get());
  return instructions_ ? instruct::answer_search() : GenerateOptions::usual(answerer ? answerer->usual_answer_search() : UsualSearch{});
}

void TextPipeline::count_batch() const {
  if (frozen_ && ++batches_ == 2) pack_for_inference(*model_);
}

const Tokenizer& TextPipeline::tokenizer() const {
  if (!tokenizer_) fail("there is no tokenizer beside this model");
  return *tokenizer_;
}

PictureStream TextPipeline::stream(ReadPicture read, PictureFailed failed) const {
  return PictureStream(preprocess_, size_.first, size_.second, options_.batch_size, options_.threads, std::move(read), std::move(failed));
}

PictureBatch TextPipeline::decode(const std::vector<std::filesystem::path>& files) const {
  const PictureFailed failed = [](const std::string& name, const std::string& reason) { fail(name, ": ", reason); };
  PictureStream all(preprocess_, size_.first, size_.second, static_cast<int64_t>(files.size()), options_.threads, read_files(files, failed), failed);
  PictureBatch batch;
  if (!all.next(batch)) fail("no pictures to look at");
  return batch;
}

Tensor TextPipeline::decode_video(const std::filesystem::path& video, int64_t frames) const {
  require<VideoModel>(*model_, "look at videos", "it takes one picture at a time; mPLUG takes several frames");
  return read_video(video, frames, preprocess_.options()).unsqueeze(0);
}

std::vector<GeneratedText> TextPipeline::texts_of(const Tensor& ids, const std::vector<double>& scores, const GenerationTokens& tokens,
                                                  bool past_end) const {
  std::vector<GeneratedText> out;
  const Tensor rows = ids.contiguous();
  for (int64_t i = 0; i < rows.size(0); ++i) {
    GeneratedText text;
    const int64_t* row = rows.const_data_ptr<int64_t>() + i * rows.size(1);
    for (int64_t k = 0; k < rows.size(1); ++k) {
      if (k > 0 && row[k] == tokens.end && !past_end) break;
      if (row[k] != tokens.begin && row[k] != tokens.pad && row[k] != tokens.end) text.ids.push_back(row[k]);
    }
    text.score = scores.empty() ? 0 : scores[static_cast<size_t>(i)];
    if (tokenizer_) text.text = tokenizer_->caption_of(text.ids);
    while (!text.text.empty() && text.text.back() == ' ') text.text.pop_back();
    text.text.erase(0, std::min(text.text.find_first_not_of(' '), text.text.size()));
    out.push_back(std::move(text));
  }
  return out;
}

std::vector<GeneratedText> TextPipeline::caption(const Tensor& pixels, const CaptionOptions& options) const {
  must_caption();
  const GenerateOptions search = options.generate.value_or(caption_search());
  if (instructions_ && !options.legacy_coca) return instruct::caption(*instructions_, pixels, search, options.prompt);
  if (options.legacy_coca && model_->family() != "coca") fail_usage("the legacy search is CoCa's; this is a ", model_->family(), " model");
  auto& captioner = dynamic_cast<Captioner&>(*model_);
  count_batch();
  const c10::InferenceMode inference;
  const GenerationTokens tokens = captioner.generation_tokens();
  Tensor prompt = begin_prompt(pixels.size(0), tokens);
  if (!options.prompt.empty()) {
    auto ids = tokenizer().encode(options.prompt);
    ids.insert(ids.begin(), tokens.begin);
    prompt = at::tensor(ids, at::kLong).unsqueeze(0).repeat({pixels.size(0), 1});
  } else if (const auto* videos = pixels.dim() == 5 ? dynamic_cast<VideoModel*>(model_.get()) : nullptr) {
    if (const Tensor ids = videos->video_prompt(); ids.defined()) prompt = ids.unsqueeze(0).repeat({pixels.size(0), 1});
  }
  const auto state = captioner.begin_caption(pixels);
  if (!options.legacy_coca) {
    const Generated found = generate(*state, prompt, {}, tokens, search);
    return texts_of(found.ids, found.scores, tokens, search.rules == "mplug");
  }
  CocaSearchOptions legacy;
  legacy.seq_len = std::min(tokens.max_length, prompt.size(1) + search.max_new_tokens);
  if (search.min_length > 0) legacy.min_seq_len = search.min_length;
  legacy.repetition_penalty = search.repetition_penalty;
  return texts_of(coca_search(*state, prompt, tokens, legacy), {}, tokens);
}

std::vector<GeneratedText> TextPipeline::answer(const Tensor& pixels, const std::vector<std::string>& questions, const AnswerOptions& options) const {
  must_answer();
  GenerateOptions search = options.generate.value_or(answer_search());
  if (instructions_) {
    if (options.enc_token) fail_usage("[ENC] is BLIP's; this is a ", model_->family(), " model");
    if (options.rank > 0) must_rank();
    return instruct::answer(*instructions_, pixels, questions,
                            {.search = instruct::search_of(search), .prompt = options.prompt, .answers = options.answers, .score_all = options.score_all},
                            options.objects);
  }
  if (options.score_all || options.prompt != ofa_instruction::Prompt::none || !options.objects.empty()) {
    fail_usage("scoring all answers, prompts of the decoder and lists of objects are for models that take instructions; this is a ", model_->family(), " model");
  }
  auto& answerer = dynamic_cast<Answerer&>(*model_);
  count_batch();
  if (static_cast<int64_t>(questions.size()) != pixels.size(0)) fail("there are ", questions.size(), " questions for ", pixels.size(0), " pictures");
  const c10::InferenceMode inference;
  const GenerationTokens tokens = answerer.generation_tokens();
  const AnswerWording wording = answerer.answer_wording();
  std::vector<std::string> asked;
  for (const auto& question : questions) asked.push_back(clean_question(wording.questions, question, 50));
  const auto [ids, mask] = encode(asked);
  if (options.rank > 0) {
    if (options.enc_token) fail_usage("[ENC] is BLIP's, whose answers are searched for and not ranked");
    return ranked_answers(pixels, {ids, mask}, options, wording.ends);
  }
  if (options.enc_token) {
    const auto enc = tokenizer().piece_to_id("[ENC]");
    if (!enc) fail("the tokenizer has no [ENC], which the original BLIP code puts in front of a question");
    ids.select(1, 0).fill_(*enc);
  }
  if (!options.answers.empty()) {
    std::vector<std::vector<int64_t>> allowed;
    for (const auto& answer : options.answers) allowed.push_back(tokenizer().encode(answer));
    search.allowed = allow_sequences(allowed, tokens.end);
  }
  // Questions of one length go together: padding of the question would be seen by BLIP's decoder, and an answer must not
  // depend on what else is asked.
  std::map<int64_t, std::vector<int64_t>> by_length;
  const Tensor lengths = mask.sum(1);
  for (int64_t row = 0; row < ids.size(0); ++row) by_length[lengths[row].item<int64_t>()].push_back(row);
  std::vector<GeneratedText> out(questions.size());
  for (const auto& [length, members] : by_length) {
    const Tensor rows = at::tensor(members, at::kLong);
    const bool all = by_length.size() == 1;
    const auto state = answerer.begin_answer(all ? pixels : pixels.index_select(0, rows), ids.index_select(0, rows).slice(1, 0, length), {});
    const Generated found = generate(*state, begin_prompt(rows.size(0), tokens), {}, tokens, search);
    auto texts = texts_of(found.ids, found.scores, tokens, search.rules == "mplug");
    for (size_t i = 0; i < members.size(); ++i) out[static_cast<size_t>(members[i])] = std::move(texts[i]);
  }
  return out;
}

std::vector<GeneratedText> TextPipeline::ranked_answers(const Tensor& pixels, const TextRows& questions, const AnswerOptions& options,
                                                        int64_t ends) const {
  must_rank();
  if (options.answers.empty()) fail_usage("ranking needs the answers to choose from: --answers FILE");
  const auto& ranker = dynamic_cast<AnswerRanker&>(*model_);
  const GenerationTokens tokens = dynamic_cast<Answerer&>(*model_).generation_tokens();
  const TextRows answers = answer_rows(tokenizer(), options.answers, tokens, ends);
  const auto [states, mask] = ranker.read_question(pixels, questions.ids, questions.mask);
  const RankedAnswers ranked = rank_answers(ranker, states, mask, answers.ids, answers.mask, {.k = options.rank});
  std::vector<GeneratedText> out;
  for (int64_t i = 0; i < pixels.size(0); ++i) {
    const auto best = static_cast<size_t>(ranked.ids[i][0].item<int64_t>());
    out.push_back({.text = options.answers[best], .ids = tokenizer().encode(options.answers[best]), .score = ranked.probabilities[i][0].item<double>()});
  }
  return out;
}

Tensor TextPipeline::embed_texts(const std::vector<std::string>& texts) const {
  auto& encoder = require<DualEncoder>(*model_, "embed texts", "it has no two towers");
  const c10::InferenceMode inference;
  return encoder.embed_texts(at::tensor(tokenizer().encode_batch(texts, encoder.context_length()), at::kLong).view({-1, encoder.context_length()}));
}

std::vector<double> TextPipeline::match(const Tensor& pixels, const std::vector<std::string>& texts) const {
  if (instructions_) return instruct::match(*instructions_, pixels, texts);
  auto& matcher = require<Matcher>(*model_, "match texts with pictures", "it has no image-text matching head");
  count_batch();
  if (static_cast<int64_t>(texts.size()) != pixels.size(0)) fail("there are ", texts.size(), " texts for ", pixels.size(0), " pictures");
  const c10::InferenceMode inference;
  const auto [ids, mask] = encode(texts);
  const Tensor probability = matcher.match(pixels, ids, mask).to(at::kFloat).contiguous();
  return {probability.const_data_ptr<float>(), probability.const_data_ptr<float>() + probability.numel()};
}

}  // namespace vlm
