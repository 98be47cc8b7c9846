#include "vlm/train/model_setup.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "tiny_albef.h"
#include "tiny_mplug.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/transforms.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/tensor_map.h"
#include "vlm/models/model_folder.h"
#include "vlm/models/snapshot.h"
#include "vlm/text/sentencepiece_trainer.h"

namespace vlm {

namespace model_setup_test {

constexpr const char* clip = R"(
embed_dim: 16
vision_cfg: {image_size: 16, layers: 1, width: 16, head_width: 8, patch_size: 8, pool_type: avg}
text_cfg: {context_length: 12, vocab_size: 40, width: 16, heads: 4, layers: 2, pool_type: eos, eos_id: 2}
)";
/// One position less: the class token takes the place of the last one.
constexpr const char* coca = R"(
embed_dim: 16
custom_text: true
vision_cfg: {image_size: 16, layers: 1, width: 16, head_width: 8, patch_size: 8, attentional_pool: true, attn_pooler_heads: 4, attn_pooler_queries: 5, output_tokens: true}
text_cfg: {context_length: 11, vocab_size: 40, width: 16, heads: 4, layers: 2, embed_cls: true, output_tokens: true, pool_type: eos, eos_id: 2}
multimodal_cfg: {context_length: 11, vocab_size: 40, width: 16, heads: 2, layers: 1}
)";

Tensor weight(const Model& model, const std::string& name) {
  for (const auto& entry : model.state()) {
    if (entry.name == name) return entry.tensor;
  }
  fail("no weight '", name, "'");
}

Recipe grown(const std::filesystem::path& folder) {
  Recipe recipe;
  recipe.model.family = "coca";
  recipe.model.config = Config::parse(coca, "test");
  recipe.model.init = folder.string();
  recipe.model.init_new = {"text_decoder.*", "visual.attn_pool.*", "text.cls_emb"};
  return recipe;
}

}  // namespace model_setup_test

using model_setup_test::weight;

TEST(ModelSetup, ACaptionerBeginsWithBothTowersOfAClip) {
  const testing::TemporaryFolder folder;
  const auto clip = make_model("clip", Config::parse(model_setup_test::clip, "test"), 3);
  save_open_clip_folder(folder.path(), *clip, nlohmann::ordered_json::object());
  std::vector<std::string> words;
  for (const char* one : {"a cat", "the dog", "red ball", "blue sofa", "two big cats", "a small green dog"}) words.push_back(one);
  write_file_atomically(folder / "tokenizer.model", train_sentencepiece(words, {.vocab_size = 40}));

  Recipe recipe = model_setup_test::grown(folder.path());
  const ModelSetup setup = set_up_model(recipe, at::kCPU);
  EXPECT_EQ(setup.model->family(), "coca");
  for (const char* name : {"token_embedding.weight", "positional_embedding", "transformer.resblocks.1.mlp.c_fc.weight", "text_projection"}) {
    EXPECT_TRUE(at::equal(weight(*setup.model, std::string("text.") + name), weight(*clip, name))) << name;
  }
  EXPECT_TRUE(at::equal(weight(*setup.model, "visual.conv1.weight"), weight(*clip, "visual.conv1.weight")));

  recipe.model.init_new = {"text_decoder.*", "text.cls_emb"};
  try {
    set_up_model(recipe, at::kCPU);
    FAIL() << "weights that the CLIP lacks were made up";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("visual.attn_pool"), std::string::npos) << error.what();
  }
}

TEST(ModelSetup, LayersForIndependentFeaturesAreNewOnlyWhereTheRecipeSaysSo) {
  const testing::TemporaryFolder folder;
  const auto published = make_model("clip", Config::parse(model_setup_test::clip, "test"), 3);
  save_open_clip_folder(folder.path(), *published, nlohmann::ordered_json::object());
  const std::vector<std::string> words = {"a cat", "the dog", "red ball", "blue sofa", "two big cats", "a small green dog"};
  write_file_atomically(folder / "tokenizer.model", train_sentencepiece(words, {.vocab_size = 40}));
  Recipe recipe;
  recipe.model.init = folder.path().string();
  recipe.model.config = Config::parse("{independent_features: true}", "test");
  try {
    set_up_model(recipe, at::kCPU);
    FAIL() << "weights that the CLIP lacks were made up";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("vision_proj_ind.weight"), std::string::npos) << error.what();
  }
  recipe.model.family = "clip";
  recipe.model.config = Config::parse(std::string(model_setup_test::clip) + "independent_features: true\n", "test");
  recipe.model.init_new = {"vision_proj_ind.*", "text_proj_ind.*"};
  const ModelSetup setup = set_up_model(recipe, at::kCPU);
  EXPECT_TRUE(at::equal(weight(*setup.model, "visual.proj"), weight(*published, "visual.proj")));
  EXPECT_EQ(weight(*setup.model, "text_proj_ind.weight").size(0), 16);
}

