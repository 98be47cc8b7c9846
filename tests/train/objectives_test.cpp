#include "vlm/train/objective.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "error_of.h"
#include "temporary_folder.h"
#include "thread_communicator.h"
#include "tiny_models.h"
#include "vlm/losses/latent_structure.h"
#include "vlm/models/trainable.h"
#include "vlm/text/sentencepiece_trainer.h"
#include "vlm/train/vqa_objective.h"

namespace vlm {
namespace objectives_test {

constexpr const char* tiny_towers = R"(
embed_dim: 16
vision_cfg: {image_size: 16, patch_size: 8, width: 16, layers: 1, head_width: 8}
text_cfg: {context_length: 8, vocab_size: 40, width: 16, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
)";

/// The same with a projection of its own on each.
std::string separating_towers() { return std::string(tiny_towers) + "independent_features: true\n"; }

/// An augmented view that is the first one again.
constexpr const char* same_view = "second_view: {crop: 1, flip: 0, delete_words: 0, swap_words: 0}";

const std::vector<std::string>& words() {
  static const std::vector<std::string> out = {"a red cat", "a big dog", "the blue ball", "a cat on the sofa", "a red ball", "two green dogs"};
  return out;
}

std::shared_ptr<const Tokenizer> pieces() {
  static const std::shared_ptr<const Tokenizer> tokenizer = [] {
    const testing::TemporaryFolder folder;
    write_file_atomically(folder / "tokenizer.model", train_sentencepiece(words(), {.vocab_size = 40}));
    return load_tokenizer(folder / "tokenizer.model");
  }();
  return tokenizer;
}

std::shared_ptr<const Tokenizer> word_pieces() {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "vocab.txt", testing::tiny_vocabulary());
  write_file_atomically(folder / "config.json", R"({"model_type": "blip"})");
  return load_tokenizer(folder.path());
}

std::unique_ptr<Model> make(const std::string& family, const std::string& config) {
  return make_model(family, Config::parse(config, "test"), 3);
}

Config options(const std::string& yaml) { return Config::parse(yaml, "options"); }

/// Rows [first, first + rows) of a batch that never changes.
Batch batch_of(const Objective& objective, int64_t first, int64_t rows, int64_t side) {
  static const Tensor pictures = [] {
    at::Generator generator = at::detail::createCPUGenerator(5);
    return at::randn({6, 3, 32, 32}, generator);
  }();
  Batch batch;
  batch.images = pictures.slice(0, first, first + rows).slice(2, 0, side).slice(3, 0, side).contiguous();
  std::vector<int64_t> ids;
  for (int64_t i = first; i < first + rows; ++i) {
    // The last text is that of the first picture.
    const std::string text = words()[static_cast<size_t>(i % 5)];
    batch.texts.push_back(text);
    batch.numbers.push_back(i);
    Sample sample;
    sample.number = i;
    sample.question = "what is it?";
    sample.answers = {"a cat", "a dog"};
    sample.weights = {0.6, 0.3};
    batch.samples.push_back(sample);
    if (objective.text_length() > 0) {
      ids.resize(ids.size() + static_cast<size_t>(objective.text_length()));
      objective.tokenize(text, ids.data() + ids.size() - objective.text_length());
    }
  }
  batch.ids = at::tensor(ids, at::kLong).view({rows, -1});
  return batch;
}

using Gradients = std::map<std::string, Tensor>;

void collect(const Model& model, double share, Gradients& into) {
  for (const auto& [name, parameter] : model.trainable()) {
    if (!parameter.grad().defined()) continue;
    const Tensor part = parameter.grad() * share;
    into[name] = into.count(name) ? into[name] + part : part;
  }
}

/// Loss and gradients as a trainer makes them of the terms of all ranks.
std::pair<double, Gradients> step(const std::string& name, const std::string& family, const std::string& config, const std::string& yaml,
                                  const std::vector<int64_t>& rows, int64_t side) {
  const auto ranks = static_cast<int64_t>(rows.size());
  std::vector<std::unique_ptr<Model>> models;
  for (size_t r = 0; r < rows.size(); ++r) models.push_back(make(family, config));
  std::vector<double> losses(rows.size());
  testing::run_ranks(ranks, [&](Communicator& communicator) {
    const auto r = static_cast<size_t>(communicator.rank());
    int64_t first = 0;
    for (size_t before = 0; before < r; ++before) first += rows[before];
    const auto objective = objectives().get(name)({*models[r], pieces(), communicator}, options(yaml));
    Tensor sum;
    for (const auto& term : objective->losses(batch_of(*objective, first, rows[r], side))) {
      double total = 0;
      for (const double count : communicator.all_gather_number(term.count)) total += count;
      const Tensor part = term.value * (term.count * static_cast<double>(ranks) / total);
      sum = sum.defined() ? sum + part : part;
    }
    sum.backward();
    losses[r] = sum.item<double>() / static_cast<double>(ranks);
  });
  std::pair<double, Gradients> out;
  for (size_t r = 0; r < rows.size(); ++r) {
    out.first += losses[r];
    collect(*models[r], 1 / static_cast<double>(ranks), out.second);
  }
  return out;
}

void expect_equal(const std::pair<double, Gradients>& found, const std::pair<double, Gradients>& expected, const std::string& what) {
  EXPECT_NEAR(found.first, expected.first, 1e-5) << what;
  EXPECT_EQ(found.second.size(), expected.second.size()) << what;
  for (const auto& [name, gradient] : expected.second) {
    ASSERT_TRUE(found.second.count(name)) << what << ": " << name;
    EXPECT_TRUE(at::allclose(found.second.at(name), gradient, 1e-3, 2e-6)) << what << ": " << name;
  }
}

/// Some steps of plain gradient descent; the losses before the first and after the last.
std::pair<double, double> learn(Model& model, Objective& objective, const Batch& batch, int steps, double rate) {
  model.set_training(true);
  const auto loss_of = [&] {
    Tensor sum;
    for (const auto& term : objective.losses(batch)) sum = sum.defined() ? sum + term.value : term.value;
    return sum;
  };
  const double before = loss_of().item<double>();
  for (int i = 0; i < steps; ++i) {
    loss_of().backward();
    const at::NoGradGuard no_grad;
    for (auto& [name, parameter] : model.trainable()) {
      if (!parameter.grad().defined()) continue;
      Tensor(parameter).sub_(parameter.grad(), rate);
      Tensor(parameter).mutable_grad().reset();
    }
  }
  return {before, loss_of().item<double>()};
}

TEST(Objectives, OfPairsGiveOneProcessLossAndGradientOverAnyNumberOfRanks) {
  const struct {
    const char *name, *family;
    std::string config, options;
  } cases[] = {{"clip", "clip", objectives_test::tiny_towers, "{block_rows: 2, merge_equal_texts: true, label_smoothing: 0.1}"},
               {"clip", "clip", objectives_test::tiny_towers, "{contrastive_weight: 0.5, terms: {decoupled: 1, cyclic_consistency: 0.25}}"},
               {"clip", "clip", objectives_test::tiny_towers, "{contrastive_weight: 0, terms: {supervised_contrast: {temperature: 0.3}}}"},
               {"siglip", "siglip", objectives_test::tiny_towers, "{chunk_rows: 2}"},
               {"siglip", "siglip", objectives_test::tiny_towers, "{exchange: gather}"},
               {"siglip", "siglip", objectives_test::tiny_towers, "{terms: {decoupled: 1, cyclic_consistency: 0.25}}"},
               {"coca", "coca", testing::tiny_coca, "{block_rows: 2}"},
               {"coca", "coca", testing::tiny_coca, "{terms: {hard_negative: 1, supervised_contrast: {temperature: 0.3}}}"},
               {"clip", "clip", separating_towers(), "{terms: {separation: 1}, " + std::string(objectives_test::same_view) + "}"}};
  for (const auto& c : cases) {
    const auto whole = objectives_test::step(c.name, c.family, c.config, c.options, {6}, 16);
    for (const auto& rows : std::vector<std::vector<int64_t>>{{3, 3}, {2, 2, 2}, {1, 3, 2}}) {
      objectives_test::expect_equal(objectives_test::step(c.name, c.family, c.config, c.options, rows, 16), whole, c.name);
    }
  }
}

TEST(ClipObjective, TermsOnAugmentedFeaturesAreDrawnFromTheStreamOfTheStepAndLearn) {
  const auto communicator = make_single_communicator();
  const auto model = make("clip", objectives_test::tiny_towers);
  const std::string terms = "{latent_contrast: 1, brownian_bridge: 1, geometric_consistency: 0.25}";
  const auto drawn = objectives().get("clip")({*model, objectives_test::pieces(), *communicator}, options("{terms: " + terms + "}"));
  const Batch batch = batch_of(*drawn, 0, 4, 16);
  const auto values = [&](uint64_t seed) {
    auto generator = at::detail::getDefaultCPUGenerator();
    generator.set_current_seed(seed);
    std::vector<double> out;
    for (const auto& term : drawn->losses(batch)) out.push_back(term.value.item<double>());
    return out;
  };
  EXPECT_EQ(values(1).size(), 4u);
  EXPECT_EQ(values(1), values(1));
  EXPECT_NE(values(1), values(2));
  const auto plain = objectives().get("clip")({*model, objectives_test::pieces(), *communicator},
                                              options("{terms: " + terms + ", second_view: {crop: 1, flip: 0, delete_words: 0, swap_words: 0}}"));
  const auto [before, after] = objectives_test::learn(*model, *plain, batch, 30, 0.02);
  EXPECT_LT(after, before - 0.1);
}

TEST(ClipObjective, SaysWhichTermsAModelCannotHaveAndThatNothingIsLearnt) {
  const auto communicator = make_single_communicator();
  const auto model = make("clip", objectives_test::tiny_towers);
  try {
    objectives().get("clip")({*model, objectives_test::pieces(), *communicator}, options("{terms: {separation: 1}}"));
    FAIL() << "features that the model does not have were made up";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("model.config.independent_features: true"), std::string::npos) << error.what();
  }
  EXPECT_THROW(objectives().get("clip")({*model, objectives_test::pieces(), *communicator}, options("{contrastive_weight: 0}")), Error);
}

