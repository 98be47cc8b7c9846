#include <gtest/gtest.h>

#include "data/read_rows.h"
#include "vlm/data/question_lists.h"

namespace vlm::test {

namespace question_lists_test {

constexpr const char* questions = R"({"questions": [
    {"question_id": 1, "image_id": 42, "question": " what? "}, {"question_id": 2, "image_id": 42, "question": "who?"},
    {"question_id": 3, "image_id": 7, "question": " "}, {"question_id": "4", "image_id": 7, "question": "x"},
    {"question_id": 5, "image_id": 7, "question": "no answer?"}, {"question_id": 6, "image_id": 7, "question": "empty?"}],
    "data_subtype": "val2014"})";
constexpr const char* annotations = R"({"annotations": [
    {"question_id": 2, "answers": [{"answer": "b"}, {"answer": "a"}, {"answer": "b"}, {"answer": " "}, {"x": 1}], "question_type": "who"},
    {"question_id": 1, "answers": [{"answer": "yes"}, {"answer": "yes"}, {"answer": "yes"}, {"answer": "yes"}]},
    {"question_id": 3, "answers": [{"answer": "x"}]}, {"question_id": 99, "answers": []}, {"question_id": 6, "answers": "none"}]})";

}  // namespace question_lists_test

TEST(VqaV2, JoinsAnswersAndCountsWhatDoesNotFit) {
  const TemporaryFolder folder;
  SourceOptions options = file_with(folder, "q.json", question_lists_test::questions);
  write_bytes(folder / "a.json", question_lists_test::annotations);
  options.annotations = (folder / "a.json").string();
  const Rows rows = read_rows(options);
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(rows.samples[0].question, "what?");
  EXPECT_EQ(rows.samples[0].images[0].name, "COCO_val2014_000000000042.jpg");
  EXPECT_EQ(rows.samples[0].weights, std::vector<double>{1});
  EXPECT_EQ(rows.samples[1].answers, (Texts{"b", "a"}));
  EXPECT_EQ(rows.samples[1].counts, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(rows.samples[1].weights, (std::vector<double>{0.6, 0.3}));
  EXPECT_EQ(rows.samples[1].image_index, rows.samples[0].image_index);
  EXPECT_EQ(rows.skipped, (Texts{"bad_row=3", "no_annotation=1", "unknown_question=1"}));
}

TEST(VqaV2, AsksForNoAnswersOfTestQuestions) {
  const TemporaryFolder folder;
  SourceOptions options = file_with(folder, "q.json", question_lists_test::questions);
  options.image_template = "t_{:03d}.png";
  const Rows rows = read_rows(options);
  EXPECT_EQ(rows.samples.size(), 4u);
  EXPECT_TRUE(rows.samples[0].answers.empty());
  EXPECT_EQ(rows.samples[0].images[0].name, "t_042.png");
  EXPECT_EQ(rows.skipped, Texts{"bad_row=2"});
}

TEST(VqaV2, TakesTheAnswersFileForNoQuestions) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(file_with(folder, "a.json", question_lists_test::annotations)).find("questions file"),
            std::string::npos);
}

TEST(ImageTemplate, FillsInNumbersAsPythonDoes) {
  EXPECT_EQ(fill_image_template("a_{:012d}.jpg", 42), "a_000000000042.jpg");
  EXPECT_EQ(fill_image_template("{}", 7), "7");
  EXPECT_EQ(fill_image_template("{:d}x", -7), "-7x");
  EXPECT_EQ(fill_image_template("{:05d}", -7), "-0007");
  EXPECT_EQ(fill_image_template("{:3d}", 7), "  7");
  for (const char* wrong : {"a.jpg", "{", "}", "{:x}", "{}{}", "{:999999999d}", "{0}"})
    EXPECT_THROW(fill_image_template(wrong, 1), Error) << wrong;
}

TEST(AlbefQuestions, WeighAnswersByTheirShare) {
  const TemporaryFolder folder;
  SourceOptions options = file_with(folder, "v.json", R"([
      {"question_id": 5, "question": "What?", "image": "a.jpg", "dataset": "vqa", "answer": ["x", "y ", "x", "x"]},
      {"question": "Who?", "image": "a.jpg", "dataset": "vg", "answer": "z"}, {"question_id": 6, "question": "T?", "image": "b.jpg", "dataset": "gqa"},
      {"question": "Who?", "image": "a.jpg", "dataset": "vg", "answer": ["z"]}, {"question": "Who?", "image": "a.jpg", "dataset": "other", "answer": "z"},
      {"question": "Who?", "image": "a.jpg", "dataset": "vqa", "answer": []}, {"question": "", "image": "a.jpg", "dataset": "vg", "answer": "z"}])");
  write_bytes(folder / "gqa/b.jpg", "G");
  options.gqa_root = (folder / "gqa").string();
  const Rows rows = read_rows(options);
  ASSERT_EQ(rows.samples.size(), 3u);
  EXPECT_EQ(rows.samples[0].answers, (Texts{"x", "y "}));
  EXPECT_EQ(rows.samples[0].weights, (std::vector<double>{0.75, 0.25}));
  EXPECT_EQ(rows.samples[0].key, "5");
  EXPECT_EQ(rows.samples[1].weights, std::vector<double>{0.5});
  EXPECT_TRUE(rows.samples[2].answers.empty());
  EXPECT_EQ(rows.skipped, Texts{"bad_row=4"});
  EXPECT_EQ(open_source(options)->read_number(2).images[0].bytes, "G");
}

TEST(SoftAnswerWeight, IsThatOfTheOfficialAccuracy) {
  EXPECT_EQ(soft_answer_weight(0), 0);
  EXPECT_EQ(soft_answer_weight(3), 0.9);
  EXPECT_EQ(soft_answer_weight(4), 1);
  EXPECT_EQ(soft_answer_weight(10), 1);
}

}  // namespace vlm::test
