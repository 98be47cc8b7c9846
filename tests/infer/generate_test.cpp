#include "vlm/infer/generate.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "temporary_folder.h"
#include "tiny_models.h"
#include "vlm/core/error.h"
#include "vlm/infer/coca_search.h"
#include "vlm/infer/logits.h"
#include "vlm/infer/text_pipeline.h"
#include "vlm/models/blip/blip.h"
#include "vlm/models/coca/coca.h"
#include "vlm/models/layers/fast_linear.h"

namespace vlm {
namespace generate_test {

/// A decoder that looks its logits up by the ids so far: a chain of Markov.
class Chain : public DecoderState {
 public:
  explicit Chain(std::vector<std::vector<float>> table, int64_t rows) : table_(std::move(table)), last_(static_cast<size_t>(rows), 0) {}
  Tensor step(const Tensor& ids, const Tensor&) override {
    const auto v = static_cast<int64_t>(table_.size());
    Tensor out = at::full({ids.size(0), v}, 0.0);
    for (int64_t r = 0; r < ids.size(0); ++r) {
      const auto& row = table_[static_cast<size_t>(ids[r][-1].item<int64_t>())];
      for (int64_t k = 0; k < v; ++k) out[r][k] = row[static_cast<size_t>(k)];
    }
    steps += 1;
    return out;
  }
  void select(const Tensor&) override {}
  int steps = 0;