TEST(ClipObjective, SeparatesWhatAModalityHasForItselfIfTheModelCan) {
  const auto communicator = make_single_communicator();
  const auto model = make("clip", separating_towers());
  auto& own = dynamic_cast<IndependentFeatures&>(*model);
  const auto objective = objectives().get("clip")({*model, objectives_test::pieces(), *communicator},
                                                  options(concat("{terms: {separation: {weight: 0.5, uniformity_t: 1}}, ", objectives_test::same_view, "}")));
  const Batch batch = batch_of(*objective, 0, 4, 16);
  const auto terms = objective->losses(batch);
  ASSERT_EQ(terms.size(), 2u);
  EXPECT_EQ(terms[1].name, "separation");
  const auto image = own.embed_images_with_own(batch.images), text = own.embed_texts_with_own(batch.ids);
  const Tensor temperature = 1 / dynamic_cast<DualEncoder&>(*model).logit_scale();
  const Tensor expected = feature_separation(image.first, text.first, image.second, text.second, image.second, text.second, temperature, 1).loss();
  EXPECT_NEAR(terms[1].value.item<double>(), 0.5 * expected.item<double>(), 1e-5);

  // Of the augmented view, which is drawn, come the own features only.
  const auto augmented = objectives().get("clip")({*model, objectives_test::pieces(), *communicator}, options("{terms: {separation: 0.5}}"));
  EXPECT_NE(augmented->losses(batch).at(1).value.item<double>(), terms[1].value.item<double>());

  const auto [before, after] = objectives_test::learn(*model, *objective, batch, 30, 0.02);
  EXPECT_LT(after, before - 0.1);
  for (auto& term : objective->losses(batch)) {
    if (term.name == "separation") term.value.backward();
  }
  std::set<std::string> reached;
  for (const auto& [name, parameter] : model->trainable()) {
    if (parameter.grad().defined() && parameter.grad().abs().sum().item<double>() > 0) reached.insert(name);
  }
  for (const char* name : {"vision_proj_ind.weight", "text_proj_ind.weight", "visual.proj", "text_projection"}) EXPECT_TRUE(reached.count(name)) << name;
}

