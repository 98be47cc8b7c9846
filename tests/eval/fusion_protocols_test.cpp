/// Evaluation of fusion models: what comes out is held against the models themselves, or counted by hand.

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "tiny_albef.h"
#include "tiny_mplug.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/data/image_encode.h"
#include "vlm/eval/detections.h"
#include "vlm/eval/grounding.h"
#include "vlm/eval/instruction_protocols.h"
#include "vlm/infer/answer_ranking.h"
#include "vlm/infer/explain_texts.h"
#include "vlm/infer/ground_texts.h"
#include "vlm/infer/judge_statements.h"

namespace vlm {
namespace fusion_protocols_test {

/// A folder with pictures "0.png" … of changing shapes and colours, and models.
class FusionProtocols : public ::testing::Test {
 protected:
  static constexpr int count = 5;
  void SetUp() override {
    set_log_level(LogLevel::quiet);
    for (int i = 0; i < count; ++i) write_file_atomically(folder / (std::to_string(i) + ".jpg"), encode_png(picture(i)));
  }
  void TearDown() override { set_log_level(LogLevel::info); }
  static Image picture(int i) {
    Image image(30 + 5 * i, 50);
    for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(41 * i + 80 * (p % 3) + p % 23);
    return image;
  }
  std::unique_ptr<Source> source(const std::string& list) {
    write_file_atomically(folder / "list.json", list);
    SourceOptions options;
    options.path = (folder / "list.json").string();
    options.image_root = folder.path().string();
    return open_source(options);
  }
  TextPipeline albef(AlbefTask task) {
    const auto place = folder / ("albef-" + to_string(task));
    testing::write_tiny_albef(place, task);
    return TextPipeline::load(place, {.batch_size = 3});
  }
  TextPipeline mplug(const std::string& task) {
    const auto place = folder / ("mplug-" + task);
    save_hf_folder(place, *testing::tiny_mplug(task), {});
    write_file_atomically(place / "vocab.txt", testing::tiny_vocabulary());
    return TextPipeline::load(place, {.batch_size = 3});
  }
  Tensor pixels(const TextPipeline& pipeline, int i) { return pipeline.decode({folder / (std::to_string(i) + ".jpg")}).pixels; }

