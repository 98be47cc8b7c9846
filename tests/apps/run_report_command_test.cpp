/// `vlm report RUN…` and `vlm train-plan` as a user runs them.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace run_report_command_test {

struct Outcome {
  int code = -1;
  std::string out;
};

Outcome run_vlm(const std::string& arguments) {
  Outcome outcome;
  FILE* pipe = ::popen((std::string(VLM_BINARY) + " " + arguments + " 2>&1").c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

/// What the page's script reads.
nlohmann::json data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const size_t begin = page.find(open) + open.size(), end = page.find("</script>", begin);
  return nlohmann::json::parse(page.substr(begin, end - begin));
}

}  // namespace run_report_command_test

TEST(ReportCommand, TwoRunsBecomeOnePageThatNeedsNothingFromOutside) {
  using run_report_command_test::run_vlm;
  const testing::TemporaryFolder folder;
  for (const char* name : {"x/first", "x/second"}) {
    write_file_atomically(folder / name / "metrics.jsonl", R"({"step":1,"epoch":0,"loss":5.25,"lr":1e-3})" "\n"
                          R"({"step":1,"epoch":0,"eval":"validation","metrics":{"mean_recall":0.5}})" "\n{\"step\":2,\"lo");
    write_file_atomically(folder / name / "recipe.json", R"({"out":")" + std::string(name) + R"(","train":{"lr":0.001}})");
  }
  write_file_atomically(folder / "x/first/samples/step-00000001.json", R"({"step":1,"headline":"one","samples":[{"key":"k","caption":"</script><b>bold"}]})");
  const std::string out = (folder / "page.html").string();
  const auto outcome = run_vlm("report " + (folder / "x/first").string() + " " + (folder / "x/second/").string() + " --out " + out + " --title 'A & B'");
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  const std::string page = read_file(out);
  EXPECT_NE(page.find("<title>A &amp; B</title>"), std::string::npos);
  for (const char* outside : {"src=\"http", "href=", "@import", "fetch("}) EXPECT_EQ(page.find(outside), std::string::npos) << outside;
  const auto data = run_report_command_test::data_of(page);
  ASSERT_EQ(data.at("runs").size(), 2u);
  EXPECT_EQ(data["runs"][0].at("name"), "first");
  EXPECT_EQ(data["runs"][1].at("name"), "second");
  EXPECT_EQ(data["runs"][0].at("steps").at("loss"), nlohmann::json::parse("[[1],[5.25]]"));
  EXPECT_EQ(data["runs"][1].at("evaluations").at("mean_recall"), nlohmann::json::parse("[[1],[0.5]]"));
  EXPECT_EQ(data["runs"][0].at("config").at("train.lr"), "0.001");
  EXPECT_EQ(data["runs"][0].at("samples").at("samples")[0].at("caption"), "</script><b>bold") << "words of a data set cannot end the script";
}

TEST(ReportCommand, AFolderThatIsNoRunIsNamed) {
  using run_report_command_test::run_vlm;
  const testing::TemporaryFolder folder;
  const auto outcome = run_vlm("report " + folder.path().string() + " --out " + (folder / "page.html").string());
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(outcome.out.find("is no training run"), std::string::npos) << outcome.out;
  EXPECT_EQ(run_vlm("report").code, 2);
}

TEST(TrainPlanCommand, SaysWhatARecipeCostsWithoutWritingAnything) {
  using run_report_command_test::run_vlm;
  const testing::TemporaryFolder folder;
  const std::string root = folder.path().string();
  ASSERT_EQ(run_vlm("data make scenes --out " + root + "/scenes --count 60 --seed 2").code, 0);
  ASSERT_EQ(run_vlm("tokenizer train --data " + root + "/scenes/captions_train.json --vocab-size 120 --out " + root + "/tokenizer.model").code, 0);
  write_file_atomically(folder / "recipe.yaml", R"(
model:
  config:
    embed_dim: 16
    vision_cfg: {image_size: 32, patch_size: 16, width: 32, layers: 1, head_width: 16}
    text_cfg: {context_length: 16, vocab_size: 200, width: 32, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
data: {batch_size: 8}
train: {epochs: 2}
)");
  const std::string arguments = "train-plan --config " + root + "/recipe.yaml out=" + root + "/run model.tokenizer=" + root +
                                "/tokenizer.model data.train.path=" + root + "/scenes/train-000000.tar";
  const auto table = run_vlm(arguments);
  EXPECT_EQ(table.code, 0) << table.out;
  for (const char* row : {"parameters", "visual", "activations", "all steps", "a checkpoint"}) EXPECT_NE(table.out.find(row), std::string::npos) << row;
  const auto json = run_vlm(arguments + " --no-measure --world-size 2 --json");
  ASSERT_EQ(json.code, 0) << json.out;
  const auto plan = nlohmann::json::parse(json.out);
  EXPECT_EQ(plan.at("global_batch"), 16);
  EXPECT_TRUE(plan.at("step_seconds").is_null());
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
  EXPECT_EQ(run_vlm("train-plan").code, 2);
}

}  // namespace vlm