TEST(Objectives, TermsOfSiglipAndCocaAreThoseOfTheirFeatures) {
  const auto communicator = make_single_communicator();
  const std::string yaml = concat("{terms: {geometric_consistency: 0.25, brownian_bridge: 2}, ", objectives_test::same_view, "}");
  for (const std::string name : {"siglip", "coca"}) {
    const auto model = make(name, name == "coca" ? testing::tiny_coca : objectives_test::tiny_towers);
    const auto objective = objectives().get(name)({*model, objectives_test::pieces(), *communicator}, options(yaml));
    const auto plain = objectives().get(name)({*model, objectives_test::pieces(), *communicator}, options("{}"));
    const Batch batch = batch_of(*objective, 0, 4, 16);
    std::map<std::string, double> values;
    for (const auto& term : objective->losses(batch)) values[term.name] = term.value.item<double>();
    for (const auto& term : plain->losses(batch)) EXPECT_NEAR(values.at(term.name), term.value.item<double>(), 1e-6) << name << ": " << term.name;
    EXPECT_EQ(values.size(), plain->losses(batch).size() + 2) << name;
    auto& encoder = dynamic_cast<DualEncoder&>(*model);
    const Tensor image = encoder.embed_images(batch.images), text = encoder.embed_texts(batch.ids);
    EXPECT_NEAR(values.at("geometric_consistency"), 0.25 * geometric_consistency(image, text, image, text).loss().item<double>(), 1e-5) << name;
    EXPECT_NEAR(values.at("brownian_bridge"), 2 * brownian_bridge(image, text, image).loss().item<double>(), 1e-5) << name;
    EXPECT_THROW(objectives().get(name)({*model, objectives_test::pieces(), *communicator}, options("{terms: {separation: 1}}")), Error) << name;
  }
}

