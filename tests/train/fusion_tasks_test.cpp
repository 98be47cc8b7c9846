/// Objectives by which fusion models are fine-tuned (ALBEF, mPLUG).

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/full.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "error_of.h"
#include "temporary_folder.h"
#include "tiny_albef.h"
#include "tiny_mplug.h"
#include "vlm/eval/caption_reward.h"
#include "vlm/infer/mplug_search.h"
#include "vlm/losses/language_modeling.h"
#include "vlm/models/mplug/classifier.h"
#include "vlm/train/caption_scst_objective.h"
#include "vlm/train/sentence_objective.h"

namespace vlm {
namespace fusion_tasks_test {

std::shared_ptr<const Tokenizer> word_pieces(const std::string& type) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "vocab.txt", testing::tiny_vocabulary());
  write_file_atomically(folder / "config.json", R"({"model_type": ")" + type + R"("})");
  return load_tokenizer(folder.path());
}

/// An objective on a model, and what both need.
struct Lesson {
  std::unique_ptr<Communicator> communicator = make_single_communicator();
  std::shared_ptr<const Tokenizer> tokenizer;
  std::unique_ptr<Objective> objective;
};

Lesson lesson(Model& model, const std::string& name, const std::string& options) {
  Lesson out;
  out.tokenizer = word_pieces(model.family() == "mplug" ? "mplug" : "bert");
  out.objective = objectives().get(name)({model, out.tokenizer, *out.communicator}, Config::parse(options, "test"));
  return out;
}

/// Why an objective cannot be made.
std::string refusal(Model& model, const std::string& name, const std::string& options = "{}") {
  return testing::error_of([&] { lesson(model, name, options); });
}

double value(const std::vector<LossTerm>& terms) {
  double sum = 0;
  for (const auto& term : terms) sum += term.value.item<double>();
  return sum;
}

/// Loss before and after some steps on one batch.
std::pair<double, double> learn(Model& model, Objective& objective, const Batch& batch, int steps, double rate) {
  const double before = value(objective.losses(batch));
  for (int step = 0; step < steps; ++step) {
    objective.begin_step(step, steps);
    Tensor sum;
    for (const auto& term : objective.losses(batch)) sum = sum.defined() ? sum + term.value : term.value;
    sum.backward();
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model.trainable()) {
      if (!tensor.grad().defined()) continue;
      tensor.sub_(tensor.grad(), rate);
      tensor.mutable_grad().reset();
    }
  }
  return {before, value(objective.losses(batch))};
}

/// Three samples with all that the objectives ask for. side: of a picture; several are one below the other.
Batch samples(int64_t side, int64_t pictures = 1) {
  Batch batch;
  batch.images = at::randn({3, 3, pictures * side, side}, at::detail::createCPUGenerator(11));
  batch.texts = {"A red cat!", "The big dog sits on the sofa.", "two blue balls"};
  for (int64_t i = 0; i < 3; ++i) {
    Sample sample;
    sample.number = i;
    sample.key = std::to_string(i);
    sample.images.resize(static_cast<size_t>(pictures));
    sample.captions = {batch.texts[static_cast<size_t>(i)]};
    sample.question = "What is it?";
    sample.answers = {"a cat", "a big dog"};
    sample.weights = {0.6, 0.3};
    sample.label = i % 2;
    sample.box = std::array<double, 4>{2.0 + static_cast<double>(i), 1, 9, 12};
    batch.samples.push_back(sample);
    batch.numbers.push_back(i);
    batch.keys.push_back(sample.key);
  }
  return batch;
}

/// Decoded, of one colour.
std::shared_ptr<const Image> plain(uint8_t level, int height = 20, int width = 30) {
  Image image(height, width);
  std::fill(image.pixels.begin(), image.pixels.end(), level);
  return std::make_shared<const Image>(std::move(image));
}