 private:
  std::vector<std::vector<float>> table_;
  std::vector<int64_t> last_;
};

/// 0 pad, 1 start, 2 end, then words. Greedy takes 3 first, but 4 leads to the likelier text.
std::vector<std::vector<float>> garden_path() {
  std::vector<std::vector<float>> p(6, std::vector<float>(6, 1e-6F));
  p[1] = {1e-6F, 1e-6F, 1e-6F, 0.55F, 0.45F, 1e-6F};
  p[3] = {1e-6F, 1e-6F, 0.34F, 1e-6F, 0.33F, 0.33F};
  p[4] = {1e-6F, 1e-6F, 0.98F, 1e-6F, 1e-6F, 0.02F};
  p[5] = {1e-6F, 1e-6F, 0.98F, 1e-6F, 1e-6F, 1e-6F};
  for (auto& row : p) {
    for (auto& value : row) value = std::log(value);
  }
  return p;
}

const GenerationTokens tokens{.begin = 1, .end = 2, .pad = 0, .max_length = 10};

std::vector<int64_t> run(const GenerateOptions& options) {
  Chain chain(garden_path(), 1);
  const Tensor ids = generate(chain, begin_prompt(1, tokens), {}, tokens, options).ids.contiguous();
  return {ids.const_data_ptr<int64_t>(), ids.const_data_ptr<int64_t>() + ids.numel()};
}

using Ids = std::vector<int64_t>;

std::unique_ptr<Model> blip(const std::string& architecture) {
  return make_model("blip", Config::parse(testing::tiny_blip_config(architecture), "test"), 11);
}

}  // namespace generate_test

TEST(Generate, GreedyFollowsTheBestNextIdAndStopsAtTheEnd) {
  EXPECT_EQ(generate_test::run(GenerateOptions::beam(1, 8)), (generate_test::Ids{1, 3, 2}));
}

TEST(Generate, BeamsFindWhatGreedyMisses) {
  EXPECT_EQ(generate_test::run(GenerateOptions::beam(2, 8)), (generate_test::Ids{1, 4, 2}));
}

TEST(Generate, TheLeastLengthKeepsTheEndAway) {
  GenerateOptions options = GenerateOptions::beam(1, 8);
  options.min_new_tokens = 3;
  const auto ids = generate_test::run(options);
  EXPECT_EQ(std::count(ids.begin(), ids.end() - 1, 2), 0);
  EXPECT_EQ(ids.size(), 5U);
}

TEST(Generate, OnlyAllowedSequencesComeOut) {
  for (const int64_t beams : {1, 2}) {
    GenerateOptions options = GenerateOptions::beam(beams, 8);
    options.allowed = allow_sequences({{3, 5}, {5, 5}}, 2);
    EXPECT_EQ(generate_test::run(options), (generate_test::Ids{1, 3, 5, 2})) << beams;
  }
}

TEST(Generate, NoNgramComesTwice) {
  std::vector<float> scores(6, 0.0F);
  block_ngrams(scores.data(), {3, 4, 5, 3, 4}, 3);
  EXPECT_TRUE(std::isinf(scores[5]));
  EXPECT_EQ(std::count_if(scores.begin(), scores.end(), [](float s) { return std::isinf(s); }), 1);
}

TEST(Generate, TheNucleusIsTheSmallestSetThatReachesItsProbability) {
  std::vector<float> scores = {std::log(0.5F), std::log(0.3F), std::log(0.15F), std::log(0.05F)};
  keep_top_p(scores.data(), 4, 0.7);
  EXPECT_FALSE(std::isinf(scores[1]));
  EXPECT_TRUE(std::isinf(scores[2]));
  EXPECT_TRUE(std::isinf(scores[3]));
}

TEST(Generate, SamplingRepeatsWithItsSeedAndVariesWithout) {
  GenerateOptions options = GenerateOptions::beam(1, 6);
  options.sample = true;
  options.temperature = 3;
  std::set<generate_test::Ids> found;
  for (int64_t seed = 0; seed < 20; ++seed) {
    options.seed = seed;
    const auto first = generate_test::run(options);
    EXPECT_EQ(first, generate_test::run(options));
    found.insert(first);
  }
  EXPECT_GT(found.size(), 3U);
}

TEST(Generate, OptionsThatContradictEachOtherAreRefused) {
  GenerateOptions options = GenerateOptions::beam(3, 5);
  options.sample = true;
  EXPECT_THROW(generate_test::run(options), Error);
  options = GenerateOptions::beam(1, 5);
  options.early_stopping = "sometimes";
  EXPECT_THROW(generate_test::run(options), Error);
}

// The caches are an optimisation: whatever was fed in one piece or token by token, the logits are those of the whole text.
TEST(Decoding, TokenByTokenGivesTheLogitsOfTheWholeText) {
  const auto model = generate_test::blip("BlipForConditionalGeneration");
  auto& captioner = dynamic_cast<BlipCaptioner&>(*model);
  const c10::InferenceMode inference;
  const Tensor pixels = at::randn({2, 3, 32, 32}), ids = at::randint(3, 30, {2, 7}, at::kLong);
  const Tensor whole = captioner.text_decoder->forward(ids, {}, captioner.encode_image(pixels));
  const auto state = captioner.begin_caption(pixels);
  EXPECT_TRUE(at::allclose(state->step(ids.slice(1, 0, 3)), whole.select(1, 2), 1e-4, 1e-5));
  for (int64_t i = 3; i < 7; ++i) EXPECT_TRUE(at::allclose(state->step(ids.slice(1, i, i + 1)), whole.select(1, i), 1e-4, 1e-5)) << i;
}

TEST(Decoding, CocaTokenByTokenGivesTheLogitsOfTheWholeText) {
  const auto model = make_model("coca", Config::parse(testing::tiny_coca, "test"), 3);
  auto& coca = dynamic_cast<CocaModel&>(*model);
  const c10::InferenceMode inference;
  const Tensor pixels = at::randn({2, 3, 16, 16}), ids = at::randint(1, 38, {2, 6}, at::kLong);
  const Tensor whole = coca.forward(pixels, ids, false).logits;
  const auto state = coca.begin_caption(pixels);
  for (int64_t i = 0; i < 6; ++i) EXPECT_TRUE(at::allclose(state->step(ids.slice(1, i, i + 1)), whole.select(1, i), 1e-4, 1e-5)) << i;
}

TEST(Decoding, RowsOfAPictureShareItsKeysInAnyOrder) {
  const auto model = generate_test::blip("BlipForConditionalGeneration");
  auto& captioner = dynamic_cast<BlipCaptioner&>(*model);
  const c10::InferenceMode inference;
  const Tensor pixels = at::randn({2, 3, 32, 32}), ids = at::randint(3, 30, {4, 4}, at::kLong);
  const auto together = captioner.begin_caption(pixels);
  together->step(at::full({2, 1}, 28, at::kLong));
  together->select(at::tensor({0, 0, 1, 1}, at::kLong));
  together->step(ids.slice(1, 0, 1));
  together->select(at::tensor({1, 0, 3, 3}, at::kLong));
  const Tensor logits = together->step(ids.slice(1, 1, 2));
  const int64_t history[] = {1, 0, 3, 3};
  for (int64_t row = 0; row < 4; ++row) {
    const auto alone = captioner.begin_caption(pixels.slice(0, row / 2, row / 2 + 1));
    alone->step(at::full({1, 1}, 28, at::kLong));
    alone->step(ids.slice(0, history[row], history[row] + 1).slice(1, 0, 1));
    EXPECT_TRUE(at::allclose(alone->step(ids.slice(0, row, row + 1).slice(1, 1, 2))[0], logits[row], 1e-4, 1e-5)) << row;
  }
}

TEST(Decoding, ABatchOfPicturesGivesWhatEachGivesAlone) {
  const auto model = generate_test::blip("BlipForConditionalGeneration");
  auto& captioner = dynamic_cast<BlipCaptioner&>(*model);
  const Tensor pixels = at::randn({3, 3, 32, 32});
  const GenerationTokens tokens = captioner.generation_tokens();
  const auto options = GenerateOptions::beam(3, 8);
  const c10::InferenceMode inference;
  const Generated all = generate(*captioner.begin_caption(pixels), begin_prompt(3, tokens), {}, tokens, options);
  for (int64_t i = 0; i < 3; ++i) {
    const Generated one = generate(*captioner.begin_caption(pixels.slice(0, i, i + 1)), begin_prompt(1, tokens), {}, tokens, options);
    EXPECT_TRUE(at::equal(all.ids[i].slice(0, 0, one.ids.size(1)), one.ids[0])) << i;
    EXPECT_NEAR(all.scores[static_cast<size_t>(i)], one.scores[0], 1e-4);
  }
}

TEST(InferenceLinear, AgreesWithThePlainProductForAnyShape) {
  const c10::InferenceMode inference;
  for (const int64_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 13, 16, 17, 40}) {
    for (const int64_t in : {1, 7, 8, 33, 64}) {
      for (const int64_t out : {1, 2, 3, 5, 12, 257}) {
        const Tensor x = at::randn({rows, in}), w = at::randn({out, in}), b = at::randn({out});
        EXPECT_TRUE(at::allclose(fast_linear(x, w, b), at::linear(x, w, b), 1e-4, 1e-4)) << rows << " " << in << " " << out;
        EXPECT_TRUE(at::allclose(fast_linear(x, w, {}), at::linear(x, w), 1e-4, 1e-4)) << rows << " " << in << " " << out;
        EXPECT_TRUE(at::allclose(fast_linear(x, w, b, pack_weight(w)), at::linear(x, w, b), 1e-4, 1e-4)) << rows << " " << in << " " << out;
      }
    }
  }
}

