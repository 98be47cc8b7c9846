#include <ATen/ops/allclose.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <cmath>

#include "temporary_folder.h"
#include "tiny_models.h"
#include "vlm/core/error.h"
#include "vlm/data/image_encode.h"
#include "vlm/infer/instruction_tasks.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm {

namespace instruction_test {

/// A tiny OFA with drawn weights, made once for all tests.
class Instructions : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::TemporaryFolder;
    testing::write_tiny_ofa(*folder_ / "ofa");
    pipeline_ = new TextPipeline(TextPipeline::load(*folder_ / "ofa"));
  }
  static void TearDownTestSuite() {
    delete pipeline_;
    delete folder_;
  }
  static const InstructionPipeline& model() { return pipeline_->instructions("be tested"); }
  static Tensor pictures(int64_t count = 3) {
    at::manual_seed(3);
    return at::randn({count, 3, 32, 32});
  }
  /// A picture of this size that is squashed to 32 x 32.
  static PicturePlacement squashed(int height, int width) { return {{height, width}, 32.0f / static_cast<float>(width), 32.0f / static_cast<float>(height)}; }
  static double probability(const Tensor& scores, int64_t row, int64_t column) { return std::exp(scores[row][column].item<double>()); }

  static testing::TemporaryFolder* folder_;
  static TextPipeline* pipeline_;
};
testing::TemporaryFolder* Instructions::folder_ = nullptr;
TextPipeline* Instructions::pipeline_ = nullptr;

}  // namespace instruction_test

using instruction_test::Instructions;

TEST_F(Instructions, AreEncodedBetweenBeginAndEndAndFilledUp) {
  const Instruction instruction = model().instruct({}, {model().encode(" a"), model().encode(" ab <mask> c")});
  ASSERT_EQ(instruction.ids.sizes(), (at::IntArrayRef{2, 8}));
  const auto* ids = instruction.ids.const_data_ptr<int64_t>();
  EXPECT_EQ(std::vector<int64_t>(ids + 3, ids + 8), (std::vector<int64_t>{2, 1, 1, 1, 1}));
  EXPECT_EQ(ids[0], 0);
  EXPECT_EQ(ids[8 + 4], testing::tiny_ofa_mask) << "the space before a mask belongs to the mask";
  EXPECT_EQ(ids[8 + 7], 2);
}

TEST_F(Instructions, RepliesWithBinsAndCodesAreSpelled) {
  auto ids = model().encode(" a cat");
  const auto bins = model().bins({0, 49});
  ids.insert(ids.begin(), bins.begin(), bins.end());
  ids.push_back(testing::tiny_ofa_mask + 1);
  EXPECT_EQ(model().decode(ids), "<bin_0> <bin_49> a cat <code_0>");
  EXPECT_THROW(model().bins({50}), Error);
}

TEST_F(Instructions, APictureIsAnsweredAloneAsAmongOthers) {
  const Tensor pixels = pictures();
  const std::vector<std::string> questions = {"what is it?", "how many of them can be seen on the table?", "is it red"};
  AnswerOptions options;
  options.generate = pipeline_->answer_search();
  options.generate->max_new_tokens = 8;
  for (const auto prompt : {ofa_instruction::Prompt::none, ofa_instruction::Prompt::prev_output, ofa_instruction::Prompt::source}) {
    options.prompt = prompt;
    const auto together = pipeline_->answer(pixels, questions, options);
    for (int64_t i = 0; i < 3; ++i) {
      const auto alone = pipeline_->answer(pixels.slice(0, i, i + 1), {questions[static_cast<size_t>(i)]}, options);
      EXPECT_EQ(together[static_cast<size_t>(i)].ids, alone[0].ids) << i;
      EXPECT_NEAR(together[static_cast<size_t>(i)].score, alone[0].score, 1e-3) << i;
    }
  }
}