  testing::TemporaryFolder folder;
};

}  // namespace fusion_protocols_test

using fusion_protocols_test::FusionProtocols;

TEST_F(FusionProtocols, EntailmentIsTheClassOfTheHead) {
  for (const bool is_mplug : {false, true}) {
    const TextPipeline pipeline = is_mplug ? mplug("entailment") : albef(AlbefTask::entailment);
    nlohmann::json list;
    const char* labels[] = {"contradiction", "neutral", "entailment"};
    int right = 0;
    for (int i = 0; i < count; ++i) {
      list.push_back({{"image", std::to_string(i)}, {"sentence", "A red-cat sits."}, {"label", labels[i % 3]}});
      const Tensor scores = classify_sentences(dynamic_cast<PairClassifier&>(pipeline.model()), pipeline.tokenizer(), pixels(pipeline, i), {"a red cat sits"});
      right += scores.argmax(1).item<int64_t>() == i % 3;
    }
    EntailmentEvaluation options;
    options.progress = false;
    const auto report = evaluate_entailment(pipeline, *source(list.dump()), options);
    EXPECT_EQ(report.items, count);
    EXPECT_DOUBLE_EQ(report.accuracy, right / 5.0);
    EXPECT_DOUBLE_EQ(report.majority, 2 / 5.0);
    options.with_premise = true;
    EXPECT_THROW(evaluate_entailment(pipeline, *source(list.dump()), options), Error);
  }
}

TEST_F(FusionProtocols, StatementsAboutTwoPicturesKeepTheirPairsAcrossBatches) {
  for (const bool is_mplug : {false, true}) {
    const TextPipeline pipeline = is_mplug ? mplug("nlvr2") : albef(AlbefTask::nlvr);
    write_file_atomically(folder / "broken.jpg", "no picture");
    nlohmann::json list;
    int right = 0, truths = 0;
    for (int i = 0; i < count; ++i) {
      // Neighbours, so that every picture is a first and a second one; one pair has a broken picture.
      const int other = (i + 1) % count;
      const bool truth = i < 3;
      list.push_back({{"sentence", "a cat and a dog"}, {"label", truth ? "True" : "False"}, {"images", {std::to_string(i) + ".jpg", i == 1 ? "broken.jpg" : std::to_string(other) + ".jpg"}}});
      if (i == 1) continue;
      const Tensor both = at::cat({pixels(pipeline, i), pixels(pipeline, other)});
      const Tensor scores = classify_sentences(dynamic_cast<PairClassifier&>(pipeline.model()), pipeline.tokenizer(), both, {"a cat and a dog"});
      right += scores.argmax(1).item<int64_t>() == truth;
      truths += truth;
    }
    std::vector<nlohmann::ordered_json> each;
    EntailmentEvaluation options;
    options.progress = false;
    options.each = [&](const auto& result) { each.push_back(result); };
    const auto report = evaluate_nlvr2(pipeline, *source(list.dump()), options);
    EXPECT_EQ(report.items, 4);
    EXPECT_EQ(report.skipped, 1);
    EXPECT_DOUBLE_EQ(report.accuracy, right / 4.0);
    EXPECT_DOUBLE_EQ(report.majority, std::max(truths, 4 - truths) / 4.0);
    ASSERT_EQ(each.size(), 4U);
    EXPECT_EQ(each[0].at("label"), "true");
    EXPECT_THROW(evaluate_entailment(pipeline, *source(list.dump()), options), Error) << "two classes of two pictures are no entailment";
  }
}

TEST_F(FusionProtocols, AnswersAreRankedAsWholeOnes) {
  for (const bool is_mplug : {false, true}) {
    const TextPipeline pipeline = is_mplug ? mplug("vqa") : albef(AlbefTask::vqa);
    const std::vector<std::string> answers = {"a cat", "red", "a big dog", "two"};
    const auto& ranker = dynamic_cast<AnswerRanker&>(pipeline.model());
    const auto tokens = dynamic_cast<Answerer&>(pipeline.model()).generation_tokens();
    AnswerOptions options;
    options.answers = answers;
    options.rank = 4;
    const PictureBatch batch = pipeline.decode({folder / "0.jpg", folder / "3.jpg"});
    const auto found = pipeline.answer(batch.pixels, {"What is it?", "what colour"}, options);
    ASSERT_EQ(found.size(), 2U);
    const std::vector<std::string> read = {is_mplug ? "What is it?" : "what is it", "what colour"};
    for (int64_t q = 0; q < 2; ++q) {
      const TextRows question = special_rows(pipeline.tokenizer(), {read[static_cast<size_t>(q)]}, 20);
      const auto [states, mask] = ranker.read_question(batch.pixels.slice(0, q, q + 1), question.ids, question.mask);
      double best = -1e9;
      std::string expected;
      for (const auto& answer : answers) {
        auto ids = pipeline.tokenizer().encode(answer);
        ids.insert(ids.begin(), 2);
        ids.insert(ids.end(), is_mplug ? 1 : 2, 3);
        const TextRows row = pad_rows({ids}, 0);
        const Tensor scores = at::log_softmax(ranker.decode_answers(row.ids, row.mask, states, mask), 2)[0];
        double sum = scores[0][ids[1]].item<double>();  // the first word counts twice
        for (size_t i = 0; i + 1 < ids.size(); ++i) sum += scores[static_cast<int64_t>(i)][ids[i + 1]].item<double>();
        if (sum > best) best = sum, expected = answer;
      }
      EXPECT_EQ(found[static_cast<size_t>(q)].text, expected);
      EXPECT_GT(found[static_cast<size_t>(q)].score, 0.25);
    }
    EXPECT_EQ(tokens.begin, 2);
    options.answers.clear();
    EXPECT_THROW(pipeline.answer(batch.pixels, {"a", "b"}, options), Error);
  }
  const TextPipeline captioner = mplug("caption");
  EXPECT_THROW(captioner.must_rank(), Error);
}

TEST_F(FusionProtocols, BoxesAreComparedInSharesOfWhatTheModelSees) {
  const TextPipeline pipeline = mplug("grounding");
  nlohmann::json list;
  int right = 0;
  double overlap = 0;
  for (int i = 0; i < count; ++i) {
    list.push_back({{"image", std::to_string(i) + ".jpg"}, {"text", "the red cat"}, {"ref_id", i}, {"box", {5, 4, 30, 25}}});
    const PictureBatch batch = pipeline.decode({folder / (std::to_string(i) + ".jpg")});
    const Tensor ids = expression_rows(pipeline.tokenizer(), {"the red cat"}, 20);
    const Tensor shares = dynamic_cast<Grounder&>(pipeline.model()).ground(batch.pixels, ids, ids.ne(0).to(at::kLong)).boxes;
    const PicturePlacement& place = batch.placements[0];
    const auto x = [&](double at) { return (at * place.width_ratio - place.left) / 16; };
    const auto y = [&](double at) { return (at * place.height_ratio - place.top) / 16; };
    const Tensor target = at::tensor({(x(5) + x(30)) / 2, (y(4) + y(25)) / 2, x(30) - x(5), y(25) - y(4)}, at::kDouble).view({1, 4});
    const auto accuracy = grounding_accuracy(shares, target, BoxVariant::mplug, 0.3);
    right += accuracy.correct.item<float>() > 0;
    overlap += std::clamp(accuracy.iou.item<double>(), 0.0, 1.0) / count;
  }
  GroundingEvaluation options;
  options.progress = false;
  options.threshold = 0.3;
  const auto report = evaluate_grounding(pipeline, *source(list.dump()), options);
  EXPECT_EQ(report.items, count);
  EXPECT_DOUBLE_EQ(report.accuracy, right / 5.0);
  EXPECT_NEAR(report.mean_iou, overlap, 1e-4);
}

TEST_F(FusionProtocols, HeatChoosesAmongDetections) {
  const TextPipeline pipeline = albef(AlbefTask::retrieval);
  nlohmann::json list, detections;
  int right = 0;
  for (int i = 0; i < count; ++i) {
    const std::string name = std::to_string(i) + ".jpg";
    list.push_back({{"image", name}, {"text", "the red cat"}, {"ref_id", i}, {"box", {2, 3, 21, 18}}});
    if (i == 4) continue;
    // By name, or without the extension. The second box is the right one: x0 + w - 1 is its last pixel.
    detections[i % 2 ? name : std::to_string(i)] = {{25, 2, 20, 20}, {2, 3, 19, 15}, {0, 0, 50, 30}};
    const PictureBatch batch = pipeline.decode({folder / name});
    const auto explained = explain_texts(pipeline, batch, {"the red cat"}, -1, false).front();
    const Tensor boxes = at::tensor({25.0, 2.0, 20.0, 20.0, 2.0, 3.0, 19.0, 15.0, 0.0, 0.0, 50.0, 30.0}, at::kDouble).view({3, 4});
    right += pick_box(explained.heat, boxes, 30 + 5 * i, 50).best == 1;
  }
  write_file_atomically(folder / "detections.json", detections.dump());
  GroundingEvaluation options;
  options.progress = false;
  EXPECT_THROW(evaluate_grounding(pipeline, *source(list.dump()), options), Error) << "it has no boxes to choose from";
  options.detections = (folder / "detections.json").string();
  const auto report = evaluate_grounding(pipeline, *source(list.dump()), options);
  EXPECT_EQ(report.items, 4);
  EXPECT_EQ(report.skipped, 1);
  EXPECT_DOUBLE_EQ(report.accuracy, right / 4.0);
}

TEST_F(FusionProtocols, DetectionsSayWhatIsWrongWithThem) {
  write_file_atomically(folder / "detections.json", R"({"7": [[1, 2, 3, 4]], "a/b": [[0, 0, 0, 4]], "c": 5})");
  const Detections detections((folder / "detections.json").string());
  Sample sample;
  sample.images.push_back({"x/y.jpg", ""});
  sample.meta = {{"image_id", 7}};
  EXPECT_EQ(detections.of(sample)[0][3].item<double>(), 4);
  sample.meta = nullptr;
  EXPECT_THROW(detections.of(sample), SampleError);
  sample.images[0].name = "a/b";
  EXPECT_THROW(detections.of(sample), SampleError);
  sample.images[0].name = "c.png";
  EXPECT_THROW(detections.of(sample), SampleError);
  write_file_atomically(folder / "list.txt", "[1]");
  EXPECT_THROW(Detections((folder / "list.txt").string()), Error);
}

}  // namespace vlm
