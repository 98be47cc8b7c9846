/// Every reference case of tests/goldens, and of the shared collection beside the checkout where there is one, for the kinds
/// that this build knows. Cases that need a published vocabulary lie in the shared collection alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "temporary_folder.h"
#include "vlm/core/strings.h"
#include "vlm/golden/case.h"
#include "vlm/golden/runner.h"
#include "vlm/io/atomic_file.h"

namespace vlm::golden {
namespace golden_test {

namespace fs = std::filesystem;

const fs::path own = fs::path(VLM_SOURCE_DIR) / "tests" / "goldens";
const fs::path shared = fs::path(VLM_SOURCE_DIR) / ".." / "shared" / "goldens";

std::vector<fs::path> cases() {
  std::vector<fs::path> out;
  for (const auto& root : {own, shared}) {
    if (!fs::is_directory(root)) continue;
    for (const auto& folder : find_cases({root})) {
      if (operations().count(kind_of(folder))) out.push_back(folder.lexically_normal());
    }
  }
  return out;
}

std::string name_of(const ::testing::TestParamInfo<fs::path>& info) {
  std::string name = (info.param.string().find("tests/goldens") != std::string::npos ? "own_" : "shared_") +
                     info.param.parent_path().filename().string() + "_" + info.param.filename().string();
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
}

}  // namespace golden_test

class GoldenCase : public ::testing::TestWithParam<std::filesystem::path> {};

TEST_P(GoldenCase, AgreesWithTheReference) {
  // The cases of this repository find the shared vocabularies only where these are.
  const auto root = golden_test::fs::is_directory(golden_test::shared.parent_path() / "vocab") ? golden_test::shared.parent_path() : golden_test::fs::path();
  const Report report = run_case(GetParam(), root);
  EXPECT_TRUE(report.passed) << report.kind << ": " << report.message << " (" << report.worst_ratio << " times the tolerance)";
}

INSTANTIATE_TEST_SUITE_P(Goldens, GoldenCase, ::testing::ValuesIn(golden_test::cases()), golden_test::name_of);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenCase);

/// A case whose expectation is wrong must fail: a runner that passes everything protects nothing.
TEST(GoldenRunner, FailsWhenAnExpectationIsChanged) {
  const testing::TemporaryFolder folder;
  const auto source = golden_test::own / "data" / "permutation";
  for (const auto& entry : golden_test::fs::directory_iterator(source)) golden_test::fs::copy(entry.path(), folder.path() / entry.path().filename());
  EXPECT_TRUE(run_case(folder.path()).passed);
  std::string text = read_file(folder / "case.json");
  const std::string word = "13679457532755275413";
  ASSERT_NE(text.find(word), std::string::npos);
  text.replace(text.find(word), word.size(), "13679457532755275414");
  write_file_atomically(folder / "case.json", text);
  const Report report = run_case(folder.path());
  EXPECT_FALSE(report.passed);
  EXPECT_EQ(report.worst_output, "out.words");
}

TEST(GoldenRunner, AnUnknownKindIsAFailure) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "case.json", R"({"kind": "clip.vti", "outputs": {"out.x": {"exact": true}}})");
  const Report report = run_case(folder.path());
  EXPECT_FALSE(report.passed);
  EXPECT_NE(report.message.find("unknown kind (did you mean 'clip.vit'"), std::string::npos) << report.message;
}

/// The kinds that this version promises.
TEST(GoldenRunner, KnowsTheKindsItPromises) {
  for (const char* kind : {"clip.vit", "clip.text", "clip.forward", "clip.loss", "clip.tokenize", "image.decode", "image.resize", "image.geometry",
                           "image.preprocess", "image.augment", "io.safetensors", "io.safetensors_refused", "io.torch_checkpoint",
                           "io.torch_checkpoint_refused", "clip.convert", "data.webdataset", "data.image_folder",
                           "data.epoch_plan", "data.epoch_resume", "data.permutation", "data.brace_expand", "metric.retrieval_recall",
                           "metric.zero_shot_topk", "train.adamw", "train.lr_schedule", "train.param_groups"}) {
    EXPECT_EQ(operations().count(kind), 1u) << kind;
  }
}

}  // namespace vlm::golden
