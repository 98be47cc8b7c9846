/// vlm embed, index and search as a user runs them.

#include <ATen/ops/allclose.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/core/strings.h"
#include "vlm/infer/vector_index.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/npy.h"
#include "vlm/io/safetensors.h"

namespace vlm {
namespace search_command_test {

namespace fs = std::filesystem;

struct Outcome {
  int code = -1;
  std::string out;
};

Outcome vlm_run(const std::string& arguments, bool errors = true) {
  Outcome outcome;
  FILE* pipe = ::popen((std::string(VLM_BINARY) + " " + arguments + (errors ? " 2>&1" : " 2>/dev/null")).c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

bool says(const Outcome& outcome, const std::string& text) { return outcome.out.find(text) != std::string::npos; }

nlohmann::json json_of(const std::string& arguments) {
  const Outcome outcome = vlm_run(arguments + " --json", false);
  EXPECT_EQ(outcome.code, 0) << arguments;
  return nlohmann::json::parse(outcome.out, nullptr, false);
}

/// Twelve pictures as files and in a tar, and a model trained on their kind for a moment, made once for all tests.
class SearchCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new testing::TemporaryFolder;
    root_ = folder_->path().string();
    ASSERT_EQ(vlm_run("data make scenes --out " + root_ + "/scenes --count 120 --seed 3").code, 0);
    ASSERT_EQ(vlm_run("tokenizer train --data " + root_ + "/scenes/captions_train.json --vocab-size 120 --out " + root_ + "/tokenizer.model").code, 0);
    write_file_atomically(*folder_ / "recipe.yaml", R"(
model:
  config:
    embed_dim: 16
    vision_cfg: {image_size: 32, patch_size: 16, width: 32, layers: 1, head_width: 16}
    text_cfg: {context_length: 16, vocab_size: 200, width: 32, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
data: {batch_size: 16}
train: {epochs: 1, lr: 1e-3, schedule: {warmup_steps: 2}}
)");
    const Outcome trained = vlm_run("pretrain --config " + root_ + "/recipe.yaml model.tokenizer=" + root_ + "/tokenizer.model data.train.path=" + root_ +
                                "/scenes/train-000000.tar out=" + root_ + "/run");
    ASSERT_EQ(trained.code, 0) << trained.out;
    fs::create_directories(pictures());
    ASSERT_EQ(std::system(("tar -xf " + data() + " -C " + pictures() + " --wildcards '*.png'").c_str()), 0);
    for (const auto& entry : fs::directory_iterator(pictures())) files_.push_back(entry.path().string());
    std::sort(files_.begin(), files_.end());
    ASSERT_GT(files_.size(), 3u);
  }
  static void TearDownTestSuite() { delete folder_; }

  static std::string model() { return " --model " + root_ + "/run/model "; }
  static std::string pictures() { return root_ + "/pictures"; }
  static std::string data() { return root_ + "/scenes/test-000000.tar"; }
  static std::string count() { return std::to_string(files_.size()); }

  static testing::TemporaryFolder* folder_;
  static std::string root_;
  static std::vector<std::string> files_;
};
testing::TemporaryFolder* SearchCommand::folder_ = nullptr;
std::string SearchCommand::root_;
std::vector<std::string> SearchCommand::files_;

}  // namespace search_command_test

using search_command_test::says;
using search_command_test::json_of;
using search_command_test::vlm_run;
using search_command_test::SearchCommand;
namespace fs = std::filesystem;

TEST_F(SearchCommand, EmbedWritesTheSameVectorsInBothFormatsWithTheNamesOfThePictures) {
  const auto npy = json_of("embed" + model() + pictures() + " --out " + root_ + "/v.npy");
  EXPECT_EQ(npy.at("count"), files_.size());
  EXPECT_EQ(npy.at("width"), 16);
  json_of("embed" + model() + pictures() + " --out " + root_ + "/v.safetensors");
  const at::Tensor vectors = read_npy(root_ + "/v.npy");
  const SafetensorsFile file(root_ + "/v.safetensors");
  EXPECT_TRUE(at::allclose(vectors, file.tensor("vectors"), 0, 0));
  EXPECT_NEAR(vectors[1].norm().item<float>(), 1, 1e-5);
  EXPECT_EQ(read_file(root_ + "/v.names.txt"), join(files_, "\n") + "\n");
  EXPECT_EQ(nlohmann::json::parse(file.metadata().at("names")).get<std::vector<std::string>>(), files_);
}

TEST_F(SearchCommand, EmbedLeavesABrokenPictureOutAndSaysSoInItsExitCode) {
  fs::create_directories(root_ + "/some");
  fs::copy_file(files_[0], root_ + "/some/a.png", fs::copy_options::overwrite_existing);
  write_file_atomically(root_ + "/some/b.png", "no picture");
  const auto outcome = vlm_run("embed" + model() + root_ + "/some --out " + root_ + "/some.npy");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_TRUE(says(outcome, "left out: " + root_ + "/some/b.png")) << outcome.out;
  EXPECT_EQ(read_npy(root_ + "/some.npy").size(0), 1);
  EXPECT_EQ(vlm_run("embed" + model() + root_ + "/some/b.png --out " + root_ + "/none.npy").code, 1);
  EXPECT_FALSE(fs::exists(root_ + "/none.npy"));
  EXPECT_EQ(vlm_run("embed" + model() + root_ + "/some --out " + root_ + "/some.txt").code, 2);
}

TEST_F(SearchCommand, EmbedTakesTextsAndDataSets) {
  write_file_atomically(root_ + "/texts.txt", "a red circle\n\na blue square\n");
  json_of("embed" + model() + "--text 'a star' --texts " + root_ + "/texts.txt --out " + root_ + "/t.npy");
  EXPECT_EQ(read_npy(root_ + "/t.npy").size(0), 3);
  EXPECT_EQ(read_file(root_ + "/t.names.txt"), "a star\na red circle\na blue square\n");
  json_of("embed" + model() + "--data " + data() + " data.write_index=false --out " + root_ + "/d.npy");
  json_of("embed" + model() + pictures() + " --out " + root_ + "/f.npy");
  EXPECT_TRUE(at::allclose(read_npy(root_ + "/d.npy"), read_npy(root_ + "/f.npy"), 1e-5, 1e-6));
  EXPECT_TRUE(starts_with(read_file(root_ + "/d.names.txt"), data() + "#0:"));
  json_of("embed" + model() + "--captions --data " + data() + " --out " + root_ + "/c.npy");
  EXPECT_GE(read_npy(root_ + "/c.npy").size(0), static_cast<int64_t>(files_.size()));
  EXPECT_EQ(vlm_run("embed" + model() + pictures() + " --text x --out " + root_ + "/x.npy").code, 2);
}

TEST_F(SearchCommand, AnIndexGivesTheSameAnswersAsThePictures) {
  const std::string index = root_ + "/a.index";
  const auto made = json_of("index" + model() + pictures() + " --out " + index);
  EXPECT_EQ(made.at("added"), files_.size());
  EXPECT_EQ(made.at("type"), "exact");
  const auto direct = json_of("search" + model() + "'a red circle' --top 3 " + pictures());
  const auto stored = json_of("search" + model() + "'a red circle' --top 3 --index " + index);
  ASSERT_EQ(stored.at(0).at("results").size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(direct[0]["results"][i]["picture"], stored[0]["results"][i]["picture"]);
    EXPECT_NEAR(direct[0]["results"][i]["similarity"].get<double>(), stored[0]["results"][i]["similarity"].get<double>(), 1e-5);
  }
  json_of("index" + model() + pictures() + " --type ivf --out " + root_ + "/b.index");
  const auto ivf = json_of("search" + model() + "'a red circle' --top 1 --nprobe 1000 --index " + root_ + "/b.index");
  EXPECT_NEAR(ivf[0]["results"][0]["similarity"].get<double>(), stored[0]["results"][0]["similarity"].get<double>(), 1e-5);
}

TEST_F(SearchCommand, APictureFindsItselfAndSeveralQueriesAreAnsweredInOrder) {
  const std::string index = root_ + "/c.index";
  json_of("index" + model() + pictures() + " --out " + index);
  for (const auto& found : {json_of("search" + model() + files_[2] + " --index " + index), json_of("search" + model() + "--picture " + files_[2] + " " + pictures())}) {
    EXPECT_EQ(found.at(0).at("kind"), "picture");
    EXPECT_NEAR(found[0]["results"][0]["similarity"].get<double>(), 1, 1e-4);
  }
  write_file_atomically(root_ + "/queries.txt", "a red circle\n" + files_[0] + "\n");
  const auto several = json_of("search" + model() + "--queries " + root_ + "/queries.txt --top 1 --index " + index);
  ASSERT_EQ(several.size(), 2u);
  EXPECT_EQ(several[0].at("query"), "a red circle");
  EXPECT_EQ(several[1].at("kind"), "picture");
}

TEST_F(SearchCommand, AddingPassesOverWhatIsThereAndAnIndexIsNotOverwrittenByChance) {
  const std::string index = root_ + "/d.index";
  json_of("index" + model() + files_[0] + " " + files_[1] + " " + files_[0] + " --out " + index);
  EXPECT_EQ(VectorIndex::open(index).size(), 2) << "a picture named twice counts once";
  const auto again = vlm_run("index" + model() + pictures() + " --out " + index);
  EXPECT_EQ(again.code, 2);
  EXPECT_TRUE(says(again, "--add adds to it")) << again.out;
  const auto grown = json_of("index" + model() + pictures() + " --add --out " + index);
  EXPECT_EQ(grown.at("added"), files_.size() - 2);
  EXPECT_EQ(grown.at("already_there"), 2);
  json_of("index" + model() + "--data " + data() + " --add --save-every 0 --out " + index);
  EXPECT_EQ(VectorIndex::open(index).size(), 2 * static_cast<int64_t>(files_.size()));
  EXPECT_EQ(vlm_run("index" + model() + pictures() + " --out " + pictures()).code, 2) << "a folder of something else";
}

TEST_F(SearchCommand, ThePageHoldsThePicturesAndNamesAreText) {
  const std::string folder = root_ + "/odd", index = root_ + "/e.index";
  fs::create_directories(folder);
  fs::copy_file(files_[0], folder + "/<i>&\"x.png", fs::copy_options::overwrite_existing);
  fs::copy_file(files_[1], folder + "/gone.png", fs::copy_options::overwrite_existing);
  json_of("index" + model() + folder + " --data " + data() + " --out " + index);
  fs::remove(folder + "/gone.png");
  const auto outcome = vlm_run("search" + model() + "'<script>alert(1)</script>' --top 1000 --index " + index + " --data " + data() + " --html " + root_ + "/sheet.html");
  ASSERT_EQ(outcome.code, 0) << outcome.out;
  const std::string page = read_file(root_ + "/sheet.html");
  EXPECT_EQ(page.find("<script"), std::string::npos);
  EXPECT_EQ(page.find("<i>"), std::string::npos);
  EXPECT_NE(page.find("&lt;i&gt;&amp;&quot;x.png"), std::string::npos);
  EXPECT_NE(page.find("not there any more"), std::string::npos);
  EXPECT_EQ(page.find("src=\"http"), std::string::npos);
  size_t pictures = 0;
  for (size_t at = page.find("data:image/jpeg;base64,"); at != std::string::npos; at = page.find("data:image/jpeg;base64,", at + 1)) ++pictures;
  EXPECT_EQ(pictures, 1 + files_.size()) << "those of files and those of the data set";
}

TEST_F(SearchCommand, AnIndexOfAnotherModelIsAWarningAndOneOfAnotherWidthAnError) {
  const std::string other = root_ + "/f.index", wide = root_ + "/g.index";
  VectorIndex index(16, {"runs/\x1b[31mother", "0000000000000000"});
  index.add(at::full({1, 16}, 0.25), {"a\nname"});
  index.save(other);
  const auto warned = vlm_run("search" + model() + "'a red circle' --index " + other);
  EXPECT_EQ(warned.code, 0);
  EXPECT_TRUE(says(warned, "was made by another model (runs/?[31mother)")) << warned.out;
  EXPECT_TRUE(says(warned, "a?name"));
  EXPECT_EQ(vlm_run("index" + model() + pictures() + " --add --out " + other).code, 1);
  VectorIndex narrow(8);
  narrow.add(at::full({1, 8}, 0.25), {"x"});
  narrow.save(wide);
  const auto refused = vlm_run("search" + model() + "'a red circle' --index " + wide);
  EXPECT_EQ(refused.code, 1);
  EXPECT_TRUE(says(refused, "its vectors have 8 numbers")) << refused.out;
  write_file_atomically(root_ + "/old.safetensors", "x");
  EXPECT_TRUE(says(vlm_run("search" + model() + "x --index " + root_ + "/old.safetensors"), "make an index with: vlm index"));
}

TEST_F(SearchCommand, ClassesOfAModelWithABiasAreJudgedEachAlone) {
  const std::string sigmoid = root_ + "/sigmoid";
  fs::copy(root_ + "/run/model", sigmoid, fs::copy_options::recursive);
  auto config = nlohmann::json::parse(read_file(sigmoid + "/open_clip_config.json"));
  config["model_cfg"]["init_logit_bias"] = -10;
  write_file_atomically(sigmoid + "/open_clip_config.json", config.dump());
  auto weights = read_safetensors(sigmoid + "/open_clip_model.safetensors");
  weights["logit_bias"] = at::full({}, -10.0);
  write_safetensors(sigmoid + "/open_clip_model.safetensors", weights);
  const auto sum = [](const nlohmann::json& classes) { return classes[0]["probability"].get<double>() + classes[1]["probability"].get<double>(); };
  const auto alone = json_of("classify --model " + sigmoid + " --labels 'circle, square' " + files_[0]);
  EXPECT_EQ(alone.at(0).at("activation"), "sigmoid");
  EXPECT_LT(sum(alone[0]["classes"]), 0.9);
  const auto among = json_of("classify" + model() + "--classes 'circle, square' " + files_[0]);
  EXPECT_EQ(among.at(0).at("activation"), "softmax");
  EXPECT_NEAR(sum(among[0]["classes"]), 1, 1e-4);
  EXPECT_TRUE(says(vlm_run("classify --model " + sigmoid + " --labels 'circle, square' " + files_[0]), "probability (sigmoid)"));
}

}  // namespace vlm