TEST(InferenceLinear, GradientsGoThroughThePlainProduct) {
  const Tensor x = at::randn({2, 8}).requires_grad_(), w = at::randn({3, 8}).requires_grad_();
  fast_linear(x, w, {}).sum().backward();
  EXPECT_TRUE(x.grad().defined());
  EXPECT_TRUE(w.grad().defined());
}

TEST(InferenceLinear, APackedModelGivesTheSameVectors) {
  const auto model = make_model("coca", Config::parse(testing::tiny_coca, "test"), 3);
  auto& encoder = require<DualEncoder>(*model, "embed", "");
  const c10::InferenceMode inference;
  const Tensor pixels = at::randn({5, 3, 16, 16});
  const Tensor before = encoder.embed_images(pixels);
  pack_for_inference(*model);
  EXPECT_TRUE(at::allclose(encoder.embed_images(pixels), before, 1e-4, 1e-5));
}

TEST(TextPipeline, FoldersOfAllThreeKindsOfBlipWorkAsTheyLie) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_blip(folder / "caption", "BlipForConditionalGeneration");
  testing::write_tiny_blip(folder / "vqa", "BlipForQuestionAnswering");
  testing::write_tiny_blip(folder / "itm", "BlipForImageTextRetrieval");
  const Tensor pixels = at::randn({2, 3, 32, 32});
  const TextPipeline captioner = TextPipeline::load(folder / "caption"), answerer = TextPipeline::load(folder / "vqa"), matcher = TextPipeline::load(folder / "itm");
  CaptionOptions caption;
  caption.prompt = "a red";
  caption.generate = captioner.caption_search();
  caption.generate->min_new_tokens = 2;
  for (const auto& text : captioner.caption(pixels, caption)) EXPECT_EQ(text.text.rfind("a red ", 0), 0U) << text.text;
  AnswerOptions answer;
  answer.answers = {"two dogs", "green"};
  for (const auto& text : answerer.answer(pixels, {"what is it?", "what colour is the ball?"}, answer)) {
    EXPECT_TRUE(text.text == "two dogs" || text.text == "green") << text.text;
  }
  for (const double p : matcher.match(pixels, {"a cat", "two dogs and a ball"})) {
    EXPECT_GT(p, 0);
    EXPECT_LT(p, 1);
  }
  EXPECT_THROW(captioner.answer(pixels, {"what?", "what?"}), Error);
  EXPECT_THROW(matcher.caption(pixels), Error);
}

