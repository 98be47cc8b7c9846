/// What a user does with a model that takes instructions, as real processes.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "tiny_models.h"
#include "vlm/data/base64.h"
#include "vlm/data/image_encode.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace instruction_command_test {

struct Outcome {
  int code = -1;
  std::string out;
  bool holds(const std::string& text) const { return out.find(text) != std::string::npos; }
};

class InstructionCommands : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::TemporaryFolder;
    root_ = folder_->path().string();
    testing::write_tiny_ofa(*folder_ / "ofa");
    testing::write_tiny_blip(*folder_ / "blip", "BlipForConditionalGeneration");
    for (int i = 0; i < 3; ++i) write_file_atomically(*folder_ / "pictures" / ("p" + std::to_string(i) + ".png"), picture(i));
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string picture(int i) {
    Image image(40, 60 + 10 * i);
    for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(60 * i + p % 97);
    return encode_png(image);
  }
  static Outcome run(const std::string& command, const std::string& arguments, bool errors = true, const std::string& model = "ofa") {
    Outcome outcome;
    const std::string line = std::string(VLM_BINARY) + " " + command + " --model " + root_ + "/" + model + " " + arguments + (errors ? " 2>&1" : " 2>/dev/null");
    FILE* pipe = ::popen(line.c_str(), "r");
    std::array<char, 4096> buffer{};
    while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
    const int status = ::pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return outcome;
  }
  static nlohmann::json json(const std::string& command, const std::string& arguments) {
    const Outcome outcome = run(command, arguments + " --json --threads 1", false);
    EXPECT_EQ(outcome.code, 0) << command << " " << arguments;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }
  static std::string one() { return root_ + "/pictures/p0.png "; }
  static std::string all() { return root_ + "/pictures "; }

  static testing::TemporaryFolder* folder_;
  static std::string root_;
};
testing::TemporaryFolder* InstructionCommands::folder_ = nullptr;
std::string InstructionCommands::root_;

}  // namespace instruction_command_test

using instruction_command_test::InstructionCommands;

TEST_F(InstructionCommands, AnswerForEveryPictureInBatches) {
  EXPECT_EQ(json("caption", all() + "--batch-size 2 --max-new-tokens 4").size(), 3u);
  const auto answers = json("vqa", all() + "'what is it?' --batch-size 2 --max-new-tokens 4");
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[2].at("question"), "what is it?");
  const auto matches = json("match", all() + "'a cat'");
  ASSERT_EQ(matches.size(), 3u);
  EXPECT_LT(matches[0].at("match"), 1.0);
  const auto entailed = json("entail", all() + "--hypothesis 'a cat sits' --hypothesis 'a dog runs'");
  ASSERT_EQ(entailed.size(), 6u);
  EXPECT_NEAR(entailed[0]["probabilities"]["entailment"].get<double>() + entailed[0]["probabilities"]["neutral"].get<double>() +
                  entailed[0]["probabilities"]["contradiction"].get<double>(),
              1, 1e-3);
  const auto classes = json("classify", all() + "--classes 'cat, dog'");
  ASSERT_EQ(classes.size(), 3u);
  EXPECT_NEAR(classes[1]["classes"][0]["probability"].get<double>() + classes[1]["classes"][1]["probability"].get<double>(), 1, 1e-3);
  EXPECT_EQ(json("describe-region", one() + "5,5,30,30 --max-new-tokens 4").size(), 1u);
  EXPECT_EQ(json("ask", all() + "'what are the objects in the image?' --max-new-tokens 4").size(), 3u);
  EXPECT_EQ(json("ask", "'what is it?' --max-new-tokens 4").size(), 1u) << "an instruction without a picture";
  EXPECT_EQ(json("infill", "'a <mask> cat' '<mask>' --max-new-tokens 4 --batch-size 1").size(), 2u);
}

TEST_F(InstructionCommands, OnlyTheGivenAnswersComeOut) {
  write_file_atomically(*folder_ / "answers.txt", "yes\nno\nTwo Dogs\n");
  for (const char* how : {"", " --score-all", " --prompt-type prev_output", " --score-all --prompt-type src"}) {
    for (const auto& answer : json("vqa", all() + "'what is it?' --answers " + root_ + "/answers.txt" + how)) {
      const std::string text = answer.at("answer");
      EXPECT_TRUE(text == "yes" || text == "no" || text == "Two Dogs") << text;
    }
  }
  const auto wrong = run("vqa", one() + "'what?' --answers /nowhere.txt");
  EXPECT_EQ(wrong.code, 2);
  EXPECT_TRUE(wrong.holds("there is no such file")) << wrong.out;
  EXPECT_TRUE(run("vqa", one() + "'what?' --score-all").holds("--answers FILE"));
}