PreprocessOptions plain_numbers(int64_t side) {
  PreprocessOptions out;
  out.size = {side};
  out.mean = {0, 0, 0};
  out.std = {1, 1, 1};
  return out;
}

}  // namespace fusion_tasks_test

TEST(FusionVqa, AlbefIsTaughtCleanedQuestionsAndAnswersWithTwoEnds) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_albef_of<AlbefAnswerer>(testing::tiny_albef_config(AlbefTask::vqa));
  const Lesson own = lesson(*model, "vqa", "{alpha: 0}");
  const Batch batch = samples(32);
  AnswerBatch in;
  in.pixels = batch.images;
  in.question = at::tensor({2, 14, 16, 17, 3}, at::kLong).repeat({3, 1});  // what is it, without the "?"
  in.question_mask = at::full({3, 5}, 1, at::kLong);
  in.row = at::tensor({0, 0, 1, 1, 2, 2}, at::kLong);
  in.answer = at::tensor({2, 5, 6, 3, 3, 0, 2, 5, 20, 7, 3, 3}, at::kLong).view({2, 6}).repeat({3, 1});
  in.answer_mask = in.answer.ne(0).to(at::kLong);
  const Tensor rows = next_token_row_losses(model->answer_logits(in), in.answer.masked_fill(in.answer.eq(0), -100));
  const double expected = (rows * at::tensor({0.6, 0.3, 0.6, 0.3, 0.6, 0.3}, at::kDouble)).sum().item<double>() / 3;
  EXPECT_NEAR(value(own.objective->losses(batch)), expected, 1e-4);
}

TEST(FusionVqa, CopiesTeachAfterARampAndFollow) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_albef_of<AlbefAnswerer>(testing::tiny_albef_config(AlbefTask::vqa));
  const Lesson own = lesson(*model, "vqa", "{momentum: 0.9}");
  own.objective->set_steps_per_epoch(10);
  own.objective->begin_step(5, 100);
  EXPECT_NEAR(own.objective->metrics().at(0).second, 0.2, 1e-12);
  const Tensor copy = model->text_decoder_m->bert->word_embeddings().clone();
  const auto [before, after] = learn(*model, *own.objective, samples(32), 30, 0.002);
  EXPECT_LT(after, before - 0.5);
  EXPECT_GT((model->text_decoder_m->bert->word_embeddings() - copy).abs().max().item<double>(), 1e-6);
}

TEST(FusionVqa, ATeacherNeedsCopiesAndHardTargets) {
  using namespace fusion_tasks_test;
  auto config = testing::tiny_albef_config(AlbefTask::vqa);
  const auto model = testing::tiny_albef(config);
  EXPECT_NE(refusal(*model, "vqa", "{label_smoothing: 0.1}").find("label_smoothing"), std::string::npos);
  EXPECT_NE(refusal(*model, "vqa", "{questions: other}").find("albef, mplug and none"), std::string::npos);
  config.momentum = false;
  const auto alone = testing::tiny_albef(config);
  EXPECT_EQ(refusal(*alone, "vqa"), "");
  EXPECT_NE(refusal(*alone, "vqa", "{alpha: 0.4}").find("no momentum copies"), std::string::npos);
  const auto mplug = testing::tiny_mplug("vqa", /*distill=*/true);
  EXPECT_EQ(refusal(*mplug, "vqa"), "");
  EXPECT_NE(refusal(*mplug, "vqa", "{alpha: 0.4}").find("no momentum copies"), std::string::npos);
}

TEST(SentenceObjectives, LossesFall) {
  using namespace fusion_tasks_test;
  const auto check = [](Model& model, const std::string& name, const Batch& batch, double rate, double fall = 0.2) {
    const Lesson own = lesson(model, name, "{}");
    const auto [before, after] = learn(model, *own.objective, batch, 80, rate);
    EXPECT_LT(after, before - fall) << model.family() << " " << name;
  };
  check(*testing::tiny_albef(testing::tiny_albef_config(AlbefTask::entailment)), "entail", samples(32), 0.003);
  check(*testing::tiny_albef(testing::tiny_albef_config(AlbefTask::nlvr)), "nlvr2", samples(32, 2), 0.003);
  check(*testing::tiny_mplug("entailment"), "entail", samples(16), 0.1);
  check(*testing::tiny_mplug("nlvr2"), "nlvr2", samples(16, 2), 0.1, 0.02);  // its head begins with small weights of many features
}

