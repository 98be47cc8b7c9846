#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "error_of.h"
#include "temporary_folder.h"
#include "tiny_models.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/data/scenes.h"
#include "vlm/io/atomic_file.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/sentencepiece_trainer.h"
#include "vlm/train/trainer.h"

namespace vlm {

namespace families_test {

/// What every family shares: the trainer knows none of them.
class Families : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::quiet);
    folder_ = new testing::TemporaryFolder;
    make_scenes(SceneSetOptions{.out = *folder_ / "scenes", .count = 120, .seed = 5});
    std::vector<std::string> captions;
    for (const auto& row : nlohmann::json::parse(read_file(*folder_ / "scenes/captions_train.json"))) {
      for (const auto& caption : row.at("caption").is_array() ? row.at("caption") : nlohmann::json::array({row.at("caption")})) captions.push_back(caption);
    }
    write_file_atomically(*folder_ / "tokenizer.model", train_sentencepiece(captions, SentencePieceTrainerOptions{.vocab_size = 60}));
    write_file_atomically(*folder_ / "vocab.txt", testing::tiny_vocabulary());
  }
  static void TearDownTestSuite() {
    delete folder_;
    set_log_level(LogLevel::info);
  }

  static Recipe recipe(const std::string& out, const std::string& text, const std::vector<std::string>& overrides = {}) {
    Config config = Config::parse(text, "recipe");
    const std::string set = (*folder_ / "scenes").string();
    config.override_with({"out=" + (*folder_ / out).string(), "data.train.path=" + set + "/train-000000.tar", "data.batch_size=16",
                          "data.threads=1", "data.preprocess.resize_mode=squash", "train.steps=6", "train.lr=1e-3", "train.eval_every_epochs=0",
                          "train.save_every_epochs=0"});
    config.override_with(overrides);
    Recipe made;
    config.read(made);
    return made;
  }

  static std::vector<double> losses(const std::string& out) {
    std::vector<double> found;
    std::ifstream in(*folder_ / out / "metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      const auto entry = nlohmann::json::parse(line);
      if (entry.contains("loss")) found.push_back(entry["loss"]);
    }
    return found;
  }

  /// A run, and the same one stopped after two steps and begun again: same losses, same weights, and a folder that opens.
  static void trains_and_resumes(const std::string& name, const std::string& text, const std::vector<std::string>& overrides = {}) {
    const TrainResult whole = run_training(recipe(name, text, overrides));
    TrainerOptions stopping;
    int64_t steps = 0;
    stopping.should_stop = [&] { return ++steps == 2; };
    const TrainResult half = run_training(recipe(name + "_half", text, overrides), stopping);
    EXPECT_FALSE(half.finished);
    const TrainResult rest = run_training(recipe(name + "_half", text, overrides));
    EXPECT_EQ(losses(name + "_half"), losses(name));
    EXPECT_EQ(losses(name).size(), 6u);
    const auto a = load_model(whole.model), b = load_model(rest.model);
    EXPECT_TRUE(a.report.clean());
    const auto weights = weights_of(*b.model);
    for (const auto& [tensor_name, tensor] : weights_of(*a.model)) EXPECT_TRUE(at::equal(tensor, weights.at(tensor_name))) << tensor_name;
  }

  static testing::TemporaryFolder* folder_;
};
testing::TemporaryFolder* Families::folder_ = nullptr;

const char* const siglip = R"(
model:
  family: siglip
  config: {embed_dim: 16, init_logit_bias: -10, vision_cfg: {image_size: 32, patch_size: 16, width: 16, layers: 1, head_width: 8}, text_cfg: {context_length: 12, vocab_size: 60, width: 16, heads: 2, layers: 1}}