TEST_F(Instructions, SearchingASmallSetOfAnswersFindsTheOneThatScoresBest) {
  AnswerOptions options;
  options.answers = {"yes", "no", "yesterday", "Two Dogs", "n"};
  const Tensor pixels = pictures();
  const std::vector<std::string> questions(3, "what is it?");
  const auto sources = std::vector<InstructionPipeline::Ids>(3, model().encode(ofa_instruction::question("what is it?")));
  options.generate = pipeline_->answer_search();
  options.generate->beams = 8;
  for (const auto prompt : {ofa_instruction::Prompt::none, ofa_instruction::Prompt::prev_output}) {
    options.prompt = prompt;
    options.score_all = false;
    const auto searched = pipeline_->answer(pixels, questions, options);
    options.score_all = true;
    const auto scored = pipeline_->answer(pixels, questions, options);
    const Tensor all = model().score(pixels, sources, options.answers, prompt);
    for (int64_t i = 0; i < 3; ++i) {
      const auto row = static_cast<size_t>(i);
      EXPECT_EQ(searched[row].text, scored[row].text);
      EXPECT_NEAR(scored[row].score, all[i].max().item<double>(), 1e-5);
      double sum = 0;
      for (int64_t k = 0; k < 5; ++k) sum += probability(all, i, k);
      EXPECT_NEAR(sum, 1, 1e-4) << "every answer is one of these";
    }
    // A forced prompt counts in the sums of a search, so only without one they are the scores.
    if (prompt == ofa_instruction::Prompt::none) {
      EXPECT_NEAR(searched[0].score, scored[0].score, 1e-3);
    }
  }
  options.answers.clear();
  EXPECT_THROW(pipeline_->answer(pixels, questions, options), Error);
}

TEST_F(Instructions, MatchingEntailingAndClassifyingAreProbabilities) {
  const Tensor pixels = pictures();
  for (const double p : pipeline_->match(pixels, {"a cat", "a dog on a sofa", "rain"})) {
    EXPECT_GT(p, 0);
    EXPECT_LT(p, 1);
  }
  const Tensor entailed = instruct::entail(model(), pixels, {"a cat", "a dog", "rain"}, {}, ofa_instruction::Prompt::prev_output);
  const Tensor known = instruct::entail(model(), pixels, {"a cat", "a dog", "rain"}, {"an animal", "an animal", "weather"}, ofa_instruction::Prompt::prev_output);
  EXPECT_NEAR(probability(entailed, 1, 0) + probability(entailed, 1, 1) + probability(entailed, 1, 2), 1, 1e-4);
  EXPECT_FALSE(at::allclose(entailed, known)) << "the premise is not heard";
  const Tensor classes = instruct::classify(model(), pixels, {"cat", "tiger cat"});
  EXPECT_NEAR(probability(classes, 2, 0) + probability(classes, 2, 1), 1, 1e-4);
}

TEST_F(Instructions, CaptionsHaveNoPunctuationAndBeginAsTheyAreTold) {
  CaptionOptions options;
  options.prompt = "a red";
  for (const auto& caption : pipeline_->caption(pictures(), options)) {
    EXPECT_EQ(caption.text.rfind("a red", 0), 0u) << caption.text;
    EXPECT_EQ(caption.text.find_first_of(",.!?*#:;~<>"), std::string::npos) << caption.text;
  }
}

TEST_F(Instructions, BoxesAreInPixelsOfThePictureWhateverItsSize) {
  const Tensor pixels = pictures(2);
  const std::vector<PicturePlacement> placements = {squashed(32, 32), squashed(480, 640)};
  instruct::GroundOptions options;
  options.max_image_size = 32;
  const auto found = instruct::ground(model(), pixels, placements, {"the cat", "the cat"}, options);
  for (size_t i = 0; i < 2; ++i) {
    for (size_t k = 0; k < 4; ++k) {
      ASSERT_GE(found[i].bins[k], 0);
      ASSERT_LT(found[i].bins[k], testing::tiny_ofa_bins) << "nothing but coordinates may come out";
      const double side = k % 2 ? placements[i].picture.height : placements[i].picture.width;
      EXPECT_NEAR(found[i].box[k], static_cast<double>(found[i].bins[k]) / (testing::tiny_ofa_bins - 1) * side, 1e-2);
    }
  }
  // A picture that keeps its shape, with a border of 4 above and below.
  const auto bordered = instruct::ground(model(), pixels, {{{48, 64}, 0.5f, 0.5f, 0, -4}, squashed(32, 32)}, {"the cat", "the cat"}, options);
  EXPECT_NEAR(bordered[0].box[0], 2 * found[0].box[0], 1e-3);
  EXPECT_NEAR(bordered[0].box[1], 2 * (found[0].box[1] - 4), 1e-3);
  // The last coordinate stands for a pixel of the picture as the model sees it, wherever that picture ends.
  options.max_image_size = 64;
  const auto twice = instruct::ground(model(), pixels, placements, {"the cat", "the cat"}, options);
  for (size_t k = 0; k < 4; ++k) EXPECT_NEAR(twice[1].box[k], 2 * found[1].box[k], 1e-2);
}