TEST(SentenceObjectives, TwoPicturesOfARowAreTheFirstAndTheSecondOfTheModel) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_albef_of<AlbefClassifier>(testing::tiny_albef_config(AlbefTask::nlvr));
  const Lesson own = lesson(*model, "nlvr2", "{alpha: 0}");
  Batch batch = samples(32, 2);
  batch.texts = {"a red cat", "a red cat", "a red cat"};
  const Tensor pixels = at::cat({batch.images.slice(2, 0, 32), batch.images.slice(2, 32, 64)});
  const Tensor ids = at::tensor({2, 5, 11, 6, 3}, at::kLong).repeat({3, 1});
  const Tensor expected = at::cross_entropy_loss(model->logits(pixels, ids, ids.ne(0)), at::tensor({0, 1, 0}, at::kLong));
  EXPECT_NEAR(value(own.objective->losses(batch)), expected.item<double>(), 1e-5);
}

TEST(SentenceObjectives, PicturesAreStackedAndChangePlacesWithTheirWords) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_mplug("nlvr2");
  const Lesson own = lesson(*model, "nlvr2", "{swap: true}");
  EXPECT_EQ(own.objective->pictures(), 2);
  EXPECT_EQ(own.objective->image_size_of("train"), (std::pair<int64_t, int64_t>{32, 16}));
  const PrepareSample prepare = own.objective->preparation("train", {}, plain_numbers(16));
  Sample sample = samples(16, 2).samples[0];
  sample.further = {plain(255)};
  int swapped = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::vector<float> pixels(3 * 32 * 16, -1);
    std::string text = "The left one.";
    SplitMix64 random(seed);
    prepare(sample, *plain(0), random, pixels.data(), text);
    const bool exchanged = pixels[0] > 0.5F;
    swapped += exchanged;
    for (size_t channel = 0; channel < 3; ++channel) {
      for (size_t i = 0; i < 2; ++i) {
        for (size_t p = 0; p < 16 * 16; ++p) ASSERT_NEAR(pixels[(2 * channel + i) * 256 + p], (i == 1) != exchanged ? 1 : 0, 1e-6);
      }
    }
    EXPECT_EQ(text, exchanged ? "the right one" : "The left one.");
  }
  EXPECT_GT(swapped, 15);
  EXPECT_LT(swapped, 45);
}

TEST(SentenceObjectives, SamplesWithoutALabelOrAPictureAreLeftOut) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_mplug("nlvr2");
  const Lesson own = lesson(*model, "nlvr2", "{}");
  Sample sample = samples(16, 2).samples[0];
  EXPECT_NO_THROW(own.objective->check(sample, "a cat"));
  sample.label = 2;
  EXPECT_THROW(own.objective->check(sample, "a cat"), SampleError);
  sample.label.reset();
  EXPECT_THROW(own.objective->check(sample, "a cat"), SampleError);
  sample = samples(16, 1).samples[0];
  EXPECT_THROW(own.objective->check(sample, "a cat"), SampleError);
}