TEST(TextPipeline, AnAnswerDoesNotDependOnWhatElseIsAsked) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_blip(folder / "vqa", "BlipForQuestionAnswering");
  const TextPipeline answerer = TextPipeline::load(folder / "vqa");
  const Tensor pixels = at::randn({3, 3, 32, 32});
  const std::vector<std::string> questions = {"what is it?", "what colour is the big red ball on the sofa?", "what is it?"};
  const auto together = answerer.answer(pixels, questions);
  for (int64_t i = 0; i < 3; ++i) {
    const auto alone = answerer.answer(pixels.slice(0, i, i + 1), {questions[static_cast<size_t>(i)]});
    EXPECT_EQ(together[static_cast<size_t>(i)].ids, alone[0].ids) << i;
    EXPECT_NEAR(together[static_cast<size_t>(i)].score, alone[0].score, 1e-4);
  }
}

TEST(TextPipeline, ATokenizerOfAnotherModelIsRefused) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_blip(folder / "vqa", "BlipForQuestionAnswering");
  write_file_atomically(folder / "vqa" / "vocab.txt", testing::tiny_vocabulary() + "one\nmore\n");
  EXPECT_THROW(TextPipeline::load(folder / "vqa"), Error);
}

TEST(TextPipeline, ReadsTheOneFileThatNewerProcessorsWrite) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_blip(folder / "itm", "BlipForImageTextRetrieval");
  const std::string preprocessor = read_file(folder / "itm" / "preprocessor_config.json");
  write_file_atomically(folder / "itm" / "processor_config.json", R"({"processor_class": "BlipProcessor", "image_processor": )" + preprocessor + "}");
  std::filesystem::remove(folder / "itm" / "preprocessor_config.json");
  EXPECT_EQ(load_preprocess(folder / "itm").std, (std::vector<double>{0.25, 0.25, 0.25}));
}

TEST(TextPipeline, PaddingOfAShorterTextChangesNothing) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_blip(folder / "itm", "BlipForImageTextRetrieval");
  const TextPipeline matcher = TextPipeline::load(folder / "itm");
  const Tensor pixels = at::randn({1, 3, 32, 32});
  const auto alone = matcher.match(pixels, {"a cat"});
  const auto beside = matcher.match(pixels.repeat({2, 1, 1, 1}), {"a cat", "two dogs and a big blue ball on the sofa"});
  EXPECT_NEAR(alone[0], beside[0], 1e-6);
}

}  // namespace vlm