TEST(ModelSetup, APretrainedFusionModelBecomesThatOfATask) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_albef(folder / "albef", AlbefTask::pretrain);
  Recipe recipe;
  recipe.data.preprocess.size = {32};
  recipe.model.init = (folder / "albef").string();
  recipe.model.config = Config::parse("{task: vqa, decoder_layers: 2, image_res: 64}", "test");
  const ModelSetup answers = set_up_model(recipe, at::kCPU);
  const auto before = load_model(folder / "albef").model;
  // The decoder's layers are those that look at the picture, its words those of the encoder; there are more positions.
  EXPECT_TRUE(at::equal(weight(*answers.model, "text_decoder.bert.encoder.layer.1.crossattention.self.key.weight"),
                        weight(*before, "text_encoder.bert.encoder.layer.3.crossattention.self.key.weight")));
  EXPECT_TRUE(at::equal(weight(*answers.model, "text_encoder.embeddings.word_embeddings.weight"), weight(*before, "text_encoder.bert.embeddings.word_embeddings.weight")));
  EXPECT_EQ(weight(*answers.model, "visual_encoder.pos_embed").size(1), 1 + 8 * 8);

  recipe.model.config = Config::parse("{task: entailment}", "test");
  EXPECT_THROW(set_up_model(recipe, at::kCPU), Error) << "a head that no file holds was made up";

  save_hf_folder(folder / "mplug", *testing::tiny_mplug("pretrain", true), nlohmann::ordered_json());
  write_file_atomically(folder / "mplug" / "vocab.txt", testing::tiny_vocabulary());
  write_file_atomically(folder / "mplug" / "tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer", "do_lower_case": true})");
  recipe.model.init = (folder / "mplug").string();
  const auto source = load_model(folder / "mplug").model;
  for (const char* task : {"caption", "vqa", "retrieval", "grounding"}) {
    recipe.model.config = Config::parse(concat("{task: ", task, ", distill: false, box_prefix_id: 5, box_first_id: 6, box_bins: 20}"), "test");
    const ModelSetup setup = set_up_model(recipe, at::kCPU);
    EXPECT_TRUE(at::equal(weight(*setup.model, "visual_encoder.visual.conv1.weight"), weight(*source, "visual_encoder.visual.conv1.weight"))) << task;
    for (const auto& entry : setup.model->state()) EXPECT_EQ(entry.name.find("_m."), std::string::npos) << task << ": " << entry.name;
  }
}

TEST(ModelSetup, ASnapshotOfAFusionModelIsWrittenAsTheModelIs) {
  const testing::TemporaryFolder folder;
  for (const AlbefTask task : {AlbefTask::pretrain, AlbefTask::nlvr}) {
    const auto model = testing::tiny_albef(testing::tiny_albef_config(task));
    save_hf_folder(folder / "model", *model, nlohmann::ordered_json());
    save_hf_folder(folder / "snapshot", *snapshot_of(*model), nlohmann::ordered_json());
    for (const char* file : {"config.json", "model.safetensors"}) {
      EXPECT_EQ(read_file(folder / "snapshot" / file), read_file(folder / "model" / file)) << to_string(task) << ": " << file;
    }
  }
}

TEST(ModelSetup, AFusionModelBeginsWithAClipAndABert) {
  const testing::TemporaryFolder folder;
  const auto other = testing::tiny_mplug("pretrain", false, 9);
  TensorMap clip = {{"logit_scale", at::ones({})}}, bert = {{"bert.pooler.dense.weight", at::ones({64, 64})}, {"cls.seq_relationship.weight", at::ones({2, 64})}};
  for (const auto& [name, tensor] : weights_of(*other)) {
    if (starts_with(name, "visual_encoder.")) clip[name.substr(15)] = tensor;
    if (starts_with(name, "text_decoder.") && name.find("crossattention") == std::string::npos) bert[name.substr(13)] = tensor;
  }
  write_safetensors(folder / "clip.safetensors", clip);
  write_safetensors(folder / "bert.safetensors", bert);
  write_file_atomically(folder / "vocab.txt", testing::tiny_vocabulary());
  Recipe recipe;
  recipe.model.family = "mplug";
  auto config = testing::tiny_mplug_config("pretrain");
  config["distill"] = true;
  recipe.model.config = Config::parse(config.dump(), "test");
  recipe.model.tokenizer = (folder / "vocab.txt").string();
  recipe.model.init_parts = {(folder / "clip.safetensors").string(), (folder / "bert.safetensors").string()};
  const ModelSetup made = set_up_model(recipe, at::kCPU);
  const auto same = [&](const std::string& name, const std::string& source) { return at::equal(weight(*made.model, name), weight(*other, source)); };
  EXPECT_TRUE(same("visual_encoder.visual.conv1.weight", "visual_encoder.visual.conv1.weight"));
  EXPECT_TRUE(same("visual_encoder_m.visual.conv1.weight", "visual_encoder.visual.conv1.weight"));
  EXPECT_TRUE(same("text_decoder.bert.encoder.layer.1.output.dense.weight", "text_decoder.bert.encoder.layer.1.output.dense.weight"));
  EXPECT_TRUE(same("text_encoder.encoder.layer.0.output.dense.weight", "text_decoder.bert.encoder.layer.0.output.dense.weight"));
  EXPECT_FALSE(same("fusion_encoder.bert.encoder.layer.2.crossattention.self.query.weight", "fusion_encoder.bert.encoder.layer.2.crossattention.self.query.weight"));

  recipe.model.init_parts = {(folder / "clip.safetensors").string(), (folder / "clip.safetensors").string()};
  EXPECT_THROW(set_up_model(recipe, at::kCPU), Error);
  write_safetensors(folder / "else.safetensors", {{"encoder.weight", at::ones({2})}});
  recipe.model.init_parts = {(folder / "else.safetensors").string()};
  EXPECT_THROW(set_up_model(recipe, at::kCPU), Error);
}

}  // namespace vlm