objective: {name: siglip}
)";
const char* const coca = R"(
model:
  family: coca
  config:
    embed_dim: 16
    vision_cfg: {image_size: 32, patch_size: 16, width: 16, layers: 1, head_width: 8, attentional_pool: true, attn_pooler_heads: 2, output_tokens: true}
    text_cfg: {context_length: 12, vocab_size: 60, width: 16, heads: 2, layers: 1, embed_cls: true, output_tokens: true}
    multimodal_cfg: {context_length: 12, vocab_size: 60, width: 16, heads: 2, layers: 1}
objective: {name: coca}
)";
const char* const blip = R"(
model:
  family: blip
  config:
    architectures: [BlipForConditionalGeneration]
    vision_config: {hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, image_size: 32, patch_size: 16}
    text_config: {vocab_size: 30, hidden_size: 16, encoder_hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, max_position_embeddings: 32, bos_token_id: 28, eos_token_id: 2, sep_token_id: 3, pad_token_id: 0}
objective: {name: caption}
)";

/// Queues and momentum copies are part of what a run goes on with. The mask is one id beyond the tokenizer's.
const char* const albef = R"(
model:
  family: albef
  config:
    image_res: 32
    patch_size: 8
    vision_width: 16
    vision_depth: 1
    vision_heads: 2
    embed_dim: 8
    queue_size: 40
    codebook_size: 12
    independent_features: true
    cls_token_id: 1
    sep_token_id: 2
    mask_token_id: 60
    bert_config: {vocab_size: 61, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, fusion_layer: 1, num_attention_heads: 2, max_position_embeddings: 32, encoder_width: 16}
data: {augment: {scale: [0.5, 1.0]}}
)";
const char* const mplug = R"(
model:
  family: mplug
  config:
    task: pretrain
    distill: true
    image_res: 32
    clip_name: tiny
    clip_vision_layers: 1
    clip_vision_width: 64
    clip_vision_patch_size: 16
    embed_dim: 8
    queue_size: 40
    cls_token_id: 1
    sep_token_id: 2
    mask_token_id: 60
    bert_config: {vocab_size: 61, hidden_size: 16, intermediate_size: 32, num_hidden_layers: 2, num_attention_heads: 2, max_position_embeddings: 32, text_encoder_layers: 1, fusion_layers: 2, text_decode_layers: 1, stride_layer: 1}
objective: {name: mplug}
)";

}  // namespace families_test

using families_test::Families;

TEST_F(Families, SigLipTrainsAndResumes) {
  trains_and_resumes("siglip", families_test::siglip, {"model.tokenizer=" + (*folder_ / "tokenizer.model").string()});
}

TEST_F(Families, CocaTrainsAndResumesWithRecomputedBlocks) {
  trains_and_resumes("coca", families_test::coca, {"model.tokenizer=" + (*folder_ / "tokenizer.model").string(), "train.recompute=true"});
}

TEST_F(Families, BlipCaptionsTrainAndResumeWithAnAverageOfTheWeights) {
  trains_and_resumes("blip", families_test::blip,
                     {"model.tokenizer=" + (*folder_ / "vocab.txt").string(), "train.ema.enabled=true", "train.ema.decay=0.8", "train.optimizer.name=lamb"});
}

TEST_F(Families, TclTrainsAndResumesWithItsQueuesAndSecondViews) {
  trains_and_resumes("tcl", families_test::albef,
                     {"model.tokenizer=" + (*folder_ / "tokenizer.model").string(), "objective={name: tcl, options: {terms: {separation: 0.5, brownian_bridge: 1}}}"});
}

TEST_F(Families, AClipWithFeaturesOfEachModalitysOwnTrainsAndResumes) {
  trains_and_resumes("separation", R"(
model:
  family: clip
  config:
    embed_dim: 16
    independent_features: true
    vision_cfg: {image_size: 32, patch_size: 16, width: 16, layers: 1, head_width: 8}
    text_cfg: {context_length: 12, vocab_size: 60, width: 16, heads: 2, layers: 1}
objective: {name: clip, options: {grad_cache: 8, terms: {separation: 1}}}
)", {"model.tokenizer=" + (*folder_ / "tokenizer.model").string()});
}