TEST_F(Instructions, ARegionIsDescribedByItsPlaceInThePicture) {
  const Tensor pixels = pictures(1);
  const GenerateOptions search = GenerateOptions::beam(2, 6);
  const auto small = instruct::describe_region(model(), pixels, {squashed(100, 200)}, {{20, 10, 60, 40}}, search, 32);
  const auto large = instruct::describe_region(model(), pixels, {squashed(200, 400)}, {{40, 20, 120, 80}}, search, 32);
  EXPECT_EQ(small[0].ids, large[0].ids) << "the same place of a picture of another size";
  EXPECT_DOUBLE_EQ(small[0].score, large[0].score);
  const auto other = instruct::describe_region(model(), pixels, {squashed(100, 200)}, {{120, 60, 180, 90}}, search, 32);
  EXPECT_NE(small[0].score, other[0].score);
}

TEST_F(Instructions, TextsAreInfilledWithoutAPicture) {
  const auto filled = instruct::infill(model(), {"a dog <mask> on the beach", "<mask>"}, GenerateOptions::beam(2, 5));
  ASSERT_EQ(filled.size(), 2u);
  for (const auto& text : filled) EXPECT_LE(text.ids.size(), 5u);
}

TEST_F(Instructions, ASourceThatIsTooLongSaysHowManyIdsFit) {
  try {
    model().reply(pictures(1), {model().encode(std::string(300, 'a'))}, {});
    FAIL() << "300 ids do not fit";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("200"), std::string::npos) << error.what();
  }
}

TEST_F(Instructions, OtherModelsAndTokenizersAreRefused) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_blip(folder / "blip", "BlipForImageTextRetrieval");
  const TextPipeline blip = TextPipeline::load(folder / "blip");
  EXPECT_THROW(blip.instructions("ground texts"), Error);
  PipelineOptions options;
  options.tokenizer = (folder / "blip").string();
  EXPECT_THROW(TextPipeline::load(*folder_ / "ofa", options), Error);
}

TEST_F(Instructions, PicturesOfOtherSizesAreMultiplesOfAPatch) {
  PipelineOptions options;
  options.image_size = 48;
  const TextPipeline larger = TextPipeline::load(*folder_ / "ofa", options);
  write_file_atomically(*folder_ / "a.png", encode_png(Image(30, 50)));
  EXPECT_EQ(larger.decode({*folder_ / "a.png"}).pixels.sizes(), (at::IntArrayRef{1, 3, 48, 48}));
  EXPECT_EQ(larger.decode({*folder_ / "a.png"}).placements.at(0).picture.width, 50);
  options.image_size = 50;
  EXPECT_THROW(TextPipeline::load(*folder_ / "ofa", options), Error);
  options.image_size = 0;
  options.usual_size = 64;
  testing::write_tiny_ofa(*folder_ / "unsaid", 5, 0);
  EXPECT_EQ(TextPipeline::load(*folder_ / "unsaid", options).decode({*folder_ / "a.png"}).pixels.size(2), 64);
  EXPECT_EQ(TextPipeline::load(*folder_ / "ofa", options).decode({*folder_ / "a.png"}).pixels.size(2), 32) << "what the folder says goes first";
}

}  // namespace vlm
