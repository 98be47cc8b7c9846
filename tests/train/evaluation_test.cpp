#include "vlm/train/evaluation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "temporary_folder.h"
#include "tiny_models.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/data/base64.h"
#include "vlm/data/image_encode.h"
#include "vlm/data/subset_source.h"
#include "vlm/eval/generation_protocols.h"
#include "vlm/eval/probe_protocol.h"
#include "vlm/infer/pipeline.h"

namespace vlm {

namespace evaluation_test {

/// `count` pictures of one colour each, in a COCO-like list with captions, in class folders, and with questions.
class TrainingEvaluation : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::quiet);
    folder_ = new testing::TemporaryFolder;
    nlohmann::json captions = nlohmann::json::array(), questions = nlohmann::json::array();
    const std::vector<std::string> colours = {"red", "green", "blue"};
    for (int i = 0; i < count; ++i) {
      Image image(48, 120 + i);
      for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = p % 3 == size_t(i) % 3 ? 255 : 20;
      const std::string& colour = colours[size_t(i) % 3];
      const std::string name = "pictures/" + colour + "/" + std::to_string(i) + ".png";
      write_file_atomically(*folder_ / name, encode_png(image));
      captions.push_back({{"image", name}, {"caption", "a " + colour + " ball"}, {"image_id", i}});
      questions.push_back({{"image", name}, {"question", "what colour is it?"}, {"question_id", i}, {"answer", {colour, colour, "the " + colour}}, {"dataset", "vqa"}});
    }
    write_file_atomically(*folder_ / "captions.json", captions.dump());
    write_file_atomically(*folder_ / "questions.json", questions.dump());
    testing::write_tiny_blip(*folder_ / "captioner", "BlipForConditionalGeneration");
    testing::write_tiny_blip(*folder_ / "answerer", "BlipForQuestionAnswering");
    testing::write_tiny_blip(*folder_ / "matcher", "BlipForImageTextRetrieval");
  }
  static void TearDownTestSuite() {
    delete folder_;
    set_log_level(LogLevel::info);
  }
  static std::unique_ptr<Source> open(const std::string& name, const std::string& type = "auto") {
    SourceOptions options;
    options.path = (*folder_ / name).string();
    options.type = type;
    options.image_root = type == "auto" ? "" : folder_->path().string();
    if (type == "albef_vqa") options.vqa_root = folder_->path().string();
    return open_source(options);
  }
  static EvaluationResult evaluate(const std::string& name, const std::string& model, const Source& source, EvaluationOptions options = {}) {
    const ModelParts parts = load_parts(*folder_ / model, {});
    return evaluate_in_training(name, parts.model, parts.tokenizer, parts.preprocess, source, options);
  }
  static constexpr int count = 12;
  static testing::TemporaryFolder* folder_;
};
testing::TemporaryFolder* TrainingEvaluation::folder_ = nullptr;

}  // namespace evaluation_test

using evaluation_test::TrainingEvaluation;

TEST_F(TrainingEvaluation, RetrievalHasFlatMetricsAHeadlineAndExamplesWithPictures) {
  const auto source = open("captions.json", "albef_list");
  const EvaluationResult result = evaluate("retrieval", "matcher", *source, {.samples = 5});
  EXPECT_EQ(result.metrics.at("image_to_text_recall@5"), 1.0) << "there are three texts";
  EXPECT_TRUE(result.metrics.count(result.main_metric));
  EXPECT_NE(result.headline.find("R@10 image to text 100.0 %"), std::string::npos) << result.headline;
  ASSERT_EQ(result.samples.size(), 5u);
  std::set<std::string> keys;
  for (const auto& sample : result.samples) {
    keys.insert(sample.at("key"));
    EXPECT_EQ(sample.at("found").size(), 3u);
    int right = 0;
    for (const auto& found : sample.at("found")) {
      right += found.at("right").get<bool>();
      EXPECT_EQ(found.at("right").get<bool>(), found.at("text") == sample.at("caption"));
    }
    EXPECT_EQ(right, 1);
    const std::string data = sample.at("thumbnail"), head = "data:image/jpeg;base64,";
    ASSERT_EQ(data.substr(0, head.size()), head);
    const ImageSize size = read_image_size(*decode_base64(data.substr(head.size())));
    EXPECT_EQ(size.width, 96);
    EXPECT_LT(size.height, 48);
  }
  EXPECT_EQ(keys.size(), 5u);
}

TEST_F(TrainingEvaluation, CaptionsStandBesideTheirReferences) {
  const auto source = open("captions.json", "albef_list");
  const EvaluationResult result = evaluate("caption", "captioner", *source, {.limit = 4, .max_tokens = 5});
  EXPECT_EQ(result.report.at("pictures"), 4);
  EXPECT_TRUE(result.metrics.count("CIDEr-D"));
  ASSERT_EQ(result.samples.size(), 4u);
  EXPECT_EQ(result.samples[1].at("references").at(0), "a red ball") << "the fourth picture: samples are spread over the set";
  EXPECT_TRUE(result.samples[1].contains("thumbnail"));
}

