#include "vlm/models/clip/clip.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "error_of.h"
#include "temporary_folder.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/clip/names.h"
#include "vlm/models/model_folder.h"

namespace vlm {
namespace clip_test {

Config tiny(const std::string& more = "") {
  return Config::parse("embed_dim: 16\nvision_cfg: {image_size: 24, patch_size: 8, width: 24, layers: 2, head_width: 8}\n"
                       "text_cfg: {context_length: 9, vocab_size: 40, width: 16, heads: 2, layers: 2, pool_type: eos, eos_id: 39}\n" + more, "tiny.yaml");
}

nlohmann::ordered_json preprocess() { return {{"size", 24}}; }

using testing::error_of;

Tensor pictures() { return at::rand({2, 3, 24, 24}); }
Tensor ids() { return at::randint(3, 40, {2, 9}, at::kLong); }

}  // namespace clip_test

TEST(ClipModel, TheSameSeedGivesTheSameWeightsAndAnotherSeedOthers) {
  const auto a = weights_of(*make_model("clip", clip_test::tiny(), 1)), b = weights_of(*make_model("clip", clip_test::tiny(), 1));
  const auto c = weights_of(*make_model("clip", clip_test::tiny(), 2));
  for (const auto& [name, tensor] : a) EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  EXPECT_FALSE(at::equal(a.at("visual.proj"), c.at("visual.proj")));
}

TEST(ClipModel, FoldersOfBothLayoutsRoundTripToTheSameFeatures) {
  const testing::TemporaryFolder folder;
  auto model = make_model("clip", clip_test::tiny("quick_gelu: true\n"), 3);
  save_open_clip_folder(folder / "open_clip", *model, clip_test::preprocess());
  save_hf_folder(folder / "hf", *model, clip_test::preprocess());
  auto& encoder = require<DualEncoder>(*model, "embed", "");
  const Tensor pixels = clip_test::pictures(), ids = clip_test::ids();
  for (const char* layout : {"open_clip", "hf"}) {
    const LoadedModel loaded = load_model(folder / layout);
    EXPECT_EQ(loaded.layout, layout);
    auto& again = require<DualEncoder>(*loaded.model, "embed", "");
    EXPECT_TRUE(at::allclose(again.embed_images(pixels), encoder.embed_images(pixels), 0, 1e-6)) << layout;
    EXPECT_TRUE(at::allclose(again.embed_texts(ids), encoder.embed_texts(ids), 0, 1e-6)) << layout;
    EXPECT_EQ(again.logit_scale().item<float>(), encoder.logit_scale().item<float>());
  }
}

TEST(ClipModel, IndependentFeaturesLookAtWhatATowerPoolsAndOutliveAFolder) {
  const testing::TemporaryFolder folder;
  const Tensor pixels = clip_test::pictures(), ids = clip_test::ids();
  for (const char* custom_text : {"false", "true"}) {
    const auto model = make_model("clip", clip_test::tiny(concat("independent_features: true\ncustom_text: ", custom_text, "\n")), 3);
    const auto plain = weights_of(*make_model("clip", clip_test::tiny(concat("custom_text: ", custom_text, "\n")), 3));
    const auto weights = weights_of(*model);
    EXPECT_EQ(weights.size(), plain.size() + 4);
    for (const auto& [name, tensor] : plain) EXPECT_TRUE(at::equal(weights.at(name), tensor)) << name;
    save_open_clip_folder(folder / custom_text, *model, clip_test::preprocess());
    const LoadedModel loaded = load_model(folder / custom_text);
    EXPECT_EQ(loaded.model->config().at("independent_features"), true);
    for (const auto& [name, tensor] : weights_of(*loaded.model)) EXPECT_TRUE(at::equal(tensor, weights.at(name))) << name;
    EXPECT_NE(clip_test::error_of([&] { save_hf_folder(folder / "hf", *model, {}); }).find("open_clip's layout"), std::string::npos);

    // A second layer with the weights of the tower's own projection gives the shared feature: it looks at the same.
    auto& encoder = require<DualEncoder>(*model, "embed", "");
    auto& own = require<IndependentFeatures>(*model, "embed", "");
    ASSERT_TRUE(own.has_independent_features());
    const auto image = own.embed_images_with_own(pixels), text = own.embed_texts_with_own(ids);
    EXPECT_TRUE(at::equal(image.first, encoder.embed_images(pixels)));
    EXPECT_TRUE(at::equal(text.first, encoder.embed_texts(ids)));
    EXPECT_FALSE(at::allclose(image.second, image.first, 0, 1e-2));
    EXPECT_FALSE(at::allclose(text.second, text.first, 0, 1e-2));
    auto& clip = dynamic_cast<ClipModel&>(*model);
    const at::NoGradGuard no_grad;
    clip.vision_proj_ind->bias.zero_();
    clip.vision_proj_ind->weight.copy_(weights.at("visual.proj").t());
    clip.text_proj_ind->bias.zero_();
    clip.text_proj_ind->weight.copy_(clip.text().text_projection.t());
    EXPECT_TRUE(at::allclose(own.embed_images_with_own(pixels).second, image.first, 0, 1e-5));
    EXPECT_TRUE(at::allclose(own.embed_texts_with_own(ids).second, text.first, 0, 1e-5));
  }
}

TEST(ClipModel, AResnetGivesIndependentFeaturesToo) {
  const auto model = make_model("clip", Config::parse("embed_dim: 16\nindependent_features: true\n"
                                                      "vision_cfg: {image_size: 32, layers: [1, 1, 1, 1], width: 4, head_width: 32}\n"
                                                      "text_cfg: {context_length: 9, vocab_size: 40, width: 16, heads: 2, layers: 1}\n", "x"), 3);
  auto& own = require<IndependentFeatures>(*model, "embed", "");
  const Tensor pixels = at::rand({2, 3, 32, 32});
  const auto image = own.embed_images_with_own(pixels);
  EXPECT_TRUE(at::equal(image.first, require<DualEncoder>(*model, "embed", "").embed_images(pixels)));
  EXPECT_EQ(image.second.sizes(), image.first.sizes());
  const auto& tower = *dynamic_cast<ClipModel&>(*model).visual;
  const VisionOutput out = tower.forward(pixels);
  EXPECT_EQ(out.pooled.size(1), tower.pooled_width());
  EXPECT_EQ(tower.pooled_width(), 128);
}

TEST(ClipModel, AModelThatHfWouldReadOtherwiseIsNotWrittenInItsLayout) {
  const testing::TemporaryFolder folder;
  const auto written = [&](const std::string& text_cfg, const std::string& more) {
    return clip_test::error_of([&] {
      save_hf_folder(folder / "hf", *make_model("clip", Config::parse("vision_cfg: {width: 64, layers: 1}\ntext_cfg: {width: 64, heads: 1, layers: 1, " + text_cfg + "}\n" + more, "x"), 1), {});
    });
  };
  EXPECT_NE(written("pool_type: eos, eos_id: 2", "").find("largest id"), std::string::npos);
  EXPECT_NE(written("pool_type: last", "").find("open_clip's layout"), std::string::npos);
  EXPECT_NE(written("pool_type: argmax", "init_logit_bias: -10").find("open_clip's layout"), std::string::npos);
  EXPECT_EQ(written("pool_type: argmax", ""), "");
}

TEST(ClipModel, NamesGoToHfAndBackWithoutLoss) {
  const auto weights = weights_of(*make_model("clip", clip_test::tiny(), 3));
  const auto hf = clip_to_hf(weights);
  EXPECT_TRUE(is_hf_clip(hf));
  EXPECT_EQ(hf.count("text_model.encoder.layers.1.self_attn.k_proj.bias"), 1u);
  const auto back = clip_from_hf(hf);
  ASSERT_EQ(back.size(), weights.size());
  for (const auto& [name, tensor] : weights) EXPECT_TRUE(at::equal(back.at(name), tensor)) << name;
}

TEST(ClipModel, LoadingReportsMissingUnexpectedAndMisshapenTensorsAndFails) {
  const testing::TemporaryFolder folder;
  save_open_clip_folder(folder / "m", *make_model("clip", clip_test::tiny(), 3), clip_test::preprocess());
  TensorMap weights = read_safetensors(folder / "m" / "open_clip_model.safetensors");
  for (auto& [name, tensor] : weights) tensor = tensor.clone();
  weights.erase("visual.ln_post.bias");
  weights["visual.porj"] = at::ones({3});
  weights["ln_final.weight"] = at::ones({7});
  write_safetensors(folder / "m" / "open_clip_model.safetensors", weights);
  const std::string message = clip_test::error_of([&] { load_model(folder / "m"); });
  for (const char* part : {"missing", "visual.ln_post.bias", "unexpected", "visual.porj", "ln_final.weight: the file has [7], the model needs [16]"}) {
    EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
  }
  const LoadedModel loaded = load_model(folder / "m", ModelLoadOptions{.strict = false});
  EXPECT_EQ(loaded.report.missing, std::vector<std::string>{"visual.ln_post.bias"});
  EXPECT_EQ(loaded.report.unexpected, std::vector<std::string>{"visual.porj"});
  EXPECT_EQ(loaded.report.misshapen.size(), 1u);
}

TEST(ClipModel, AWrittenConfigurationHoldsOnlyWhatDiffersFromTheDefaults) {
  const auto config = make_model("clip", clip_test::tiny(), 3)->config();
  EXPECT_EQ(config.at("vision_cfg").at("image_size"), 24);
  EXPECT_FALSE(config.at("vision_cfg").contains("attentional_pool"));
  EXPECT_FALSE(config.at("vision_cfg").contains("act_kwargs"));
  EXPECT_FALSE(config.contains("init_logit_bias"));
}

TEST(ClipModel, ConfigurationsThatCannotBeBuiltSayWhichKeyIsToBlame) {
  const auto built = [](const std::string& more) { return clip_test::error_of([&] { make_model("clip", clip_test::tiny(more), 1); }); };
  EXPECT_NE(built("quick_glu: true\n").find("did you mean 'quick_gelu'"), std::string::npos);
  const auto with_vision = [&](const std::string& key) {
    return clip_test::error_of([&] {
      make_model("clip", Config::parse("vision_cfg: {" + key + "}", "x"), 1);
    });
  };
  EXPECT_NE(with_vision("timm_model_name: convnext_base").find("timm_model_name = 'convnext_base' is not supported"), std::string::npos);
  EXPECT_NE(with_vision("pool_type: middle").find("pool_type"), std::string::npos);
  EXPECT_NE(with_vision("head_width: 7").find("heads"), std::string::npos);
  // Towers that do not project one pooled vector have no place for a second projection.
  ClipConfig siglip;
  siglip.embed_dim = siglip.vision_cfg.siglip.width = siglip.vision_cfg.siglip.mlp_width = 16;
  siglip.vision_cfg.siglip.layers = siglip.text_cfg.layers = 1;
  siglip.vision_cfg.siglip.heads = 2;
  siglip.text_cfg.width = siglip.text_cfg.vocab_size = 64;
  siglip.vision_cfg.siglip_tower = siglip.independent_features = true;
  EXPECT_NE(clip_test::error_of([&] { ClipModel{siglip}; }).find("SigLIP's image tower has no projection"), std::string::npos);
  EXPECT_NE(clip_test::error_of([] {
              make_model("clip", Config::parse("{independent_features: true, embed_dim: 64, vision_cfg: {width: 64, layers: 1}, "
                                               "text_cfg: {width: 64, heads: 1, layers: 1, proj_type: none}}", "x"), 1);
            }).find("proj_type"), std::string::npos);
  EXPECT_FALSE(require<IndependentFeatures>(*make_model("clip", clip_test::tiny(), 1), "", "").has_independent_features());
}

TEST(ClipModel, WrongInputsAreNamedByTheirShape) {
  const auto model = make_model("clip", clip_test::tiny(), 1);
  auto& encoder = require<DualEncoder>(*model, "embed", "");
  EXPECT_NE(clip_test::error_of([&] { encoder.embed_images(at::rand({1, 3, 32, 32})); }).find("[B, 3, 24, 24]"), std::string::npos);
  EXPECT_NE(clip_test::error_of([&] { encoder.embed_texts(at::randint(3, 40, {1, 10}, at::kLong)); }).find("up to 9"), std::string::npos);
}

TEST(ModelFolder, WhatIsNoModelFolderIsExplained) {
  const testing::TemporaryFolder folder;
  EXPECT_NE(clip_test::error_of([&] { load_model(folder / "none"); }).find("there is no model folder"), std::string::npos);
  EXPECT_NE(clip_test::error_of([&] { load_model(folder.path()); }).find("neither open_clip_config.json nor config.json"), std::string::npos);
  write_file_atomically(folder / "open_clip_config.json", R"({"model_cfg": {"embed_dim": 8}})");
  EXPECT_NE(clip_test::error_of([&] { load_model(folder.path()); }).find("holds no weights"), std::string::npos);
  write_file_atomically(folder / "open_clip_pytorch_model.bin", "x");
  EXPECT_NE(clip_test::error_of([&] { load_model(folder.path()); }).find("neither a safetensors file nor a checkpoint of PyTorch"), std::string::npos);
}

}  // namespace vlm
