#include "vlm/infer/convert.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "error_of.h"
#include "temporary_folder.h"
#include "vlm/core/config.h"
#include "vlm/core/error.h"
#include "vlm/data/transforms.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/weights.h"
#include "vlm/models/model_folder.h"

namespace vlm {
namespace convert_test {

constexpr const char* architecture = R"(
embed_dim: 16
quick_gelu: true
vision_cfg: {image_size: 24, layers: 2, width: 64, patch_size: 8, head_width: 16}
text_cfg: {context_length: 9, vocab_size: 40, width: 64, heads: 1, layers: 2}
)";

void save(const std::filesystem::path& folder) {
  save_open_clip_folder(folder, *make_model("clip", Config::parse(architecture, "x"), 3),
                        {{"size", 24},
                         {"mean", {0.5, 0.4, 0.3}},
                         {"std", {0.2, 0.3, 0.4}},
                         {"resize_mode", "shortest"},
                         {"interpolation", "bilinear"}});
  write_file_atomically(folder / "tokenizer.json", "{}");
}

Tensor features(const LoadedModel& loaded) {
  auto& encoder = require<DualEncoder>(*loaded.model, "embed", "");
  return encoder.embed_images(at::rand({1, 3, 24, 24}).fill_(0.3)).detach();
}

using testing::error_of;

}  // namespace convert_test

TEST(Convert, ThereAndBackTheModelIsTheSame) {
  const testing::TemporaryFolder folder;
  convert_test::save(folder / "a");
  const ConvertReport there = convert_model(folder / "a", folder / "b", {.to = "hf"});
  EXPECT_EQ(there.family, "clip");
  EXPECT_EQ(there.from, "open_clip");
  const ConvertReport back = convert_model(folder / "b", folder / "c", {.to = "open_clip"});
  EXPECT_EQ(back.from, "hf");
  EXPECT_TRUE(std::filesystem::exists(folder / "c" / "tokenizer.json"));
  const LoadedModel a = load_model(folder / "a"), b = load_model(folder / "b"), c = load_model(folder / "c");
  EXPECT_EQ(b.layout, "hf");
  EXPECT_TRUE(at::equal(convert_test::features(a), convert_test::features(b)));
  const TensorMap first = read_weights(a.weights), last = read_weights(c.weights);
  ASSERT_EQ(first.size(), last.size());
  for (const auto& [name, tensor] : first) EXPECT_TRUE(at::equal(last.at(name), tensor)) << name;
  EXPECT_EQ(a.model->config(), c.model->config());
  const auto before = load_preprocess(folder / "a"), after = load_preprocess(folder / "c"),
             hf = load_preprocess(folder / "b");
  EXPECT_EQ(before.mean, after.mean);
  EXPECT_EQ(hf.std, after.std);
  EXPECT_EQ(hf.interpolation, "bilinear");
  EXPECT_EQ(after.resize_mode, "shortest");
  EXPECT_EQ(after.size, before.size);
}

TEST(Convert, WhatIsThereIsReplacedOnlyWhenToldTo) {
  const testing::TemporaryFolder folder;
  convert_test::save(folder / "a");
  write_file_atomically(folder / "b" / "open_clip_config.json", "{}");
  EXPECT_NE(convert_test::error_of([&] { convert_model(folder / "a", folder / "b", {.to = "hf"}); }).find("--force"),
            std::string::npos);
  EXPECT_EQ(read_file(folder / "b" / "open_clip_config.json"), "{}");
  convert_model(folder / "a", folder / "b", {.to = "hf", .force = true});
  // The configuration of the other layout would be read in its place.
  EXPECT_EQ(load_model(folder / "b").layout, "hf");
  EXPECT_NE(convert_test::error_of([&] {
              convert_model(folder / "b", folder / "b", {.to = "hf", .force = true});
            }).find("the same"),
            std::string::npos);
}

TEST(Convert, BareWeightsTakeTheirArchitectureFromTheirShapes) {
  const testing::TemporaryFolder folder;
  auto model = make_model(
      "clip",
      Config::parse("embed_dim: 16\nquick_gelu: true\nvision_cfg: {image_size: 24, layers: 1, width: 64, patch_size: 8}\n"
                    "text_cfg: {context_length: 9, vocab_size: 40, width: 64, heads: 1, layers: 1}",
                    "x"),
      3);
  TensorMap weights;
  for (const auto& [name, tensor] : weights_of(*model)) weights["module." + name] = tensor;
  write_safetensors(folder / "bare.safetensors", weights);
  const ConvertReport report = convert_model(folder / "bare.safetensors", folder / "b", {.to = "hf"});
  ASSERT_FALSE(report.notes.empty());
  EXPECT_NE(report.notes.back().find("no tokenizer"), std::string::npos);
  EXPECT_EQ(load_model(folder / "b").model->config()["quick_gelu"], true);
  EXPECT_TRUE(at::equal(convert_test::features(load_model(folder / "bare.safetensors")),
                        convert_test::features(load_model(folder / "b"))));
  EXPECT_NE(
      convert_test::error_of([&] { load_model(folder / "bare.safetensors", {.arch = "ViT-B-32"}); }).find("do not fit"),
      std::string::npos);
  EXPECT_NE(convert_test::error_of([&] { load_model(folder / "b", {.arch = "ViT-B-32"}); }).find("configuration of its own"),
            std::string::npos);
}

TEST(Convert, ContainersChangeWithoutTouchingNames) {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "a.safetensors", {{"any.name", at::rand({2, 3})}});
  write_file_atomically(folder / "m.index.json", R"({"weight_map": {"any.name": "a.safetensors"}})");
  convert_model(folder / "m.index.json", folder / "b.safetensors", {.to = "safetensors"});
  EXPECT_TRUE(at::equal(read_weights(folder / "b.safetensors").at("any.name"),
                        read_weights(folder / "a.safetensors").at("any.name")));
}

TEST(Convert, AModelThatTheOtherLayoutCannotHoldLeavesNothingBehind) {
  const testing::TemporaryFolder folder;
  save_open_clip_folder(
      folder / "a",
      *make_model(
          "clip",
          Config::parse("embed_dim: 16\nvision_cfg: {image_size: 24, layers: 1, width: 64, patch_size: 8, no_ln_pre: true}\n"
                        "text_cfg: {context_length: 9, vocab_size: 40, width: 64, heads: 1, layers: 1}",
                        "x"),
          3),
      {{"size", 24}});
  EXPECT_THROW(convert_model(folder / "a", folder / "b", {.to = "hf"}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "b"));
}

TEST(Convert, OpenAisTokenizerBecomesHfsFiles) {
  const testing::TemporaryFolder folder;
  convert_test::save(folder / "a");
  std::filesystem::remove(folder / "a" / "tokenizer.json");
  write_file_atomically(folder / "a" / "bpe_simple_vocab_16e6.txt", "#version\nt h\nth e</w>\n");
  convert_model(folder / "a", folder / "b", {.to = "hf"});
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "b" / "vocab.json"))["the</w>"], 513);
  EXPECT_NE(read_file(folder / "b" / "merges.txt").find("\nth e</w>\n"), std::string::npos);
}

}  // namespace vlm