TEST_F(InstructionCommands, GroundingPrintsABoxInsideThePictureAndDrawsIt) {
  const auto found = json("ground", all() + "'the dog' --max-image-size 32 --out " + root_ + "/boxes.jsonl");
  ASSERT_EQ(found.size(), 3u);
  for (const auto& entry : found) {
    const auto box = entry.at("box").get<std::vector<double>>();
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_GE(box[i], 0);
      EXPECT_LE(box[i], entry.at(i % 2 ? "height" : "width").get<double>());
    }
  }
  EXPECT_TRUE(std::filesystem::exists(*folder_ / "boxes.jsonl"));
  ASSERT_EQ(run("ground", one() + "'the dog' --draw " + root_ + "/drawn.png").code, 0);
  EXPECT_NE(read_file(*folder_ / "drawn.png"), read_file(*folder_ / "pictures" / "p0.png"));
  EXPECT_TRUE(run("ground", all() + "'the dog' --draw " + root_ + "/drawn.png").holds("name a folder"));
}

TEST_F(InstructionCommands, SayWhatWasWrong) {
  const std::vector<std::tuple<std::string, std::string, std::string>> wrong = {
      {"describe-region", one() + "5,5,300,30", "does not lie inside"},
      {"describe-region", one() + "'5;5;30;30'", "left,top,right,bottom"},
      {"describe-region", one() + "30,5,5,30", "is empty"},
      {"ground", one(), "what to find in it"},
      {"caption", one() + "--image-size 50", "take 48 or 64"},
      {"caption", one() + "--image-size 1600", "pixels a side"},
      {"caption", one() + "--repetition-penalty 2", "no_repeat_ngram"},
      {"vqa", one() + "'" + std::string(300, 'a') + "'", "holds 200"},
      {"infill", "'a cat'", "<mask>"},
      {"ask", one(), "there is no instruction"},
      {"classify", one() + "--classes cat --template 'a {}'", "two towers"},
  };
  for (const auto& [command, arguments, message] : wrong) {
    const auto outcome = run(command, arguments);
    EXPECT_NE(outcome.code, 0) << command;
    EXPECT_TRUE(outcome.holds(message)) << command << " " << arguments << ": " << outcome.out;
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1) << outcome.out;
  }
  for (const char* command : {"ground", "entail", "ask", "describe-region"}) {
    const auto outcome = run(command, one() + "1,2,3,4", true, "blip");
    EXPECT_EQ(outcome.code, 1);
    EXPECT_TRUE(outcome.holds("this blip model cannot") && outcome.holds("instructions")) << outcome.out;
  }
}

TEST_F(InstructionCommands, ExplainThemselvesWithAnExample) {
  for (const char* command : {"ground", "describe-region", "entail", "infill", "ask"}) {
    const auto help = run(command, "--help");
    EXPECT_EQ(help.code, 0);
    EXPECT_TRUE(help.holds(std::string("Example:\n  vlm ") + command + " --model ")) << help.out;
  }
}

TEST_F(InstructionCommands, AreEvaluatedOnTheReleasedFiles) {
  std::string statements, boxes, classes;
  for (int i = 0; i < 3; ++i) {
    const std::string image = encode_base64(picture(i)), n = std::to_string(i);
    statements += n + "\tp" + n + "\t" + image + "\ta dog runs\tan animal\t" + (i ? "neutral" : "entailment") + "\n";
    boxes += n + "\tp" + n + "\tthe dog\t1,1,20,20\t" + image + "\n";
    classes += image + "\t" + n + "\t" + (i ? "cat" : "dog") + "\n";
  }
  write_file_atomically(*folder_ / "ve.tsv", statements);
  write_file_atomically(*folder_ / "ref.tsv", boxes);
  write_file_atomically(*folder_ / "classes.tsv", classes);
  write_file_atomically(*folder_ / "names.txt", "cat\ndog\n");
  const auto entailed = json("eval entail", root_ + "/ve.tsv data.type=ofa_tsv data.tsv_task=snli_ve --with-premise");
  EXPECT_EQ(entailed.at("items"), 3);
  EXPECT_EQ(entailed.at("prompt_type"), "prev_output");
  EXPECT_EQ(json("eval ground", root_ + "/ref.tsv data.type=ofa_tsv data.tsv_task=refcoco").at("items"), 3);
  const auto named = json("eval classify", root_ + "/classes.tsv data.type=ofa_tsv data.tsv_task=image_classify --classnames " + root_ + "/names.txt");
  EXPECT_EQ(named.at("items"), 3);
  EXPECT_NEAR(named.at("majority").get<double>(), 2.0 / 3, 1e-9);
}

}  // namespace vlm