TEST(Objectives, GradCacheChangesNoGradient) {
  for (const std::string name : {"clip", "siglip"}) {
    const auto whole = objectives_test::step(name, name, objectives_test::tiny_towers, "{}", {6}, 16);
    objectives_test::expect_equal(objectives_test::step(name, name, objectives_test::tiny_towers, "{grad_cache: 2}", {6}, 16), whole, name);
    objectives_test::expect_equal(objectives_test::step(name, name, objectives_test::tiny_towers, "{image_chunk: 1, text_chunk: 4}", {4, 2}, 16), whole, name);
  }
  // Own features come out of the same chunks.
  const auto separated = [](const std::string& more) {
    return objectives_test::step("clip", "clip", separating_towers(), concat("{terms: {separation: 1}, ", objectives_test::same_view, more, "}"), {6}, 16);
  };
  objectives_test::expect_equal(separated(", grad_cache: 2"), separated(""), "separation");
}

TEST(SiglipObjective, NewModelsBeginAtAScaleOfTenAndABiasOfMinusTen) {
  const auto model = make("siglip", objectives_test::tiny_towers);
  const auto& encoder = dynamic_cast<const DualEncoder&>(*model);
  EXPECT_NEAR(encoder.logit_scale().item<double>(), 10, 1e-4);
  EXPECT_NEAR(encoder.logit_bias().item<double>(), -10, 1e-6);
}

TEST(SiglipObjective, AModelWithoutABiasIsRefusedWithTheWayOut) {
  const auto model = make("clip", objectives_test::tiny_towers);
  const auto communicator = make_single_communicator();
  try {
    objectives().get("siglip")({*model, objectives_test::pieces(), *communicator}, options("{}"));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("init_logit_bias"), std::string::npos);
  }
}

