/// What a user does with fusion models of tasks, as real processes.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "tiny_albef.h"
#include "tiny_mplug.h"
#include "vlm/data/image.h"
#include "vlm/data/image_encode.h"

namespace vlm {
namespace fusion_command_test {

struct Outcome {
  int code = -1;
  std::string out;
  bool holds(const std::string& text) const { return out.find(text) != std::string::npos; }
};

class FusionCommands : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::TemporaryFolder;
    root_ = folder_->path().string() + "/";
    testing::write_tiny_albef(*folder_ / "retrieval", AlbefTask::retrieval);
    testing::write_tiny_albef(*folder_ / "vqa", AlbefTask::vqa);
    testing::write_tiny_albef(*folder_ / "ve", AlbefTask::entailment);
    testing::write_tiny_albef(*folder_ / "nlvr", AlbefTask::nlvr);
    for (const char* task : {"grounding", "entailment", "caption"}) {
      save_hf_folder(*folder_ / task, *testing::tiny_mplug(task), {});
      write_file_atomically(*folder_ / task / "vocab.txt", testing::tiny_vocabulary());
    }
    for (int i = 0; i < 3; ++i) {
      Image image(40, 60);
      for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(60 * i + p % 97);
      write_file_atomically(*folder_ / (std::to_string(i) + ".png"), encode_png(image));
    }
    write_file_atomically(*folder_ / "answers.txt", "a cat\nred\ntwo\n");
    write_file_atomically(*folder_ / "pairs.json", R"([{"sentence": "a cat", "label": "True", "images": ["0.png", "1.png"]},
        {"sentence": "a dog", "label": "False", "images": ["1.png", "2.png"]}])");
    write_file_atomically(*folder_ / "boxes.json", R"([{"image": "0.png", "text": "the cat", "ref_id": 1, "box": [5, 5, 30, 30]}])");
    write_file_atomically(*folder_ / "detections.json", R"({"0": [[5, 5, 25, 25], [30, 0, 20, 20]]})");
  }
  static void TearDownTestSuite() { delete folder_; }

  static Outcome run(const std::string& command, const std::string& model, const std::string& arguments, bool errors = true) {
    Outcome outcome;
    const std::string line = std::string(VLM_BINARY) + " " + command + " --model " + root_ + model + " " + arguments + (errors ? " 2>&1" : " 2>/dev/null");
    FILE* pipe = ::popen(line.c_str(), "r");
    std::array<char, 4096> buffer{};
    while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
    const int status = ::pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return outcome;
  }
  static nlohmann::json json(const std::string& command, const std::string& model, const std::string& arguments) {
    const Outcome outcome = run(command, model, arguments + " --json --threads 1", false);
    EXPECT_EQ(outcome.code, 0) << command << " " << arguments;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }

  static testing::TemporaryFolder* folder_;
  static std::string root_;
};

testing::TemporaryFolder* FusionCommands::folder_ = nullptr;
std::string FusionCommands::root_;

}  // namespace fusion_command_test

using fusion_command_test::FusionCommands;

TEST_F(FusionCommands, StatementsAreJudgedByClassifiers) {
  for (const char* model : {"ve", "entailment"}) {
    const auto judged = json("entail", model, root_ + "0.png 'two dogs are running'");
    ASSERT_EQ(judged.size(), 1U);
    double sum = 0;
    for (const auto& [label, share] : judged[0].at("probabilities").items()) sum += share.get<double>();
    EXPECT_NEAR(sum, 1, 1e-5);
    EXPECT_EQ(run("entail", model, root_ + "0.png 'a cat' --premise 'a dog'").code, 2);
  }
  EXPECT_TRUE(run("entail", "nlvr", root_ + "0.png 'a cat'").holds("cannot judge statements"));
  const auto report = json("eval nlvr2", "nlvr", root_ + "pairs.json");
  EXPECT_EQ(report.at("items"), 2);
  EXPECT_EQ(report.at("majority"), 0.5);
}

TEST_F(FusionCommands, AnswersAreRankedOutOfAFile) {
  const auto ranked = json("vqa", "vqa", root_ + "0.png 'what is it ?' --rank --answers " + root_ + "answers.txt --k-test 2");
  ASSERT_EQ(ranked.size(), 1U);
  const std::string answer = ranked[0].at("answer");
  EXPECT_TRUE(answer == "a cat" || answer == "red" || answer == "two") << answer;
  EXPECT_GE(ranked[0].at("score").get<double>(), 0.5);
  EXPECT_EQ(run("vqa", "vqa", root_ + "0.png 'what is it ?' --rank").code, 2);
  EXPECT_TRUE(run("vqa", "caption", root_ + "0.png 'what is it ?' --rank --answers " + root_ + "answers.txt").holds("cannot rank answers"));
}

TEST_F(FusionCommands, TextsAreFoundByBoxesAndByHeat) {
  const auto box = json("ground", "grounding", root_ + "0.png 'the cat'");
  EXPECT_EQ(box[0].at("box").size(), 4U);
  const auto point = json("ground", "retrieval", root_ + "0.png 'the cat' --draw " + root_ + "found.png");
  EXPECT_EQ(point[0].at("point").size(), 2U);
  EXPECT_LT(point[0].at("point")[0].get<int>(), 60);
  EXPECT_EQ(decode_image(read_file(root_ + "found.png")).width, 60);
  EXPECT_EQ(json("eval ground", "grounding", root_ + "boxes.json").at("items"), 1);
  EXPECT_EQ(json("eval ground", "retrieval", root_ + "boxes.json --detections " + root_ + "detections.json").at("items"), 1);
  const auto refused = run("eval ground", "retrieval", root_ + "boxes.json");
  EXPECT_EQ(refused.code, 2);
  EXPECT_TRUE(refused.holds("--detections")) << refused.out;
}

}  // namespace vlm
