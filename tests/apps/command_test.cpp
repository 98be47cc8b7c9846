/// The command as a user runs it: real processes, exit codes, messages.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/io/atomic_file.h"

namespace vlm {
namespace command_test {

struct Outcome {
  int code = -1;
  std::string out;  // standard output and standard error together, unless told otherwise
};

Outcome run(const std::string& arguments, bool errors = true) {
  Outcome outcome;
  FILE* pipe = ::popen((std::string(VLM_BINARY) + " " + arguments + (errors ? " 2>&1" : " 2>/dev/null")).c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

bool holds(const Outcome& outcome, const std::string& text) { return outcome.out.find(text) != std::string::npos; }

/// A small set of drawn scenes, a vocabulary and a model trained on them for a moment, made once for all tests.
class Command : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::TemporaryFolder;
    root_ = folder_->path().string();
    ASSERT_EQ(run("data make scenes --out " + root_ + "/scenes --count 120 --seed 2").code, 0);
    ASSERT_EQ(run("tokenizer train --data " + root_ + "/scenes/captions_train.json --vocab-size 120 --out " + root_ + "/tokenizer.model").code, 0);
    write_file_atomically(*folder_ / "recipe.yaml", R"(
model:
  config:
    embed_dim: 16
    vision_cfg: {image_size: 32, patch_size: 16, width: 32, layers: 1, head_width: 16}
    text_cfg: {context_length: 16, vocab_size: 200, width: 32, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
data: {batch_size: 16, preprocess: {resize_mode: longest, fill_color: 255}, augment: {pad_square: true}}
train: {epochs: 2, lr: 1e-3, schedule: {warmup_steps: 2}, eval_every_epochs: 1}
)");
    const Outcome trained = run(recipe() + " out=" + root_ + "/run");
    ASSERT_EQ(trained.code, 0) << trained.out;
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string recipe() {
    return "pretrain --config " + root_ + "/recipe.yaml model.tokenizer=" + root_ + "/tokenizer.model data.train.path=" + root_ +
           "/scenes/train-000000.tar data.val.path=" + root_ + "/scenes/val-000000.tar";
  }
  static std::string model() { return " --model " + root_ + "/run/model "; }
  static std::string tests() { return " " + root_ + "/scenes/test-000000.tar "; }

  static testing::TemporaryFolder* folder_;
  static std::string root_;
};
testing::TemporaryFolder* Command::folder_ = nullptr;
std::string Command::root_;

}  // namespace command_test

using command_test::Command;
using command_test::holds;
using command_test::run;

TEST(CommandLine, EveryCommandExplainsItselfWithAnExample) {
  const auto help = run("--help");
  EXPECT_EQ(help.code, 0);
  for (const char* name : {"info", "data", "tokenizer", "pretrain", "launch", "eval", "classify", "embed", "index", "search", "golden", "bench"}) {
    EXPECT_TRUE(holds(help, std::string("\n  ") + name + " ")) << name;
    const auto own = run(std::string(name) + " --help");
    EXPECT_EQ(own.code, 0) << name;
    EXPECT_TRUE(holds(own, "Example:\n  vlm " + std::string(name))) << own.out;
  }
}

TEST(CommandLine, WrongUseEndsWithTwo) {
  EXPECT_EQ(run("").code, 2);
  EXPECT_EQ(run("captoin").code, 2);
  EXPECT_EQ(run("classify --model x").code, 2);
  EXPECT_EQ(run("info /nowhere/at/all").code, 2);
}

TEST(CommandLine, AMisspeltKeyOfARecipeIsNamedWithItsPlaceAndNeighbour) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "r.yaml", "train:\n  epohcs: 3\n");
  const auto outcome = run("pretrain --config " + (folder / "r.yaml").string());
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(holds(outcome, "r.yaml:2: unknown key 'train.epohcs' (did you mean 'epochs'?)")) << outcome.out;
}

TEST(CommandLine, EveryKeyOfARecipeIsListedWithWhatItMeans) {
  const auto outcome = run("pretrain --print-recipe");
  EXPECT_EQ(outcome.code, 0);
  for (const char* key : {"batch_size", "grad_clip_norm", "captions_field", "warmup_steps"}) EXPECT_TRUE(holds(outcome, key)) << key;
}

TEST_F(Command, EvaluationPrintsJsonWithFractionsBesideChance) {
  const auto outcome = run("eval retrieval" + model() + tests() + "--merge-equal-texts --json", false);
  ASSERT_EQ(outcome.code, 0);
  const auto json = nlohmann::json::parse(outcome.out);
  EXPECT_GT(json.at("images"), 0);
  EXPECT_LE(json.at("image_to_text").at("R@10"), 1.0);
  EXPECT_GT(json.at("chance").at("image_to_text").at("R@10"), 0.0);
}

TEST_F(Command, ARunThatIsOverTrainsNoFurther) {
  const auto losses = [&] {
    int64_t count = 0;
    std::ifstream in(root_ + "/run/metrics.jsonl");
    for (std::string line; std::getline(in, line);) count += nlohmann::json::parse(line).contains("loss");
    return count;
  };
  const int64_t before = losses();
  ASSERT_GT(before, 0);
  const auto again = run(recipe() + " out=" + root_ + "/run --json", false);
  ASSERT_EQ(again.code, 0);
  EXPECT_EQ(nlohmann::json::parse(again.out).at("steps"), before);
  EXPECT_EQ(losses(), before);
}

TEST_F(Command, ClassesAndSearchesPictureFilesAndLeavesBrokenOnesOut) {
  const std::string pictures = root_ + "/pictures";
  std::filesystem::create_directories(pictures);
  ASSERT_EQ(std::system(("tar -xf " + root_ + "/scenes/test-000000.tar -C " + pictures + " --wildcards '*.png'").c_str()), 0);
  write_file_atomically(pictures + "/broken.png", "no picture");
  const auto classes = run("classify" + model() + "--classes 'circle, square' --json " + pictures, false);
  EXPECT_EQ(classes.code, 1) << "a picture that could not be read must show in the exit code";
  const auto json = nlohmann::json::parse(classes.out);
  EXPECT_GT(json.size(), 1u);
  EXPECT_NEAR(json[0]["classes"][0]["probability"].get<double>() + json[0]["classes"][1]["probability"].get<double>(), 1.0, 1e-4);
  const auto found = run("search" + model() + "'a red circle' " + pictures + " --top 2");
  EXPECT_EQ(found.code, 0) << found.out;
  EXPECT_TRUE(holds(found, "broken.png"));
}

TEST_F(Command, InfoExplainsAModelFolderAndFailsOnOneThatDoesNotFit) {
  const auto good = run("info " + root_ + "/run/model --json", false);
  EXPECT_EQ(good.code, 0);
  EXPECT_EQ(nlohmann::json::parse(good.out).at("family"), "clip");
  const std::string other = root_ + "/other";
  std::filesystem::create_directories(other);
  std::filesystem::copy_file(root_ + "/run/model/open_clip_model.safetensors", other + "/open_clip_model.safetensors");
  write_file_atomically(other + "/open_clip_config.json", R"({"model_cfg": {"embed_dim": 16, "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}, "text_cfg": {"width": 32, "heads": 2, "layers": 1}}})");
  EXPECT_EQ(run("info " + other).code, 1);
  EXPECT_TRUE(holds(run("eval retrieval --model " + other + tests()), "the weights do not fit the model"));
}

