#include "vlm/eval/instruction_protocols.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "tiny_models.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/data/base64.h"
#include "vlm/data/image_encode.h"

namespace vlm {

namespace instruction_protocols_test {

/// A tiny OFA, and pictures of one colour each in OFA's files.
class InstructionProtocols : public ::testing::Test {
 protected:
  static constexpr int count = 7;

  static void SetUpTestSuite() {
    set_log_level(LogLevel::quiet);
    folder_ = new testing::TemporaryFolder;
    testing::write_tiny_ofa(*folder_ / "ofa");
    pipeline_ = new TextPipeline(TextPipeline::load(*folder_ / "ofa", {.batch_size = 3}));
  }
  static void TearDownTestSuite() {
    delete pipeline_;
    delete folder_;
    set_log_level(LogLevel::info);
  }
  static std::string picture(int i) {
    Image image(30 + i, 60);
    for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(37 * i + 90 * (p % 3));
    return encode_base64(encode_png(image));
  }
  /// A file of rows, each made of its number and its picture.
  static std::unique_ptr<Source> rows(const std::string& task, const std::function<std::string(int, const std::string&)>& row) {
    std::string text;
    for (int i = 0; i < count; ++i) text += row(i, picture(i)) + "\n";
    write_file_atomically(*folder_ / (task + ".tsv"), text);
    SourceOptions options;
    options.path = (*folder_ / (task + ".tsv")).string();
    options.type = "ofa_tsv";
    options.tsv_task = task;
    return open_source(options);
  }

  static testing::TemporaryFolder* folder_;
  static TextPipeline* pipeline_;
};
testing::TemporaryFolder* InstructionProtocols::folder_ = nullptr;
TextPipeline* InstructionProtocols::pipeline_ = nullptr;

}  // namespace instruction_protocols_test

using instruction_protocols_test::InstructionProtocols;

TEST_F(InstructionProtocols, EntailmentCountsWhatTheModelSaysOfEachLabel) {
  const std::vector<std::string> labels = {"contradiction", "neutral", "entailment"};
  const auto source = rows("snli_ve", [&](int i, const std::string& image) { return concat(i, "\tp", i, "\t", image, "\tA dog runs ", i, ".\tan animal\t", labels[i % 3]); });
  for (const bool premise : {false, true}) {
    std::vector<nlohmann::ordered_json> each;
    EntailmentEvaluation options;
    options.with_premise = premise;
    options.progress = false;
    options.each = [&](const auto& result) { each.push_back(result); };
    const EntailmentReport report = evaluate_entailment(*pipeline_, *source, options);
    ASSERT_EQ(report.items, count);
    EXPECT_DOUBLE_EQ(report.majority, 3.0 / count);
    int right = 0;
    for (const auto& result : each) {
      right += result.at("label") == result.at("predicted");
      EXPECT_GT(result.at("probability").get<double>(), 1.0 / 3 - 1e-6);
    }
    EXPECT_DOUBLE_EQ(report.accuracy, static_cast<double>(right) / count);
    EXPECT_EQ(report.per_label.size(), 3u);
  }
}

TEST_F(InstructionProtocols, GroundingIsRightWhereTheBoxOverlapsEnough) {
  const auto with_boxes = [&](const std::vector<std::string>& boxes) {
    return rows("refcoco", [&](int i, const std::string& image) { return concat(i, "\tp", i, "\tthe dog ", i, "\t", boxes[static_cast<size_t>(i)], "\t", image); });
  };
  GroundingEvaluation options;
  options.ground.only_bins = true;
  options.ground.max_image_size = 32;
  options.progress = false;
  std::vector<nlohmann::ordered_json> each;
  options.each = [&](const auto& result) { each.push_back(result); };
  evaluate_grounding(*pipeline_, *with_boxes(std::vector<std::string>(count, "0,0,10,10")), options);
  ASSERT_EQ(each.size(), static_cast<size_t>(count));
  // What it says, where that is a box at all; far away every other time.
  std::vector<std::string> boxes;
  double right = 0;
  for (size_t i = 0; i < each.size(); ++i) {
    const auto box = each[i].at("box").get<std::vector<double>>();
    const bool real = box[2] > box[0] && box[3] > box[1];
    boxes.push_back(real && i % 2 == 0 ? concat(box[0], ",", box[1], ",", box[2], ",", box[3]) : "100,100,110,110");
    right += real && i % 2 == 0;
  }
  options.each = {};
  EXPECT_DOUBLE_EQ(evaluate_grounding(*pipeline_, *with_boxes(boxes), options).accuracy, right / count);
}

TEST_F(InstructionProtocols, ClassesAreAnswersAmongTheirNames) {
  const std::vector<std::string> names = {"cat", "tiger cat", "dog"};
  const auto source = rows("image_classify", [&](int i, const std::string& image) { return concat(image, "\t", i % 3, "\t", names[i % 3]); });
  ZeroShotOptions options;
  options.progress = false;
  options.classes = names;
  std::vector<nlohmann::ordered_json> each;
  options.each = [&](const auto& result) { each.push_back(result); };
  const ZeroShotReport report = evaluate_zero_shot(*pipeline_, *source, options);
  ASSERT_EQ(report.items, count);
  double right = 0;
  for (const auto& result : each) right += result.at("class") == result.at("predicted");
  EXPECT_DOUBLE_EQ(report.accuracy.top.at(1), right / count);
  options.classes = {"cat", "dog"};
  EXPECT_EQ(evaluate_zero_shot(*pipeline_, *source, options).unlabelled, 2) << "a caption that is no class's name is no class";
}

TEST_F(InstructionProtocols, AnswersWeighWhatTheFileSays) {
  AnswerOptions answer;
  answer.answers = {"yes", "no", "two"};
  answer.score_all = true;
  std::vector<nlohmann::ordered_json> each;
  const auto weighed = [&](const std::string& answers) {
    const auto source = rows("vqa_gen", [&](int i, const std::string& image) { return concat(i, "\tp", i, "\twhat is this ", i, "?\t", answers, "\tcat&&dog\t", image); });
    VqaEvaluation options;
    options.answer = answer;
    options.with_objects = true;
    options.progress = false;
    options.each = [&](const auto& result) { each.push_back(result); };
    return evaluate_vqa(*pipeline_, *source, options);
  };
  EXPECT_DOUBLE_EQ(*weighed("1.0|!+yes&&1.0|!+no&&1.0|!+two").soft_accuracy, 1);
  EXPECT_DOUBLE_EQ(*weighed("0.3|!+three").soft_accuracy, 0);
  each.clear();
  const VqaReport report = weighed("0.6|!+yes&&0.3|!+two");
  double sum = 0;
  for (const auto& result : each) sum += result.at("answer") == "yes" ? 0.6 : result.at("answer") == "two" ? 0.3 : 0;
  EXPECT_NEAR(*report.soft_accuracy, sum / count, 1e-9);
}

TEST_F(InstructionProtocols, ModelsThatTakeNoInstructionsAreRefusedByName) {
  testing::write_tiny_blip(*folder_ / "blip", "BlipForQuestionAnswering");
  const TextPipeline blip = TextPipeline::load(*folder_ / "blip");
  const auto source = rows("refcoco", [](int i, const std::string& image) { return concat(i, "\tp\tdog\t0,0,5,5\t", image); });
  try {
    evaluate_grounding(blip, *source, {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()),
              "this blip model cannot ground texts: it neither takes instructions nor writes boxes, as OFA and mPLUG's models for grounding do, "
              "nor matches by layers that look at the picture, as ALBEF's, mPLUG's and BLIP's for retrieval do");
  }
}

}  // namespace vlm