TEST_F(Families, CodisTrainsAndResumes) {
  trains_and_resumes("codis", families_test::albef, {"model.tokenizer=" + (*folder_ / "tokenizer.model").string(), "objective={name: codis}"});
}

TEST_F(Families, AlbefForRetrievalTrainsAndResumes) {
  trains_and_resumes("albef", families_test::albef,
                     {"model.tokenizer=" + (*folder_ / "tokenizer.model").string(), "objective={name: albef, options: {stage: retrieval}}", "model.config.task=retrieval",
                      "train.recompute=true"});
}

TEST_F(Families, MplugPretrainsAndResumes) {
  trains_and_resumes("mplug", families_test::mplug, {"model.tokenizer=" + (*folder_ / "tokenizer.model").string()});
}

TEST_F(Families, LossesThatAModelHasNoPartsForAreRefused) {
  const std::string tokenizer = "model.tokenizer=" + (*folder_ / "tokenizer.model").string();
  const auto refused = [&](const std::vector<std::string>& overrides) {
    std::vector<std::string> all = {tokenizer};
    all.insert(all.end(), overrides.begin(), overrides.end());
    return testing::error_of([&] { run_training(recipe("refused", families_test::albef, all)); });
  };
  EXPECT_NE(refused({"objective={name: codis}", "model.config.codebook_size=0"}).find("codebook"), std::string::npos);
  EXPECT_NE(refused({"objective={name: albef}", "model.config.queue_sise=4"}).find("did you mean 'queue_size'"), std::string::npos);
  EXPECT_NE(refused({"objective={name: albef}", "model.config.queue_size=0"}).find("queues"), std::string::npos);
  EXPECT_NE(refused({"objective={name: albef}", "model.config.task=retrieval"}).find("vocabulary head"), std::string::npos);
  EXPECT_NE(refused({"objective={name: albef, options: {terms: {separation: 1}}}", "model.config.independent_features=false"}).find("image_ind"), std::string::npos);
  EXPECT_NE(refused({"objective={name: mplug}"}).find("albef"), std::string::npos);
  EXPECT_NE(refused({"objective={name: tcl, options: {pooling: fixed}}"}).find("pooling"), std::string::npos);
}

TEST_F(Families, AMixOfObjectivesAndDataSetsResumes) {
  const std::string set = (*folder_ / "scenes").string();
  trains_and_resumes("mix", families_test::coca,
                     {"model.tokenizer=" + (*folder_ / "tokenizer.model").string(), "data.train.path=''",
                      "data.mix={pairs: {path: " + set + "/train-000000.tar, weight: 2}, captions: {path: " + set + "/val-000000.tar, batch_size: 4}}",
                      "objectives={clip: {weight: 0.5, data: [pairs]}, caption: {data: [captions]}}", "train.accumulate=2"});
}

TEST_F(Families, AFolderGivesAllWeightsThatARecipeDoesNotCallNew) {
  const std::vector<std::string> tokenizer = {"model.tokenizer=" + (*folder_ / "tokenizer.model").string(), "train.steps=1"};
  const TrainResult clip = run_training(recipe("start", R"(
model:
  config:
    embed_dim: 16
    vision_cfg: {image_size: 32, patch_size: 16, width: 16, layers: 1, head_width: 8, attentional_pool: true, attn_pooler_heads: 2}
    text_cfg: {context_length: 12, vocab_size: 60, width: 16, heads: 2, layers: 1, embed_cls: true}
)", tokenizer));
  auto overrides = tokenizer;
  overrides.insert(overrides.end(), {"model.init=" + clip.model.string(), "model.init_new=['text_decoder.*']", "model.freeze=['text.*']"});
  EXPECT_TRUE(run_training(recipe("grown", families_test::coca, overrides)).finished);
  overrides.push_back("model.init_new=['nothing.*']");
  EXPECT_THROW(run_training(recipe("refused", families_test::coca, overrides)), Error);
}

}  // namespace vlm