TEST_F(Command, AnInterruptedRunEndsWith75AndGoesOn) {
  const std::string out = root_ + "/interrupted";
  const std::string start = std::string(VLM_BINARY) + " " + recipe() + " out=" + out + " train.epochs=20000 train.eval_every_epochs=0 train.save_every_epochs=0 2>" + root_ + "/log";
  const int status = std::system(("timeout -s TERM 4 " + start + "; exit $?").c_str());
  // timeout itself ends with 124 when it had to send the signal; the command's own code shows with --preserve-status.
  EXPECT_EQ(WEXITSTATUS(status), 124);
  const auto checkpoint = read_file(out + "/checkpoints/latest/trainer.json");
  EXPECT_GT(nlohmann::json::parse(checkpoint).at("step"), 0);
  const int again = std::system(("timeout --preserve-status -s TERM 4 " + start + "; exit $?").c_str());
  EXPECT_EQ(WEXITSTATUS(again), 75);
  EXPECT_NE(read_file(root_ + "/log").find("going on from"), std::string::npos);
}

TEST_F(Command, TheReportIsAPageWithPicturesAndTheCurve) {
  const auto outcome = run("report" + model() + "--run " + root_ + "/run" + tests() + "--query 'a red circle' --out " + root_ + "/page.html");
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  const std::string page = read_file(root_ + "/page.html");
  for (const char* part : {"data:image/png;base64,", "<polyline", "a red circle", "R@10"}) EXPECT_NE(page.find(part), std::string::npos) << part;
}

}  // namespace vlm