TEST_F(TrainingEvaluation, AnswersStandBesideTheirQuestions) {
  const auto source = open("questions.json", "albef_vqa");
  const EvaluationResult result = evaluate("vqa", "answerer", *source, {.max_tokens = 3, .samples = 2});
  EXPECT_EQ(result.main_metric, "accuracy");
  EXPECT_GE(result.metrics.at("accuracy"), 0.0);
  EXPECT_LE(result.metrics.at("accuracy"), 1.0);
  ASSERT_EQ(result.samples.size(), 2u);
  EXPECT_EQ(result.samples[0].at("question"), "what colour is it?");
  EXPECT_FALSE(result.samples[0].at("references").empty());
}

TEST_F(TrainingEvaluation, ClassesAreThoseOfTheFolders) {
  const auto source = open("pictures");
  const EvaluationResult result = evaluate("zeroshot", "matcher", *source, {.prompt = "a {} ball"});
  EXPECT_EQ(result.report.at("classes"), 3);
  EXPECT_NE(result.headline.find("chance 33.3 %"), std::string::npos) << result.headline;
  EXPECT_EQ(result.samples.size(), static_cast<size_t>(count));
}

TEST_F(TrainingEvaluation, ALinearProbeAndTheNearestPixelsTellColoursApart) {
  const auto source = open("pictures");
  const auto pipeline = DualEncoderPipeline::load(*folder_ / "matcher");
  ProbeOptions options;
  options.pixels = true;
  options.progress = false;
  std::vector<nlohmann::ordered_json> each;
  options.each = [&](const auto& one) { each.push_back(one); };
  const ProbeReport report = evaluate_probe(pipeline, *source, source.get(), *source, options);
  EXPECT_EQ(report.classes, (std::vector<std::string>{"blue", "green", "red"}));
  EXPECT_EQ(report.accuracy.top.at(1), 1);
  EXPECT_NEAR(report.majority, 1.0 / 3, 1e-9);
  ASSERT_TRUE(report.pixels.has_value());
  EXPECT_EQ(report.pixels->top.at(1), 1) << "each picture is nearest to itself";
  ASSERT_EQ(each.size(), size_t(count));
  for (const auto& one : each) EXPECT_EQ(one.at("class"), one.at("predicted"));
  // Without held-out pictures a fifth of those of training is kept back to choose by.
  options.each = {};
  EXPECT_EQ(evaluate_probe(pipeline, *source, nullptr, *source, options).train_items, count);
}

TEST_F(TrainingEvaluation, CopyingTheCaptionOfTheNearestPictureIsScoredAsCaptionsAre) {
  const auto source = open("captions.json", "albef_list");
  CaptionEvaluation options;
  options.progress = false;
  const CaptionReport report = nearest_picture_captions(*source, *source, options);
  EXPECT_EQ(report.pictures, count);
  EXPECT_NEAR(report.scores.at("BLEU-1"), 1, 1e-6) << "each picture is nearest to itself";
}

TEST_F(TrainingEvaluation, ALimitKeepsAllClassesOfASortedSet) {
  const auto source = open("pictures");
  const auto part = spread_subset(*source, 3);
  std::set<int64_t> labels;
  for (int64_t i = 0; i < part->size(); ++i) labels.insert(part->read_number(i).label.value());
  EXPECT_EQ(labels.size(), 3u);
  EXPECT_EQ(spread_subset(*source, 100)->size(), count);
}

TEST_F(TrainingEvaluation, WhatAModelCannotDoAndWhatThereIsNotIsSaid) {
  const auto source = open("captions.json", "albef_list");
  EXPECT_THROW(evaluate("caption", "matcher", *source), Error);
  try {
    evaluate("retreival", "matcher", *source);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'retrieval'"), std::string::npos) << error.what();
    EXPECT_EQ(error.code(), ExitCode::usage);
  }
}

TEST(BetterCheckpoint, LossesAreBetterWhenLowerAndNumbersBetterThanNone) {
  EXPECT_TRUE(better("CIDEr-D", 0.9, 0.8));
  EXPECT_FALSE(better("mean_recall", 0.5, 0.5));
  EXPECT_TRUE(better("validation_loss", 1.0, 2.0));
  EXPECT_TRUE(better("top1", 0.0, NAN));
  EXPECT_FALSE(better("top1", NAN, 0.0));
}

TEST(WriteSamples, OneFileAStepThatNamesItsEvaluation) {
  const testing::TemporaryFolder run;
  EvaluationResult result;
  write_samples(run.path(), 12, "validation", result);
  EXPECT_FALSE(std::filesystem::exists(run / "samples"));
  result.headline = "top-1 10.0 %";
  result.samples.push_back({{"key", "a"}});
  write_samples(run.path(), 12, "validation", result);
  const auto json = nlohmann::json::parse(read_file(run / "samples/step-00000012.json"));
  EXPECT_EQ(json.at("headline"), result.headline);
  EXPECT_EQ(json.at("samples").size(), 1u);
}

}  // namespace vlm
