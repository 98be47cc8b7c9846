#include "vlm/io/torch_writer.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "vlm/io/torch_checkpoint.h"

namespace vlm {

TEST(TorchWriter, WhatIsWrittenIsReadAgain) {
  const testing::TemporaryFolder folder;
  const nlohmann::ordered_json plain = {{"none", nullptr}, {"yes", true}, {"small", 7}, {"large", 300}, {"negative", -3}, {"far", 1099511627793},
                                        {"real", 0.1}, {"text", "naïve ☕"}, {"list", {1, 2.5, "x"}}, {"empty", nlohmann::ordered_json::array()}};
  TensorMap tensors = {{"float", at::rand({2, 3})}, {"half", at::rand({4}).to(at::kHalf)}, {"int", at::arange(5)}, {"scalar", at::rand({})},
                       {"nothing", at::rand({0, 3})}, {"slice", at::rand({6, 4}).t().slice(0, 1, 3)}, {"mask", at::rand({3}) > 0.5}};
  write_torch_checkpoint(folder / "c.pt", {{.key = "args", .plain = plain, .is_namespace = true}, {.key = "cfg"}, {.key = "model", .tensors = tensors}});
  const TorchCheckpoint read(folder / "c.pt");
  const auto args = *read.root().find("args");
  ASSERT_EQ(args.size(), plain.size());
  for (const auto& [key, value] : plain.items()) {
    if (!value.is_array()) EXPECT_EQ(args.find(key)->to_json(), value) << key;
  }
  EXPECT_EQ(args.find("list")->item(1).number(), 2.5);
  EXPECT_EQ(args.find("empty")->size(), 0u);
  EXPECT_EQ(read.root().find("cfg")->kind(), PickleKind::none);
  const TensorMap got = tensors_below(*read.root().find("model"));
  ASSERT_EQ(got.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) {
    EXPECT_EQ(got.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(got.at(name), tensor)) << name;
  }
}

TEST(TorchWriter, TensorsThatShareTheirMemoryAreStoredOnce) {
  const testing::TemporaryFolder folder;
  const Tensor table = at::rand({1000, 10});
  write_torch_checkpoint(folder / "one.pt", {{.key = "model", .tensors = {{"a", table}}}});
  write_torch_checkpoint(folder / "two.pt", {{.key = "model", .tensors = {{"a", table}, {"b", table}}}});
  EXPECT_LT(std::filesystem::file_size(folder / "two.pt"), std::filesystem::file_size(folder / "one.pt") + 2000);
  EXPECT_TRUE(at::equal(tensors_below(TorchCheckpoint(folder / "two.pt").root()).at("model.b"), table));
}

}  // namespace vlm
