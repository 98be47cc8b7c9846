#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "error_of.h"
#include "vlm/models/ofa/config.h"

namespace vlm {
namespace ofa_config_test {

using testing::error_of;

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace ofa_config_test

TEST(OfaConfig, PublishedSizesAreWrittenAndReadAlikeInBothLayouts) {
  for (const char* size : {"tiny", "medium", "base", "large", "huge"}) {
    const OfaConfig config = OfaConfig::sized(size);
    const auto hf = config.to_hf(), fairseq = config.to_fairseq();
    EXPECT_EQ(OfaConfig::from_hf(hf.dump(), "x").to_fairseq(), fairseq) << size;
    EXPECT_EQ(OfaConfig::from_fairseq(fairseq.dump(), "x").to_hf(), hf) << size;
    EXPECT_EQ(fairseq["arch"], std::string("ofa_") + size);
  }
  EXPECT_EQ(OfaConfig::sized("huge").encoder_layers, 24);
  EXPECT_EQ(OfaConfig::sized("huge").decoder_layers, 12);
  EXPECT_TRUE(ofa_config_test::mentions(ofa_config_test::error_of([] { OfaConfig::sized("bass"); }), "did you mean 'base'"));
}

TEST(OfaConfig, WhatAFileLeavesOutIsAsItsLayoutHasIt) {
  const OfaConfig hf = OfaConfig::from_hf("{}", "x");
  EXPECT_EQ(hf.width, 512);
  EXPECT_EQ(hf.orig_patch_image_size, 224);
  EXPECT_TRUE(hf.scale_attn && hf.scale_fc && hf.scale_heads && !hf.encoder_entangled && !hf.decoder_entangled);
  const OfaConfig fairseq = OfaConfig::from_fairseq(R"({"arch": "ofa_base", "dropout": 0.1})", "x");
  EXPECT_EQ(fairseq.width, 768);
  EXPECT_EQ(fairseq.resnet_layers, (std::vector<int64_t>{3, 4, 23}));
  EXPECT_EQ(fairseq.orig_patch_image_size, 256);
  EXPECT_FALSE(fairseq.scale_attn || fairseq.scale_fc || fairseq.scale_heads || fairseq.encoder_entangled);
  EXPECT_TRUE(fairseq.decoder_entangled);  // unless disable_entangle says otherwise, as all recipes do
  EXPECT_EQ(OfaConfig::from_hf(R"({"normformer": false})", "x").scale_fc, false);
}

TEST(OfaConfig, PositionsAreAddedAsTheLayoutsSayIt) {
  const auto hf = [](const char* json) { return OfaConfig::from_hf(json, "x"); };
  EXPECT_TRUE(hf(R"({"entangle_position_embedding": true})").decoder_entangled);
  EXPECT_FALSE(hf(R"({"entangle_position_embedding": true, "disable_entangle": true})").decoder_entangled);
  EXPECT_FALSE(hf(R"({"disable_entangle": false})").decoder_entangled);
  const OfaConfig one = hf(R"({"entangle_position_embedding": true, "disable_entangle": true})");
  EXPECT_EQ(OfaConfig::from_fairseq(one.to_fairseq().dump(), "x").to_hf(), one.to_hf());
}

TEST(OfaConfig, WhatOnlyFairseqCanSayIsNamedWhenHfsLayoutIsAskedFor) {
  using namespace ofa_config_test;
  OfaConfig config = OfaConfig::sized("tiny");
  config.encoder_prompt = {.on = true, .projection = true, .length = 7, .hidden = 24};
  config.adapter = true;
  config.adapter_dim = 10;
  config.mue = config.scale_resids = config.sync_bn = true;
  EXPECT_TRUE(mentions(error_of([&] { config.to_hf(); }), "prompts"));
  const OfaConfig again = OfaConfig::from_fairseq(config.to_fairseq().dump(), "x");
  EXPECT_EQ(again.to_fairseq(), config.to_fairseq());
  EXPECT_EQ(again.encoder_prompt.hidden, 24);
  EXPECT_TRUE(again.mue && again.adapter && again.sync_bn && !again.decoder_prompt.on);
  OfaConfig heads = OfaConfig::sized("tiny");
  heads.scale_heads = false;
  EXPECT_TRUE(mentions(error_of([&] { heads.to_hf(); }), "scale_heads"));
}

TEST(OfaConfig, ModelsThatAreNotSupportedAreRefusedByName) {
  using namespace ofa_config_test;
  const auto refusal = [](const char* json) { return error_of([&] { OfaConfig::from_hf(json, "config.json"); }); };
  EXPECT_TRUE(mentions(refusal(R"({"use_ofasys": true, "vit_type": "vit_base"})"), "config.json: use_ofasys is true"));
  EXPECT_TRUE(mentions(refusal(R"({"share_attn_bias": true})"), "share_attn_bias"));
  EXPECT_TRUE(mentions(refusal(R"({"use_gamma_feature": true})"), "use_gamma_feature"));
  EXPECT_TRUE(mentions(refusal(R"({"use_image_feature": false})"), "use_image_feature is false"));
  EXPECT_TRUE(mentions(refusal(R"({"share_decoder_input_output_embed": false})"), "share_decoder_input_output_embed"));
  EXPECT_TRUE(mentions(refusal(R"({"resnet_type": "ViT-B/16"})"), "ViT-B/16"));
  EXPECT_TRUE(mentions(refusal(R"({"activation_function": "silu"})"), "silu"));
  EXPECT_TRUE(mentions(refusal(R"({"d_model": 100, "encoder_attention_heads": 3})"), "cannot be divided"));
  EXPECT_TRUE(mentions(refusal(R"({"vocab_size": 50, "num_codes": 40, "num_bins": 20})"), "cannot hold"));
  EXPECT_EQ(refusal(R"({"use_ofasys": false, "vit_type": "vit_base", "share_attn_bias": false, "use_image_feature": true})"), "");
  EXPECT_TRUE(mentions(error_of([] { OfaConfig::from_fairseq(R"({"arch": "transformer"})", "x"); }), "not of OFA"));
  EXPECT_TRUE(mentions(error_of([] { OfaConfig::from_fairseq(R"({"arch": "ofa_tiny", "encoder_prompt": true, "encoder_prompt_type": "prompt"})", "x"); }), "only prefix"));
}

TEST(OfaConfig, AMisspeltKeyOfARecipeIsAnError) {
  using namespace ofa_config_test;
  EXPECT_TRUE(mentions(error_of([] { OfaConfig::check_keys({{"size", "tiny"}, {"drop_out", 0.1}}); }), "did you mean 'dropout'"));
  OfaConfig::check_keys({{"size", "tiny"}, {"dropout", 0.1}, {"encoder_prompt", true}, {"freeze_resnet", true}, {"patch_image_size", 384}});
  OfaConfig::check_keys(OfaConfig::sized("base").to_fairseq());
}

}  // namespace vlm