TEST(SentenceObjectives, OtherModelsAreToldWhatTheyLack) {
  using namespace fusion_tasks_test;
  const auto two = testing::tiny_albef(testing::tiny_albef_config(AlbefTask::nlvr));
  const auto one = testing::tiny_mplug("entailment");
  const auto aligner = testing::tiny_albef(testing::tiny_albef_config(AlbefTask::retrieval));
  EXPECT_NE(refusal(*two, "entail").find("2 classes of 2"), std::string::npos) << refusal(*two, "entail");
  EXPECT_NE(refusal(*one, "nlvr2").find("3 classes of 1"), std::string::npos) << refusal(*one, "nlvr2");
  EXPECT_NE(refusal(*aligner, "entail").find("no head with classes"), std::string::npos);
  EXPECT_NE(refusal(*two, "text_assignment").find("text_assignment"), std::string::npos);
  EXPECT_NE(refusal(*one, "entail", "{alpha: 0.4}").find("no momentum copies"), std::string::npos);
  EXPECT_NE(refusal(*one, "entail", "{swap: true}").find("two pictures"), std::string::npos);
}

TEST(TextAssignment, LossFallsAndOnePictureAloneTeachesNothing) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_albef(testing::tiny_albef_config(AlbefTask::text_assignment));
  const Lesson own = lesson(*model, "text_assignment", "{}");
  const Batch batch = samples(32);
  // Pairs are drawn at every step, so the mean over several draws is what falls.
  const auto mean = [&] {
    double sum = 0;
    for (int i = 0; i < 20; ++i) sum += value(own.objective->losses(batch)) / 20;
    return sum;
  };
  const double before = mean();
  learn(*model, *own.objective, batch, 60, 0.002);
  EXPECT_LT(mean(), before - 0.1);
  Batch alone = samples(32);
  alone.images = alone.images.slice(0, 0, 1);
  alone.texts.resize(1);
  alone.samples.resize(1);
  alone.numbers.resize(1);
  EXPECT_EQ(value(own.objective->losses(alone)), 0);
}

TEST(MplugGround, LossFallsAndBoxesGoWithTheirPictures) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_mplug("grounding");
  const Lesson own = lesson(*model, "mplug_ground", "{own_weights: true, augment: {crop: 0, jitter: 0}}");
  const auto [before, after] = learn(*model, *own.objective, samples(16), 40, 0.1);
  EXPECT_LT(after, before * 0.7);
  EXPECT_GE(own.objective->metrics().at(0).second, 0);

  const PrepareSample prepare = own.objective->preparation("train", {}, plain_numbers(16));
  Sample sample = samples(16).samples[0];
  std::vector<float> pixels(3 * 16 * 16);
  std::string text = "The left CAT";
  SplitMix64 random(4);
  sample.box = std::array<double, 4>{3, 2, 15, 10};
  prepare(sample, *plain(9), random, pixels.data(), text);
  EXPECT_TRUE(text == "the left cat" || text == "the right cat") << text;
  for (const double x : *sample.box) EXPECT_TRUE(x >= 0 && x <= 16);
  sample.box = std::array<double, 4>{40, 2, 50, 10};
  EXPECT_THROW(prepare(sample, *plain(9), random, pixels.data(), text), SampleError);
  sample.box.reset();
  EXPECT_THROW(own.objective->check(sample, "a cat"), SampleError);
  const auto captioner = testing::tiny_mplug("caption");
  EXPECT_NE(refusal(*captioner, "mplug_ground").find("does not write boxes"), std::string::npos);
}

TEST(CaptionScst, ScoresAreThoseOfTheSearch) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_mplug("caption");
  auto& captioner = dynamic_cast<Captioner&>(*model);
  const Tensor pixels = samples(16).images;
  const at::NoGradGuard no_grad;
  GenerateOptions search;
  search.beams = 3;
  search.length_penalty = 0.6;
  search.min_new_tokens = 2;
  const Tensor prompt = at::tensor({2, 5}, at::kLong).repeat({3, 1});
  const auto found = mplug_search(*captioner.begin_caption(pixels), prompt, {}, captioner.generation_tokens(), search, 6, 3);
  std::vector<std::vector<int64_t>> texts;
  std::vector<int64_t> row;
  std::vector<float> expected;
  for (size_t i = 0; i < found.size(); ++i) {
    for (const auto& text : found[i]) {
      texts.push_back(text.ids);
      row.push_back(static_cast<int64_t>(i));
      expected.push_back(text.score);
    }
  }
  const Tensor scores = caption_scores(dynamic_cast<CaptionTrainable&>(*model), pixels, texts, row, 2, 0.6);
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(scores[static_cast<int64_t>(i)].item<double>(), expected[i], 1e-4);
}

