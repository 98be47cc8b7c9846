#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "tiny_albef.h"
#include "tiny_mplug.h"
#include "vlm/core/error.h"
#include "vlm/infer/convert.h"
#include "vlm/infer/pipeline.h"
#include "vlm/io/weights.h"

namespace vlm {
namespace convert_fused_test {

/// Configuration, outputs, and how pictures are prepared.
void expect_same(const std::filesystem::path& a, const std::filesystem::path& b, int64_t side) {
  const LoadedModel first = load_model(a), second = load_model(b);
  EXPECT_EQ(first.model->config(), second.model->config());
  const c10::InferenceMode inference;
  const Tensor pixels = at::rand({2, 3, side, side}), ids = at::tensor({2, 9, 6, 3, 2, 12, 3, 0}, at::kLong).view({2, 4}),
               mask = ids.ne(0).to(at::kLong);
  const auto match = [&](const LoadedModel& loaded) {
    return require<Matcher>(*loaded.model, "match", "").match(pixels, ids, mask);
  };
  EXPECT_TRUE(at::allclose(match(first), match(second), 1e-6, 1e-7));
  const PreprocessOptions before = find_preprocess(first), after = find_preprocess(second);
  EXPECT_EQ(before.mean, after.mean);
  EXPECT_EQ(before.resize_mode, after.resize_mode);
}

void expect_there_and_back(const testing::TemporaryFolder& folder, const std::string& family, const std::string& checkpoint,
                           int64_t side) {
  const ConvertReport there = convert_model(folder / "a", folder / "b", {.to = family});
  EXPECT_EQ(there.family, family);
  EXPECT_EQ(there.from, "hf");
  for (const std::string& file :
       {checkpoint, std::string("config.yaml"), std::string("config_bert.json"), std::string("vocab.txt")}) {
    EXPECT_TRUE(std::filesystem::exists(folder / "b" / file)) << file;
  }
  const ConvertReport back = convert_model(folder / "b", folder / "c", {.to = "hf"});
  EXPECT_EQ(back.from, family);
  expect_same(folder / "a", folder / "b", side);
  expect_same(folder / "a", folder / "c", side);
  const TensorMap first = read_weights(folder / "a" / "model.safetensors"),
                  last = read_weights(folder / "c" / "model.safetensors");
  ASSERT_EQ(first.size(), last.size());
  for (const auto& [name, tensor] : first) EXPECT_TRUE(at::equal(last.at(name), tensor)) << name;
}

}  // namespace convert_fused_test

TEST(ConvertFused, AlbefGoesToItsPublicLayoutAndBack) {
  using namespace convert_fused_test;
  for (const AlbefTask task : {AlbefTask::pretrain, AlbefTask::retrieval}) {
    const testing::TemporaryFolder folder;
    testing::write_tiny_albef(folder / "a", task);
    expect_there_and_back(folder, "albef", "checkpoint_best.pth", 32);
  }
}

TEST(ConvertFused, MplugGoesToItsPublicLayoutAndBack) {
  using namespace convert_fused_test;
  const testing::TemporaryFolder folder;
  save_hf_folder(folder / "a", *testing::tiny_mplug("retrieval"), {});
  write_file_atomically(folder / "a" / "vocab.txt", testing::tiny_vocabulary());
  expect_there_and_back(folder, "mplug", "pytorch_model.bin", 16);
}

TEST(ConvertFused, LayoutsOfOtherFamiliesAreRefusedAndLeaveNothingBehind) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_albef(folder / "a", AlbefTask::retrieval);
  for (const char* layout : {"mplug", "open_clip", "fairseq"})
    EXPECT_THROW(convert_model(folder / "a", folder / "b", {.to = layout}), Error) << layout;
  testing::write_tiny_blip(folder / "blip", "BlipForImageTextRetrieval");
  EXPECT_THROW(convert_model(folder / "blip", folder / "b", {.to = "albef"}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "b"));
}

}  // namespace vlm