TEST(CocaObjective, CountsTheIdsThatTheCaptionIsScoredOn) {
  const auto model = make("coca", testing::tiny_coca);
  const auto communicator = make_single_communicator();
  const auto objective = objectives().get("coca")({*model, objectives_test::pieces(), *communicator}, options("{}"));
  const Batch batch = batch_of(*objective, 0, 3, 16);
  const auto terms = objective->losses(batch);
  ASSERT_EQ(terms.size(), 2u);
  EXPECT_EQ(terms[0].count, 3);
  EXPECT_EQ(terms[1].name, "caption");
  EXPECT_EQ(terms[1].count, batch.ids.slice(1, 1).ne(0).sum().item<double>());
  const auto captions = objectives().get("coca")({*model, objectives_test::pieces(), *communicator}, options("{contrastive_weight: 0, caption_weight: 1}"));
  const auto alone = captions->losses(batch);
  ASSERT_EQ(alone.size(), 1u);
  EXPECT_NEAR(2 * alone[0].value.item<double>(), terms[1].value.item<double>(), 1e-5);
}

TEST(CaptionObjective, ScoresTheCaptionAndItsEndButNotThePrompt) {
  const auto model = make("blip", testing::tiny_blip_config("BlipForConditionalGeneration"));
  const auto communicator = make_single_communicator();
  const auto tokenizer = objectives_test::word_pieces();
  const auto objective = objectives().get("caption")({*model, tokenizer, *communicator}, options("{prompt: 'the big ', label_smoothing: 0}"));
  Batch batch;
  batch.images = at::randn({2, 3, 32, 32});
  batch.texts = {"red cat", "dog"};
  const auto terms = objective->losses(batch);
  ASSERT_EQ(terms.size(), 1u);
  EXPECT_EQ(terms[0].count, 2 + 1 + 1 + 1);
  // [DEC] the big red cat [SEP]; [DEC] the big dog [SEP] [PAD]
  const Tensor ids = at::tensor(std::vector<int64_t>{28, 9, 20, 11, 6, 3, 28, 9, 20, 7, 3, 0}, at::kLong).view({2, 6});
  const Tensor logits = dynamic_cast<CaptionTrainable&>(*model).caption_logits(batch.images, ids, ids.ne(0).to(at::kLong));
  double sum = 0;
  for (const auto& [row, place] : std::vector<std::pair<int64_t, int64_t>>{{0, 3}, {0, 4}, {0, 5}, {1, 3}, {1, 4}}) {
    sum -= logits[row][place - 1].log_softmax(0)[ids[row][place].item<int64_t>()].item<double>();
  }
  EXPECT_NEAR(terms[0].value.item<double>(), sum / 5, 1e-5);
}

TEST(CaptionObjective, TeachesBlipAndCoca) {
  const auto communicator = make_single_communicator();
  {
    const auto model = make("blip", testing::tiny_blip_config("BlipForConditionalGeneration"));
    const auto objective = objectives().get("caption")({*model, objectives_test::word_pieces(), *communicator}, options("{label_smoothing: 0}"));
    const auto [before, after] = objectives_test::learn(*model, *objective, batch_of(*objective, 0, 4, 32), 40, 0.3);
    EXPECT_LT(after, before - 1);
  }
  {
    const auto model = make("coca", std::string(testing::tiny_coca));
    const auto objective = objectives().get("caption")({*model, objectives_test::pieces(), *communicator}, options("{label_smoothing: 0}"));
    const auto [before, after] = objectives_test::learn(*model, *objective, batch_of(*objective, 0, 4, 16), 40, 0.3);
    EXPECT_LT(after, before - 1);
  }
}

TEST(CaptionObjective, APromptThatLeavesNoRoomIsAUsageError) {
  const auto model = make("blip", testing::tiny_blip_config("BlipForConditionalGeneration"));
  const auto communicator = make_single_communicator();
  EXPECT_THROW(objectives().get("caption")({*model, objectives_test::word_pieces(), *communicator}, options("{prompt: 'a big red cat', max_length: 5}")), Error);
  EXPECT_THROW(objectives().get("vqa")({*model, objectives_test::word_pieces(), *communicator}, options("{}")), Error);
}

