#include "vlm/io/weights.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "io/zip_writer.h"
#include "temporary_folder.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"

namespace vlm {
namespace weights_test {

std::string refusal(const std::filesystem::path& file) {
  return testing::error_of([&] { read_weights(file); });
}

bool mentions(const std::string& message, const std::string& part) { return message.find(part) != std::string::npos; }

TensorMap one(const std::string& name, double value) { return {{name, at::full({2}, value)}}; }

}  // namespace weights_test

TEST(ReadWeights, TheContainerFollowsFromTheBytesNotFromTheName) {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "weights.bin", weights_test::one("a", 1));
  EXPECT_EQ(read_weights(folder / "weights.bin").count("a"), 1u);
  const std::string zip = testing::checkpoint_of(
      "}" + testing::text("b") + testing::pickled({"ByteStorage", "0", 2, 0, {2}, {1}}) + "s", {{"0", "xy"}});
  write_file_atomically(folder / "weights.safetensors", zip);
  EXPECT_EQ(read_weights(folder / "weights.safetensors").count("b"), 1u);
}

TEST(ReadWeights, ShardsMayBeOfAnyContainer) {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "1.safetensors", weights_test::one("a", 1));
  write_file_atomically(
      folder / "2.bin",
      testing::checkpoint_of("}" + testing::text("b") + testing::pickled({"ByteStorage", "0", 2, 0, {2}, {1}}) + "s",
                             {{"0", "xy"}}));
  write_file_atomically(folder / "m.index.json",
                        R"({"metadata": {"total_size": 4}, "weight_map": {"a": "1.safetensors", "b": "2.bin"}})");
  const TensorMap got = read_weights(folder / "m.index.json");
  EXPECT_EQ(got.size(), 2u);
  EXPECT_TRUE(at::equal(got.at("a"), at::full({2}, 1.0)));
}

TEST(ReadWeights, AnIndexIsFollowedToTheLetter) {
  using weights_test::mentions;
  using weights_test::refusal;
  const testing::TemporaryFolder folder;
  const auto index = [&](const std::string& map) {
    write_file_atomically(folder / "m.index.json", "{\"weight_map\": {" + map + "}}");
    return refusal(folder / "m.index.json");
  };
  write_safetensors(folder / "1.safetensors", weights_test::one("a", 1));
  write_safetensors(folder / "2.safetensors", {{"a", at::full({2}, 2.0)}, {"b", at::full({2}, 2.0)}});
  EXPECT_EQ(index(R"("a": "1.safetensors")"), "");
  EXPECT_TRUE(mentions(index(R"("a": "3.safetensors")"), "the file 3.safetensors, which holds 'a', is missing"));
  EXPECT_TRUE(mentions(index(R"("c": "1.safetensors")"), "does not hold the tensor 'c'"));
  EXPECT_TRUE(mentions(index(R"("a": "1.safetensors", "b": "2.safetensors")"), "stands in 2.safetensors too"));
  EXPECT_TRUE(mentions(index(R"("a": "1.safetensors", "a": "2.safetensors")"), "stands in it twice"));
  for (const char* path : {"../1.safetensors", "/etc/passwd", "x/1.safetensors", "a\\\\b", ""}) {
    EXPECT_TRUE(mentions(index(std::string("\"a\": \"") + path + "\""), "not a plain file name")) << path;
  }
  write_file_atomically(folder / "m.index.json", "{\"weight_map\": 3}");
  EXPECT_TRUE(mentions(refusal(folder / "m.index.json"), "weight_map"));
}

TEST(ReadWeights, WhatTrainingPutsInFrontOfNamesIsTakenOff) {
  const testing::TemporaryFolder folder;
  for (const char* wrapper : {"module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."}) {
    write_safetensors(folder / "w.safetensors", weights_test::one(std::string(wrapper) + "a.module.b", 1));
    EXPECT_EQ(read_weights(folder / "w.safetensors").begin()->first, "a.module.b") << wrapper;
  }
}

TEST(ReadWeights, WhatIsNoWeightFileIsCalledByItsName) {
  using weights_test::mentions;
  using weights_test::refusal;
  const testing::TemporaryFolder folder;
  const auto of = [&](const std::string& content) {
    write_file_atomically(folder / "w.bin", content);
    return refusal(folder / "w.bin");
  };
  EXPECT_TRUE(mentions(of(""), "empty"));
  EXPECT_TRUE(mentions(of("version https://git-lfs.github.com/spec/v1\noid"), "Git LFS pointer"));
  EXPECT_TRUE(mentions(of("\n<!DOCTYPE html>"), "web page"));
  EXPECT_TRUE(mentions(of("\x93NUMPY\x01"), "NumPy"));
  EXPECT_TRUE(mentions(of("hello"), "neither a safetensors file nor"));
}

}  // namespace vlm
