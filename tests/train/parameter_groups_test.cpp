#include "vlm/train/parameter_groups.h"

#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <numeric>

#include "error_of.h"
#include "vlm/core/error.h"
#include "vlm/train/zero1.h"

namespace vlm {

namespace parameter_groups_test {

std::vector<NamedTensor> named(const std::vector<std::string>& names) {
  std::vector<NamedTensor> out;
  for (const auto& name : names) out.push_back({name, at::zeros({2, 2})});
  return out;
}

int64_t id(const std::map<std::string, LayerPlace>& places, const std::string& name) { return places.at(name).id; }

}  // namespace parameter_groups_test

using parameter_groups_test::id;
using parameter_groups_test::named;

TEST(ParameterGroups, DecayFollowsOpenClipsRuleOrTheDimensions) {
  std::vector<NamedTensor> parameters = named({"visual.proj", "visual.bn1.weight", "logit_scale", "pos_embed"});
  parameters.push_back({"visual.gain", at::zeros({4})});
  const auto decays = [&](const ParameterGroupOptions& options) {
    std::vector<double> out;
    for (const auto& p : parameter_groups(parameters, options)) out.push_back(p.weight_decay);
    return out;
  };
  EXPECT_EQ(decays({.weight_decay = 0.5}), (std::vector<double>{0.5, 0, 0, 0.5, 0}));
  EXPECT_EQ(decays({.weight_decay = 0.5, .decay_style = "dims"}), (std::vector<double>{0.5, 0.5, 0.5, 0.5, 0}));
  EXPECT_EQ(decays({.weight_decay = 0.5, .decay_style = "all"}), (std::vector<double>{0.5, 0.5, 0.5, 0.5, 0.5}));
  EXPECT_EQ(decays({.weight_decay = 0.5, .decay_style = "dims", .no_decay = {"*pos_embed", "*bn?*"}}), (std::vector<double>{0.5, 0, 0.5, 0, 0}));
}

TEST(ParameterGroups, EachTowerOfOpenClipHasItsOwnDepth) {
  const std::vector<std::string> names = {
      "visual.class_embedding", "visual.positional_embedding", "visual.conv1.weight", "visual.ln_pre.weight", "visual.proj",
      "visual.transformer.resblocks.0.mlp.c_fc.weight", "visual.transformer.resblocks.2.mlp.c_fc.weight", "visual.ln_post.weight",
      "positional_embedding", "token_embedding.weight", "transformer.resblocks.0.mlp.c_fc.weight", "transformer.resblocks.1.mlp.c_fc.weight",
      "ln_final.weight", "text_projection", "logit_scale"};
  const auto places = layer_places(names, "timm");
  for (const char* stem : {"visual.class_embedding", "visual.positional_embedding", "visual.conv1.weight", "visual.ln_pre.weight",
                           "positional_embedding", "token_embedding.weight"}) {
    EXPECT_EQ(id(places, stem), 0) << stem;
  }
  EXPECT_EQ(id(places, "visual.transformer.resblocks.2.mlp.c_fc.weight"), 3);
  EXPECT_EQ(places.at("visual.conv1.weight").last, 4);
  EXPECT_EQ(places.at("token_embedding.weight").last, 3);
  for (const char* head : {"visual.proj", "visual.ln_post.weight", "ln_final.weight", "text_projection", "logit_scale"}) {
    EXPECT_DOUBLE_EQ(layer_scale(places.at(head), 0.5, 0), 1) << head;
  }
  const auto groups = parameter_groups(named(names), {.layer_decay = 0.5, .min_scale = 0.1, .lr_multipliers = {"visual.*=0.1", "*proj=3"}});
  EXPECT_DOUBLE_EQ(groups[0].lr_scale, 0.1 * 0.1);   // 1/16 is below the smallest scale
  EXPECT_DOUBLE_EQ(groups[4].lr_scale, 0.1 * 3);
  EXPECT_DOUBLE_EQ(groups[9].lr_scale, 0.125);
}

TEST(ParameterGroups, OtherNamesOfTowersAreKnown) {
  const auto places = layer_places(
      {"vision_model.embeddings.class_embedding", "vision_model.encoder.layers.1.mlp.fc1.weight", "vision_model.post_layernorm.weight",
       "text_decoder.bert.embeddings.word_embeddings.weight", "text_decoder.bert.encoder.layer.2.output.dense.weight",
       "text_decoder.cls.predictions.decoder.weight", "text.transformer.resblocks.3.ln_1.weight", "text.token_embedding.weight",
       "text.ln_final.weight", "visual.trunk.patch_embed.proj.weight", "visual.trunk.blocks.4.norm1.weight", "visual.trunk.norm.weight",
       "visual.head.proj.weight", "temp"}, "timm");
  EXPECT_EQ(id(places, "vision_model.embeddings.class_embedding"), 0);
  EXPECT_EQ(id(places, "vision_model.encoder.layers.1.mlp.fc1.weight"), 2);
  EXPECT_EQ(id(places, "vision_model.post_layernorm.weight"), 3);
  EXPECT_EQ(id(places, "text_decoder.bert.embeddings.word_embeddings.weight"), 0);
  EXPECT_EQ(id(places, "text_decoder.bert.encoder.layer.2.output.dense.weight"), 3);
  EXPECT_EQ(id(places, "text_decoder.cls.predictions.decoder.weight"), 4);
  EXPECT_EQ(id(places, "text.token_embedding.weight"), 0);
  EXPECT_EQ(id(places, "text.ln_final.weight"), 5);
  EXPECT_EQ(id(places, "visual.trunk.patch_embed.proj.weight"), 0);
  EXPECT_EQ(id(places, "visual.trunk.norm.weight"), 5);  // timm: with the last block
  EXPECT_EQ(id(places, "visual.head.proj.weight"), 6);
  EXPECT_EQ(places.at("temp").id, places.at("temp").last);
  EXPECT_EQ(id(layer_places({"blocks.0.norm1.weight", "norm.weight"}, "beit"), "norm.weight"), 2);
  const auto stacks = layer_places({"encoder.layers.0.fc1.weight", "encoder.layers.1.fc1.weight", "decoder.layers.0.fc1.weight",
                                    "encoder.embed_tokens.weight", "decoder.layer_norm.weight"}, "timm");
  EXPECT_EQ(stacks.at("encoder.embed_tokens.weight").last - stacks.at("encoder.embed_tokens.weight").id, 2);
  EXPECT_EQ(id(stacks, "decoder.layer_norm.weight"), 2);
}

TEST(ParameterGroups, WhatMakesNoSenseIsNamed) {
  const auto message = [](const ParameterGroupOptions& options) {
    return testing::error_of([&] { parameter_groups(named({"visual.proj"}), options); });
  };
  EXPECT_NE(message({.decay_style = "dim"}).find("did you mean 'dims'"), std::string::npos);
  EXPECT_NE(message({.no_decay = {"visual.porj"}}).find("did you mean 'visual.proj'"), std::string::npos);
  EXPECT_NE(message({.lr_multipliers = {"visual.proj"}}).find("PATTERN=FACTOR"), std::string::npos);
  EXPECT_NE(message({.lr_multipliers = {"visual.proj=x"}}).find("PATTERN=0.1"), std::string::npos);
  EXPECT_NE(message({.layer_decay = 0.5, .layer_decay_style = "bait"}).find("did you mean 'beit'"), std::string::npos);
}

TEST(Zero1, ThePiecesOfAllRanksAreEveryElementOnceInOrder) {
  for (const std::vector<int64_t>& sizes : {std::vector<int64_t>{10, 7, 3}, {64, 1}, {1}, {0, 5, 0}, {}}) {
    for (const int64_t world : {1, 2, 3, 4, 7, 30}) {
      const int64_t total = std::accumulate(sizes.begin(), sizes.end(), int64_t(0));
      int64_t position = 0;
      for (int64_t rank = 0; rank < world; ++rank) {
        const auto part = partition_flat(sizes, world, rank);
        EXPECT_EQ(part.total, total);
        EXPECT_GE(part.padded, total);
        EXPECT_LT(part.padded, total + world);
        for (const auto& stretch : part.stretches) {
          ASSERT_LT(stretch.begin, stretch.end);
          ASSERT_LE(stretch.end, sizes[stretch.index]);
          const int64_t offset = std::accumulate(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(stretch.index), int64_t(0));
          EXPECT_EQ(offset + stretch.begin, position);
          position = offset + stretch.end;
        }
      }
      EXPECT_EQ(position, total);
    }
  }
  EXPECT_THROW(partition_flat({3}, 2, 2), Error);
  EXPECT_THROW(partition_flat({3}, 0, 0), Error);
}

TEST(Zero1, WholeTensorsGoToTheRankWithTheLeast) {
  EXPECT_EQ(assign_whole({4, 10, 5, 6, 1}, 2), (std::vector<int64_t>{0, 0, 1, 1, 1}));
  EXPECT_EQ(assign_whole({2, 2, 2}, 4), (std::vector<int64_t>{0, 1, 2}));
}

TEST(ParameterGroups, AlbefDecaysAllButVectorsAndBiasesAndMplugGoesByNames) {
  EXPECT_TRUE(takes_weight_decay("albef", "temp", 0));
  EXPECT_TRUE(takes_weight_decay("albef", "visual_encoder.pos_embed", 3));
  EXPECT_FALSE(takes_weight_decay("albef", "visual_encoder.norm.weight", 1));
  EXPECT_FALSE(takes_weight_decay("albef", "x.bias", 2));
  EXPECT_TRUE(takes_weight_decay("mplug", "visual_encoder.visual.ln_pre.weight", 1));
  EXPECT_TRUE(takes_weight_decay("mplug", "visn_layer_norm.weight", 1));
  EXPECT_FALSE(takes_weight_decay("mplug", "text_encoder.embeddings.LayerNorm.weight", 1));
  EXPECT_FALSE(takes_weight_decay("mplug", "visual_encoder.visual.attn.in_proj_bias", 1));
  EXPECT_THROW(takes_weight_decay("albert", "x", 1), Error);
}

}  // namespace vlm
