/// What a user does with models of ALBEF's kin, as real processes.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "temporary_folder.h"
#include "tiny_albef.h"
#include "vlm/data/image.h"
#include "vlm/data/image_encode.h"
#include "vlm/io/atomic_file.h"

namespace vlm {
namespace albef_command_test {

struct Outcome {
  int code = -1;
  std::string out;
};

class AlbefCommands : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::TemporaryFolder;
    root_ = folder_->path().string();
    testing::write_tiny_albef(*folder_ / "albef", AlbefTask::retrieval);
    testing::write_tiny_albef(*folder_ / "vqa", AlbefTask::vqa);
    testing::write_tiny_blip(*folder_ / "blip", "BlipForImageTextRetrieval");
    testing::write_tiny_ofa(*folder_ / "ofa");
    for (int i = 0; i < 4; ++i) {
      Image image(40, 60 + 10 * i);
      for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(60 * i + p % (31 + static_cast<size_t>(i)) * 7);
      write_file_atomically(*folder_ / "pictures" / ("p" + std::to_string(i) + ".png"), encode_png(image));
      write_file_atomically(*folder_ / "pictures" / ("p" + std::to_string(i) + ".txt"), i % 2 ? "a red cat" : "two dogs on the sofa");
    }
  }
  static void TearDownTestSuite() { delete folder_; }

  static Outcome run(const std::string& arguments, bool errors = true) {
    Outcome outcome;
    FILE* pipe = ::popen((std::string(VLM_BINARY) + " " + arguments + (errors ? " 2>&1" : " 2>/dev/null")).c_str(), "r");
    std::array<char, 4096> buffer{};
    while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
    const int status = ::pclose(pipe);
    outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return outcome;
  }
  static nlohmann::json json(const std::string& command, const std::string& model, const std::string& arguments) {
    const Outcome outcome = run(command + " --model " + root_ + "/" + model + " " + arguments + " --json --threads 1", false);
    EXPECT_EQ(outcome.code, 0) << command << " " << arguments;
    return nlohmann::json::parse(outcome.out, nullptr, false);
  }

  static testing::TemporaryFolder* folder_;
  static std::string root_;
};

testing::TemporaryFolder* AlbefCommands::folder_ = nullptr;
std::string AlbefCommands::root_;

TEST_F(AlbefCommands, MatchesAndAnswers) {
  const auto matches = json("match", "albef", root_ + "/pictures 'a red cat'");
  ASSERT_EQ(matches.size(), 4u);
  for (const auto& match : matches) {
    EXPECT_GT(match.at("match"), 0);
    EXPECT_LT(match.at("match"), 1);
    EXPECT_LE(match.at("cosine"), 1.0001);
  }
  EXPECT_EQ(json("vqa", "vqa", root_ + "/pictures 'what colour is it ?'").size(), 4u);
}

TEST_F(AlbefCommands, SearchLooksAgainInTheOrderOfTheMatchingHead) {
  for (const char* model : {"albef", "blip"}) {
    const auto by_cosine = json("search", model, "'a red cat' " + root_ + "/pictures --top 4")[0].at("results");
    const auto again = json("search", model, "'a red cat' " + root_ + "/pictures --top 4 --rerank 4")[0].at("results");
    ASSERT_EQ(again.size(), 4u);
    std::set<std::string> before, after;
    std::map<std::string, double> cosines;
    for (const auto& hit : by_cosine) {
      EXPECT_FALSE(hit.contains("matching"));
      cosines[hit.at("picture")] = hit.at("similarity");
    }
    for (size_t i = 0; i < 4; ++i) {
      before.insert(by_cosine[i].at("picture"));
      after.insert(again[i].at("picture"));
      if (i > 0) {
        EXPECT_GE(again[i - 1].at("matching"), again[i].at("matching"));
      }
      EXPECT_NEAR(again[i].at("similarity").get<double>(), cosines[again[i].at("picture")], 1e-5) << "the cosine stays what it was";
      EXPECT_NE(again[i].at("matching"), again[i].at("similarity"));
    }
    EXPECT_EQ(before, after);
    const auto fewer = json("search", model, "'a red cat' " + root_ + "/pictures --top 4 --rerank 2")[0].at("results");
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(fewer[i].contains("matching"), i < 2);
      if (i >= 2) {
        EXPECT_EQ(fewer[i].at("picture"), by_cosine[i].at("picture")) << "those that nobody looked at again stay where they were";
      }
    }
    const std::string search = "search --model " + root_ + "/" + model + " 'a red cat' " + root_ + "/pictures";
    EXPECT_EQ(run(search + " --rerank 4", false).out.find("matching  similarity  picture"), 0u);
    EXPECT_EQ(run(search, false).out.find("similarity  picture"), 0u);
  }
}

TEST_F(AlbefCommands, RetrievalIsMeasuredInTwoStages) {
  const auto report = json("eval retrieval", "albef", root_ + "/pictures --merge-equal-texts --rerank 2");
  EXPECT_EQ(report.at("rerank"), 2);
  EXPECT_EQ(report.at("texts"), 2);
  EXPECT_TRUE(report.at("image_to_text").contains("R@1"));
}

TEST_F(AlbefCommands, ExplainDrawsAMapForEachWord) {
  std::filesystem::create_directories(*folder_ / "maps");
  const auto explained = json("explain", "albef", root_ + "/pictures/p1.png 'a red cats' --out " + root_ + "/maps");
  ASSERT_EQ(explained.size(), 1u);
  const auto& words = explained[0].at("words");
  ASSERT_EQ(words.size(), 3u);
  EXPECT_EQ(words[2].at("word"), "cats");  // "cat" and "##s"
  for (const auto& word : words) {
    const Image map = decode_image(read_file(word.at("map").get<std::string>()), {});
    EXPECT_EQ(map.height, 40);
    EXPECT_EQ(map.width, 70);
  }
  const Outcome refused = run("explain --model " + root_ + "/ofa " + root_ + "/pictures/p1.png 'a cat' --out " + root_ + "/maps");
  EXPECT_EQ(refused.code, 1);
  EXPECT_NE(refused.out.find("this ofa model cannot show where words are"), std::string::npos) << refused.out;
}

}  // namespace albef_command_test
}  // namespace vlm