TEST(CaptionScst, WhatScoresBetterThanTheMeanBecomesLikelier) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_mplug("caption");
  auto& captioner = dynamic_cast<Captioner&>(*model);
  Batch batch = samples(16);
  GenerateOptions search;
  search.beams = 2;
  search.length_penalty = 0.6;
  search.min_new_tokens = 3;
  std::vector<std::vector<RankedText>> found;
  {
    const at::NoGradGuard no_grad;
    found = mplug_search(*captioner.begin_caption(batch.images), begin_prompt(3, captioner.generation_tokens()), {}, captioner.generation_tokens(), search, 4, 2);
  }
  const auto tokenizer = word_pieces("mplug");
  // The first picture's reference is what its second hypothesis says; the others have words that nobody wrote, so that what the first one's
  // have in common is rare.
  std::vector<int64_t> words;
  for (const int64_t id : found[0][1].ids) {
    if (id > 4) words.push_back(id);
  }
  batch.samples[0].captions = {words.empty() ? "a cat" : tokenizer->caption_of(words)};
  for (size_t i = 1; i < 3; ++i) batch.samples[i].captions = {"zebras"};
  const Lesson own = lesson(*model, "caption_scst", "{beams: 2, min_new_tokens: 3, max_new_tokens: 4, document_frequency: corpus}");
  const auto margin = [&] {
    const at::NoGradGuard no_grad;
    std::vector<std::vector<int64_t>> texts;
    for (const auto& texts_of : found) {
      for (const auto& text : texts_of) texts.push_back(text.ids);
    }
    const Tensor scores = caption_scores(dynamic_cast<CaptionTrainable&>(*model), batch.images, texts, {0, 0, 1, 1, 2, 2}, 1, 0.6).view({3, 2});
    return (scores[0][1] - scores[0][0]).item<double>();
  };
  const double before = margin();
  const auto terms = own.objective->losses(batch);
  ASSERT_EQ(terms.size(), 1U);
  EXPECT_EQ(terms[0].count, 6);
  terms[0].value.backward();
  double moved = 0;
  {
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model->trainable()) {
      if (!tensor.grad().defined()) continue;
      moved += tensor.grad().abs().sum().item<double>();
      tensor.sub_(tensor.grad(), 0.05);
    }
  }
  EXPECT_GT(moved, 0) << "the hypotheses of no picture differ in their reward";
  EXPECT_GT(margin(), before);
}

TEST(CaptionScst, NeedsACaptionerTwoBeamsAndFrequencies) {
  using namespace fusion_tasks_test;
  const auto model = testing::tiny_mplug("caption"), retriever = testing::tiny_mplug("retrieval");
  EXPECT_NE(refusal(*model, "caption_scst").find("vlm data ngrams CAPTIONS --for caption_scst --out FILE"), std::string::npos);
  const testing::TemporaryFolder folder;
  const std::string file = (folder / "df.json").string(), options = "{beams: 2, document_frequency: '" + file + "'}";
  write_document_frequency(file, count_reward_frequency({{"a dog"}, {"a cat"}}));
  EXPECT_NE(refusal(*model, "caption_scst", options).find("was counted for the objective ofa_scst"), std::string::npos);
  write_document_frequency(file, count_document_frequency({{"a dog"}, {"a cat"}}));
  EXPECT_EQ(refusal(*model, "caption_scst", options), "");
  EXPECT_NE(refusal(*model, "caption_scst", "{beams: 1, document_frequency: corpus}").find("at least 2"), std::string::npos);
  EXPECT_NE(refusal(*retriever, "caption_scst", "{document_frequency: corpus}").find("no text decoder"), std::string::npos);
}

}  // namespace vlm
