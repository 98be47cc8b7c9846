#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "error_of.h"
#include "vlm/core/error.h"
#include "vlm/models/architectures.h"
#include "vlm/models/clip/names.h"
#include "vlm/models/names/blip_names.h"
#include "vlm/models/names/layouts.h"
#include "vlm/models/names/siglip_config.h"
#include "vlm/models/names/siglip_names.h"

namespace vlm {
namespace names_test {

constexpr int64_t D = 4;

void add_block(TensorMap& out, const std::string& block, const std::string& fused, const std::string& proj,
               const std::vector<std::string>& rest) {
  out[block + fused + "weight"] = at::rand({3 * D, D});
  out[block + fused + "bias"] = at::rand({3 * D});
  out[block + proj + "weight"] = at::rand({D, D});
  for (const auto& name : rest) {
    out[block + name + ".weight"] = at::rand({D});
    out[block + name + ".bias"] = at::rand({D});
  }
}

TensorMap open_clip() {
  TensorMap out = {{"logit_scale", at::rand({})},
                   {"visual.proj", at::rand({D, 3})},
                   {"text_projection", at::rand({D, 3})},
                   {"visual.class_embedding", at::rand({D})},
                   {"visual.conv1.weight", at::rand({D, 3, 2, 2})},
                   {"visual.positional_embedding", at::rand({5, D})},
                   {"token_embedding.weight", at::rand({9, D})},
                   {"positional_embedding", at::rand({7, D})},
                   {"ln_final.weight", at::rand({D})},
                   {"visual.ln_pre.bias", at::rand({D})},
                   {"visual.ln_post.weight", at::rand({D})}};
  for (const char* tower : {"", "visual."}) {
    for (const char* i : {"0", "11"}) {
      add_block(out, std::string(tower) + "transformer.resblocks." + i + ".", "attn.in_proj_", "attn.out_proj.",
                {"ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj"});
    }
  }
  return out;
}

TensorMap siglip() {
  TensorMap out = {{"logit_scale", at::rand({1})},
                   {"logit_bias", at::rand({1})},
                   {"visual.trunk.patch_embed.proj.weight", at::rand({D, 3, 2, 2})},
                   {"visual.trunk.patch_embed.proj.bias", at::rand({D})},
                   {"visual.trunk.pos_embed", at::rand({1, 9, D})},
                   {"visual.trunk.norm.weight", at::rand({D})},
                   {"visual.trunk.attn_pool.latent", at::rand({1, 1, D})},
                   {"visual.trunk.attn_pool.q.weight", at::rand({D, D})},
                   {"visual.trunk.attn_pool.q.bias", at::rand({D})},
                   {"visual.trunk.attn_pool.kv.weight", at::rand({2 * D, D})},
                   {"visual.trunk.attn_pool.kv.bias", at::rand({2 * D})},
                   {"visual.trunk.attn_pool.proj.weight", at::rand({D, D})},
                   {"visual.trunk.attn_pool.norm.bias", at::rand({D})},
                   {"visual.trunk.attn_pool.mlp.fc1.weight", at::rand({D, D})},
                   {"text.token_embedding.weight", at::rand({9, D})},
                   {"text.positional_embedding", at::rand({7, D})},
                   {"text.ln_final.weight", at::rand({D})},
                   {"text.text_projection.weight", at::rand({D, D})},
                   {"text.text_projection.bias", at::rand({D})}};
  add_block(out, "visual.trunk.blocks.0.", "attn.qkv.", "attn.proj.", {"norm1", "norm2", "mlp.fc1", "mlp.fc2"});
  add_block(out, "text.transformer.resblocks.0.", "attn.in_proj_", "attn.out_proj.",
            {"ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj"});
  return out;
}

void expect_same(const TensorMap& got, const TensorMap& wanted) {
  EXPECT_EQ(got.size(), wanted.size());
  for (const auto& [name, tensor] : wanted) {
    const auto it = got.find(name);
    if (it == got.end()) {
      ADD_FAILURE() << "no " << name;
    } else {
      EXPECT_TRUE(at::equal(it->second, tensor)) << name;
    }
  }
}

using testing::error_of;

}  // namespace names_test

TEST(Names, ClipComesBackTheSameFromHf) {
  const TensorMap weights = names_test::open_clip();
  const TensorMap hf = clip_to_hf(weights);
  EXPECT_TRUE(is_hf_clip(hf));
  EXPECT_TRUE(at::equal(hf.at("text_model.encoder.layers.11.self_attn.k_proj.bias"),
                        weights.at("transformer.resblocks.11.attn.in_proj_bias").slice(0, 4, 8)));
  EXPECT_TRUE(at::equal(hf.at("visual_projection.weight"), weights.at("visual.proj").t()));
  names_test::expect_same(clip_from_hf(hf), weights);
  names_test::expect_same(convert_names(hf, "hf_clip", "open_clip_custom_text"), clip_to_custom_text(weights));
  names_test::expect_same(convert_names(clip_to_custom_text(weights), "open_clip_custom_text", "hf_clip"), hf);
}

TEST(Names, TheTextTowerMovesOnlyWhereThereIsATextProjection) {
  TensorMap weights = names_test::open_clip();
  const TensorMap custom = clip_to_custom_text(weights);
  EXPECT_EQ(custom.count("text.transformer.resblocks.0.ln_1.bias"), 1u);
  EXPECT_EQ(custom.count("visual.proj"), 1u);
  EXPECT_EQ(custom.count("logit_scale"), 1u);
  names_test::expect_same(clip_from_custom_text(custom), weights);
  weights.erase("text_projection");
  names_test::expect_same(clip_to_custom_text(weights), weights);
}

TEST(Names, SiglipComesBackTheSameFromHf) {
  const TensorMap weights = names_test::siglip();
  const TensorMap hf = siglip_to_hf(weights);
  EXPECT_TRUE(is_hf_siglip(hf));
  EXPECT_EQ(hf.at("vision_model.embeddings.position_embedding.weight").sizes(), (std::vector<int64_t>{9, 4}));
  EXPECT_TRUE(at::equal(hf.at("vision_model.head.attention.in_proj_weight").slice(0, 4, 12),
                        weights.at("visual.trunk.attn_pool.kv.weight")));
  names_test::expect_same(siglip_from_hf(hf), weights);
  TensorMap nested;
  for (const auto& [name, tensor] : hf) {
    const size_t dot = name.find('.');
    nested[name.substr(0, 6) == "logit_" ? name : name.substr(0, dot + 1) + name] = tensor;
  }
  names_test::expect_same(siglip_from_hf(nested), weights);
  names_test::expect_same(convert_names(weights, "open_clip_timm", "hf_siglip"), hf);
}

TEST(Names, BlipComesBackTheSameFromHfWithoutWhatOnlyTrainingUses) {
  TensorMap weights = {{"visual_encoder.cls_token", at::rand({1, 1, 4})},
                       {"visual_encoder.pos_embed", at::rand({1, 5, 4})},
                       {"visual_encoder.patch_embed.proj.bias", at::rand({4})},
                       {"visual_encoder.blocks.3.attn.qkv.weight", at::rand({12, 4})},
                       {"visual_encoder.blocks.3.attn.proj.bias", at::rand({4})},
                       {"visual_encoder.norm.weight", at::rand({4})},
                       {"text_decoder.bert.encoder.layer.0.crossattention.self.query.weight", at::rand({4, 4})},
                       {"itm_head.weight", at::rand({2, 4})}};
  const TensorMap plain = weights;
  for (const char* name : {"temp", "image_queue", "queue_ptr", "visual_encoder_m.cls_token", "text_encoder_m.embeddings.x"})
    weights[name] = at::rand({1});
  const TensorMap hf = blip_to_hf(weights);
  EXPECT_TRUE(is_hf_blip(hf));
  EXPECT_EQ(hf.count("vision_model.encoder.layers.3.self_attn.projection.bias"), 1u);
  names_test::expect_same(blip_from_hf(hf), plain);
}

TEST(Names, WhatDoesNotFitIsNamed) {
  using names_test::error_of;
  TensorMap weights = names_test::open_clip();
  weights["visual.ggem.p"] = at::rand({1});
  EXPECT_NE(error_of([&] { clip_to_hf(weights); }).find("'visual.ggem.p'"), std::string::npos);
  TensorMap hf = clip_to_hf(names_test::open_clip());
  hf.erase("text_model.encoder.layers.0.self_attn.k_proj.weight");
  EXPECT_NE(error_of([&] { clip_from_hf(hf); }).find("no 'text_model.encoder.layers.0.self_attn.k_proj.weight'"),
            std::string::npos);
  EXPECT_NE(error_of([&] { convert_names(hf, "hf_clip", "open_clp"); }).find("did you mean 'open_clip'"), std::string::npos);
}

TEST(Architectures, NamesAreFoundInEverySpelling) {
  EXPECT_EQ(open_clip_architecture("ViT-L/14@336px")["model_cfg"]["vision_cfg"]["image_size"], 336);
  EXPECT_EQ(open_clip_architecture("ViT-B-32-quickgelu")["model_cfg"]["quick_gelu"], true);
  EXPECT_FALSE(open_clip_architecture("ViT-B-32")["model_cfg"].contains("quick_gelu"));
  EXPECT_EQ(open_clip_architecture("ViT-SO400M-14-SigLIP")["model_cfg"]["text_cfg"]["context_length"], 16);
  EXPECT_NE(names_test::error_of([] { open_clip_architecture("VIT-B-33"); }).find("did you mean"), std::string::npos);
  EXPECT_THROW(open_clip_architecture("ViT-L-14-CLIPA-quickgelu"), Error);
  for (const auto& name : open_clip_architectures()) {
    const auto cfg = open_clip_architecture(name);
    EXPECT_TRUE(cfg["model_cfg"]["vision_cfg"].contains("image_size") && cfg["model_cfg"]["text_cfg"].contains("width") &&
                cfg["preprocess_cfg"].contains("mean"))
        << name;
  }
  EXPECT_EQ(open_clip_architecture("coca_ViT-L-14")["model_cfg"]["multimodal_cfg"]["heads"], 12);
  EXPECT_EQ(open_clip_architecture("ViT-L-14-CLIPA-336")["model_cfg"]["vision_cfg"]["pool_type"], "avg");
}

TEST(Architectures, AreReadOffTheShapesOfOpenAiWeights) {
  TensorMap weights = {{"visual.proj", at::rand({128, 32})},
                       {"visual.conv1.weight", at::rand({128, 3, 8, 8})},
                       {"visual.positional_embedding", at::rand({10, 128})},
                       {"text_projection", at::rand({64, 32})},
                       {"positional_embedding", at::rand({7, 64})},
                       {"token_embedding.weight", at::rand({50, 64})},
                       {"ln_final.weight", at::rand({64})}};
  for (const char* i : {"0", "1", "10"})
    weights[std::string("visual.transformer.resblocks.") + i + ".attn.in_proj_weight"] = at::rand({1});
  weights["transformer.resblocks.0.ln_1.weight"] = at::rand({1});
  const auto cfg = architecture_of_weights(weights)["model_cfg"];
  EXPECT_EQ(cfg["embed_dim"], 32);
  EXPECT_EQ(cfg["quick_gelu"], true);
  EXPECT_EQ(cfg["vision_cfg"],
            nlohmann::ordered_json::parse(R"({"image_size": 24, "layers": 3, "width": 128, "patch_size": 8})"));
  EXPECT_EQ(cfg["text_cfg"], nlohmann::ordered_json::parse(
                                 R"({"context_length": 7, "vocab_size": 50, "width": 64, "heads": 1, "layers": 1})"));
  weights.erase("ln_final.weight");
  EXPECT_NE(names_test::error_of([&] { architecture_of_weights(weights); }).find("'ln_final.weight'"), std::string::npos);
}

TEST(SiglipConfig, ReleasedSizesComeBackTheSame) {
  const auto open_clip = open_clip_architecture("ViT-SO400M-14-SigLIP-384");
  TensorMap weights = {{"visual.trunk.patch_embed.proj.weight", at::rand({1152, 3, 14, 14})},
                       {"visual.trunk.pos_embed", at::rand({1, 27 * 27, 1152})},
                       {"visual.trunk.blocks.0.mlp.fc1.weight", at::rand({4304, 1})}};
  for (int i = 1; i < 27; ++i) weights["visual.trunk.blocks." + std::to_string(i) + ".norm1.bias"] = at::rand({1});
  const auto hf = siglip_config_to_hf(open_clip, weights);
  EXPECT_EQ(hf["vision_config"]["intermediate_size"], 4304);
  EXPECT_EQ(hf["text_config"]["intermediate_size"], 4304);
  EXPECT_EQ(hf["vision_config"]["num_attention_heads"], 16);
  EXPECT_EQ(hf["vision_config"]["image_size"], 384);
  const auto back = siglip_config_to_open_clip(hf);
  EXPECT_EQ(back["vision_cfg"]["timm_model_name"], "vit_so400m_patch14_siglip_384");
  EXPECT_EQ(static_cast<int>(1152 * back["text_cfg"]["mlp_ratio"].get<double>()), 4304);
  EXPECT_NE(names_test::error_of([] {
              siglip_config_to_open_clip({{"model_type", "siglip2"}});
            }).find("NaFlex"),
            std::string::npos);
}

}  // namespace vlm