TEST(VqaObjective, WeighsEveryAnswerOfAQuestion) {
  const auto model = make("blip", testing::tiny_blip_config("BlipForQuestionAnswering"));
  const auto communicator = make_single_communicator();
  const auto objective = objectives().get("vqa")({*model, objectives_test::word_pieces(), *communicator}, options("{label_smoothing: 0}"));
  const Batch batch = batch_of(*objective, 0, 2, 32);
  const auto terms = objective->losses(batch);
  EXPECT_EQ(terms.at(0).count, 2);
  double expected = 0;
  for (int64_t row = 0; row < 2; ++row) {
    for (size_t a = 0; a < 2; ++a) {
      Batch one = batch_of(*objective, row, 1, 32);
      one.samples[0].answers = {one.samples[0].answers[a]};
      one.samples[0].weights = {one.samples[0].weights[a]};
      expected += objective->losses(one).at(0).value.item<double>() / 2;
    }
  }
  EXPECT_NEAR(terms[0].value.item<double>(), expected, 1e-5);
}

TEST(VqaObjective, PaddingBesideALongerQuestionIsSeenAsInTheReferenceUnlessMasked) {
  const auto model = make("blip", testing::tiny_blip_config("BlipForQuestionAnswering"));
  const auto communicator = make_single_communicator();
  const auto objective = objectives().get("vqa")({*model, objectives_test::word_pieces(), *communicator}, options("{mask_question_padding: true}"));
  const auto seeing = objectives().get("vqa")({*model, objectives_test::word_pieces(), *communicator}, options("{}"));
  Batch both = batch_of(*objective, 0, 2, 32);
  both.samples[1].question = "what is the big red dog on the sofa?";
  double alone = 0;
  for (int64_t row = 0; row < 2; ++row) {
    Batch one = batch_of(*objective, row, 1, 32);
    one.samples[0].question = both.samples[static_cast<size_t>(row)].question;
    alone += objective->losses(one).at(0).value.item<double>() / 2;
  }
  EXPECT_NEAR(objective->losses(both).at(0).value.item<double>(), alone, 1e-5);
  EXPECT_GT(std::abs(seeing->losses(both).at(0).value.item<double>() - alone), 2e-5);
}

TEST(VqaObjective, TeachesBlipToAnswer) {
  const auto model = make("blip", testing::tiny_blip_config("BlipForQuestionAnswering"));
  const auto communicator = make_single_communicator();
  const auto objective = objectives().get("vqa")({*model, objectives_test::word_pieces(), *communicator}, options("{label_smoothing: 0, answers: one}"));
  const auto [before, after] = objectives_test::learn(*model, *objective, batch_of(*objective, 0, 4, 32), 40, 0.05);
  EXPECT_LT(after, before - 1);
}

TEST(TaughtAnswers, AreDrawnByWeightAndTheSameForTheSameStepAndSample) {
  Sample sample;
  sample.answers = {"yes", "no", "maybe"};
  sample.weights = {0.6, 0.3, 0.0};
  std::map<std::string, int> drawn;
  for (int64_t i = 0; i < 3000; ++i) {
    sample.number = i;
    const auto one = taught_answers(sample, true, 9);
    ASSERT_EQ(one.size(), 1u);
    EXPECT_NEAR(one[0].second, 0.9, 1e-12);
    EXPECT_EQ(one, taught_answers(sample, true, 9));
    ++drawn[one[0].first];
  }
  EXPECT_NEAR(drawn["yes"] / 3000.0, 2.0 / 3, 0.03);
  EXPECT_EQ(drawn["maybe"], 0);
  EXPECT_EQ(taught_answers(sample, false, 9).size(), 2u);
  sample.weights = {};
  EXPECT_NEAR(taught_answers(sample, false, 9).at(0).second, 1.0 / 3, 1e-12);
}

TEST(TaughtAnswers, ThatAreMissingOrWeighNothingSensibleAreNamedWithTheirSample) {
  Sample sample;
  sample.key = "q17";
  const auto message = [&] {
    return testing::error_of([&] { taught_answers(sample, false, 1); });
  };
  EXPECT_NE(message().find("q17"), std::string::npos);
  sample.answers = {"a", "b"};
  sample.weights = {1};
  EXPECT_NE(message().find("2 answers with 1 weights"), std::string::npos);
  sample.weights = {1, -1};
  EXPECT_NE(message().find("not negative"), std::string::npos);
  sample.weights = {0, 0};
  EXPECT_EQ(message(), "");
  EXPECT_EQ(taught_answers(sample, false, 1).at(0).second, 0);
}

}  // namespace objectives_test
}  // namespace vlm
