#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>

#include "error_of.h"
#include "temporary_folder.h"
#include "tiny_mplug.h"
#include "vlm/io/torch_writer.h"
#include "vlm/models/mplug/classifier.h"
#include "vlm/models/mplug/grounder.h"
#include "vlm/models/names/bert_names.h"
#include "vlm/models/names/mplug_names.h"
#include "vlm/train/alignment_step.h"

namespace vlm {
namespace mplug_test {

using testing::error_of;

void expect_same(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.count(name)) << name;
    EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  }
}

Tensor pictures(int64_t rows) { return at::randn({rows, 3, 16, 16}); }
Tensor words(int64_t rows, int64_t length) { return at::randint(5, 30, {rows, length}, at::kLong); }

MplugFused fused(int64_t stride, const Tensor& text, const Tensor& image) {
  auto json = testing::tiny_mplug_config("vqa");
  json["bert_config"]["stride_layer"] = stride;
  seed_initialisation(4);
  const MplugFusionEncoder encoder(MplugConfig::from_json(json.dump(), "test"));
  return encoder.forward(text, {}, image);
}

/// A checkpoint as released: more than any one task needs.
TensorMap released(const MplugModel& model) {
  TensorMap out = with_derived_bert(weights_of(model));
  const Tensor table = at::randn({4, 4});
  for (const char* name : {"visual_encoder.token_embedding.weight", "visual_encoder.transformer.resblocks.0.ln_1.weight", "visual_encoder.logit_scale",
                           "fusion_encoder.embeddings.LayerNorm.bias", "fusion_encoder.encoder.layer.0.output.dense.bias", "vision_proj_m.weight", "image_queue"}) {
    out.emplace(name, table);
  }
  return out;
}

}  // namespace mplug_test

TEST(MplugFusion, PicturesStayAsTheyAreWhereNoLayerIsConnected) {
  using namespace mplug_test;
  const Tensor text = at::randn({2, 5, 64}), image = at::randn({2, 7, 64});
  EXPECT_TRUE(at::equal(fused(2, text, image).image, image));
  const MplugFused connected = fused(1, text, image);
  EXPECT_FALSE(at::allclose(connected.image, image, 1e-2, 1e-2));
  EXPECT_EQ(connected.states().size(1), 12);
}

TEST(MplugFusion, AddsToPicturesWhatAConnectedLayerMakesOfThem) {
  using namespace mplug_test;
  // LayerNorm of the layer's output has mean 0 at first, so what is added has, whatever the picture was.
  const Tensor image = at::randn({2, 7, 64}) + 5;
  const Tensor added = fused(1, at::randn({2, 5, 64}), image).image - image;
  EXPECT_TRUE(at::allclose(added.mean(2), at::zeros({2, 7}), 1e-4, 1e-4));
}

TEST(MplugDecoder, StepsGiveWhatAllPlacesAtOnceGive) {
  using namespace mplug_test;
  const auto model = testing::tiny_mplug("vqa");
  auto& answerer = dynamic_cast<MplugAnswerer&>(*model);
  AnswerBatch batch;
  batch.pixels = pictures(2);
  batch.question = words(2, 4);
  batch.question_mask = at::tensor({1, 1, 1, 1, 1, 1, 0, 0}, at::kLong).view({2, 4});
  batch.row = at::arange(2);
  batch.answer = words(2, 3);
  batch.answer_mask = at::ones({2, 3}, at::kLong);
  const Tensor all = answerer.answer_logits(batch);
  const auto state = answerer.begin_answer(batch.pixels, batch.question, batch.question_mask);
  for (int64_t t = 0; t < 3; ++t) EXPECT_TRUE(at::allclose(state->step(batch.answer.slice(1, t, t + 1)), all.select(1, t), 1e-4, 1e-5)) << t;
}

TEST(MplugDecoder, PaddingOfAQuestionChangesNothing) {
  using namespace mplug_test;
  const auto model = testing::tiny_mplug("vqa");
  auto& answerer = dynamic_cast<MplugAnswerer&>(*model);
  const Tensor pixels = pictures(1), question = words(1, 4), begin = at::tensor({2}, at::kLong).view({1, 1});
  const Tensor padded = at::cat({question, words(1, 2)}, 1), mask = at::tensor({1, 1, 1, 1, 0, 0}, at::kLong).view({1, 6});
  const Tensor plain = answerer.begin_answer(pixels, question, {})->step(begin);
  EXPECT_TRUE(at::allclose(answerer.begin_answer(pixels, padded, mask)->step(begin), plain, 1e-4, 1e-5));
}

TEST(MplugRecipe, MisspeltKeyIsRefusedWithItsNeighbour) {
  using namespace mplug_test;
  auto json = testing::tiny_mplug_config("vqa");
  EXPECT_NE(make_model("mplug", Config::parse(json.dump(), "test"), 1), nullptr);
  json["bert_config"]["stride_layers"] = 2;
  EXPECT_NE(error_of([&] { make_model("mplug", Config::parse(json.dump(), "test"), 1); }).find("stride_layer'"), std::string::npos);
}

TEST(MplugFolder, OpensAgainAsTheModelThatWasSaved) {
  using namespace mplug_test;
  for (const char* task : {"caption", "vqa", "retrieval", "pretrain", "grounding", "entailment", "nlvr2"}) {
    const testing::TemporaryFolder folder;
    const auto model = testing::tiny_mplug(task, std::string(task) == "pretrain");
    save_hf_folder(folder.path(), *model, {});
    const LoadedModel loaded = load_model(folder.path());
    EXPECT_TRUE(loaded.report.clean()) << task;
    EXPECT_EQ(loaded.model->config(), model->config()) << task;
    expect_same(weights_of(*loaded.model), weights_of(*model));
  }
}

TEST(MplugFolder, OfModelScopeLoadsWithItsTaskAndWrappedNames) {
  using namespace mplug_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_mplug("caption");
  auto config = testing::tiny_mplug_config("caption");
  write_file_atomically(folder / "config_bert.json", config["bert_config"].dump());
  config["bert_config"] = "configs/config_bert.json";
  config.erase("task");
  write_file_atomically(folder / "config.yaml", config.dump());
  write_file_atomically(folder / "configuration.json", R"({"framework": "pytorch", "task": "image-captioning"})");
  TensorMap wrapped;
  for (const auto& [name, tensor] : released(*model)) wrapped.emplace("model." + name, tensor);
  write_torch_checkpoint(folder / "pytorch_model.bin", {{.key = "model", .tensors = wrapped}});
  const LoadedModel loaded = load_model(folder.path());
  EXPECT_NE(dynamic_cast<MplugCaptioner*>(loaded.model.get()), nullptr);
  expect_same(weights_of(*loaded.model), weights_of(*model));
}

TEST(MplugFolder, BareCheckpointGivesItsShapesAndItsTask) {
  using namespace mplug_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_mplug("pretrain");
  write_torch_checkpoint(folder / "mplug_tiny.pth", {{.key = "model", .tensors = with_derived_bert(weights_of(*model))}});
  const LoadedModel loaded = load_model(folder / "mplug_tiny.pth");
  EXPECT_NE(dynamic_cast<MplugPretrainer*>(loaded.model.get()), nullptr);
  const auto& read = dynamic_cast<MplugModel&>(*loaded.model).architecture();
  EXPECT_EQ(read.image_res, 16);
  EXPECT_EQ(read.patch_size, 8);
  EXPECT_EQ(read.text_encoder_layers, 2);
  EXPECT_EQ(read.hidden_layers, 4);
  EXPECT_EQ(read.first_fusion_layer(), 2);
}

TEST(MplugFolder, PositionTableIsResizedToTheConfiguredPictures) {
  using namespace mplug_test;
  const auto small = testing::tiny_mplug("caption");
  auto json = testing::tiny_mplug_config("caption");
  json["image_res"] = 32;
  const auto large = make_mplug(MplugConfig::from_json(json.dump(), "test"), {});
  load_state(large->state(), mplug_weights_for(*large, weights_of(*small)), "test");
  const Tensor before = weights_of(*small).at("visual_encoder.visual.positional_embedding"), after = weights_of(*large).at("visual_encoder.visual.positional_embedding");
  EXPECT_EQ(after.size(0), 17);
  EXPECT_TRUE(at::equal(after[0], before[0]));
  // A picture's corners lie outside of the old centres, where there is nothing to blend with.
  EXPECT_TRUE(at::allclose(after[1], before[1]));
  EXPECT_TRUE(at::allclose(after[16], before[4]));
}

TEST(MplugFolder, MissingWeightThatIsUsedIsRefusedByName) {
  using namespace mplug_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_mplug("vqa");
  save_hf_folder(folder.path(), *model, {});
  TensorMap weights = weights_of(*model);
  weights.erase("fusion_encoder.encoder.layer.3.crossattention.self.key.weight");
  weights.emplace("text_encoder.encoder.layer.7.output.dense.bias", at::ones({64}));
  std::filesystem::remove(folder / "model.safetensors");
  write_torch_checkpoint(folder / "pytorch_model.bin", {{.key = "model", .tensors = weights}});
  const std::string error = error_of([&] { load_model(folder.path()); });
  EXPECT_NE(error.find("fusion_encoder.encoder.layer.3.crossattention.self.key.weight"), std::string::npos) << error;
  EXPECT_NE(error.find("text_encoder.encoder.layer.7.output.dense.bias"), std::string::npos) << error;
}

TEST(MplugCopies, FollowTheirOriginalsExceptTheFusion) {
  using namespace mplug_test;
  const auto model = testing::tiny_mplug("vqa", true);
  {
    const at::NoGradGuard no_grad;
    for (auto& [name, tensor] : model->trainable()) tensor.add_(1);
  }
  std::map<std::string, Tensor> before;
  for (const auto& [name, tensor] : model->state()) before.emplace(name, tensor.clone());
  update_momentum(*model, 0.75);
  for (const auto& [name, tensor] : model->state()) {
    if (!is_momentum_name(name)) continue;
    EXPECT_FALSE(tensor.requires_grad()) << name;
    const bool fusion = name.rfind("fusion_encoder_m.", 0) == 0;
    EXPECT_TRUE(at::allclose(tensor, before.at(name) + (fusion ? 0.0 : 0.25), 1e-5, 1e-6)) << name;
  }
}

TEST(MplugGrounder, WritesTheLikeliestBinsOneByOne) {
  using namespace mplug_test;
  const auto model = testing::tiny_mplug("grounding");
  auto& grounder = dynamic_cast<MplugGrounder&>(*model);
  const Tensor pixels = pictures(3), ids = words(3, 4), mask = at::ones({3, 4}, at::kLong);
  const GroundedShares found = grounder.ground(pixels, ids, mask);
  // The box that was written is what a pass over all of it would write again.
  const Tensor written = grounder.box_ids(found.boxes + 1e-4);
  const Tensor logits = grounder.box_logits(pixels, ids, mask, written);
  EXPECT_TRUE(at::equal(logits.slice(1, 0, 4).argmax(2), written.slice(1, 1)));
  EXPECT_TRUE(at::equal(written.select(1, 0), at::tensor({5, 5, 5}, at::kLong)));
}

TEST(MplugGrounder, BinsAreRoundedDownAndSharesClamped) {
  using namespace mplug_test;
  const auto model = testing::tiny_mplug("grounding");
  const auto& grounder = dynamic_cast<MplugGrounder&>(*model);
  const Tensor ids = grounder.box_ids(at::tensor({-0.5F, 0.0F, 0.499F, 1.5F}).view({1, 4}));
  EXPECT_TRUE(at::equal(ids, at::tensor({5, 6, 6, 6 + 9, 6 + 20}, at::kLong).view({1, 5})));
}

TEST(MplugPairs, PretrainedModelDoesEverything) {
  const auto model = testing::tiny_mplug("pretrain");
  EXPECT_NE(dynamic_cast<Captioner*>(model.get()), nullptr);
  EXPECT_NE(dynamic_cast<Answerer*>(model.get()), nullptr);
  EXPECT_NE(dynamic_cast<DualEncoder*>(model.get()), nullptr);
  EXPECT_NE(dynamic_cast<Reranker*>(model.get()), nullptr);
  EXPECT_EQ(dynamic_cast<Captioner*>(testing::tiny_mplug("retrieval").get()), nullptr);
}

TEST(MplugPairs, VideoIsTheMeanOfItsFramesBeforeItGetsUnitLength) {
  using namespace mplug_test;
  const auto model = testing::tiny_mplug("retrieval");
  auto& pairs = dynamic_cast<DualEncoder&>(*model);
  const Tensor frames = at::randn({2, 3, 3, 16, 16});
  const Tensor states = model->encode_image(frames);
  EXPECT_EQ(states.size(1), 3 * 5);
  Tensor sum = at::zeros({2, 8});
  for (int64_t i = 0; i < 3; ++i) sum = sum + model->networks.vision_proj->forward(model->encode_image(frames.select(1, i)).select(1, 0));
  EXPECT_TRUE(at::allclose(pairs.embed_images(frames), normalize(sum), 1e-4, 1e-5));
}

TEST(MplugNames, PretrainedFusionIsFoundByOneRuleAndNotByTheOther) {
  EXPECT_EQ(mplug_name("fusion_encoder.bert.encoder.layer.6.output.dense.bias", MplugNames::finetune), "fusion_encoder.encoder.layer.6.output.dense.bias");
  EXPECT_EQ(mplug_name("fusion_encoder.bert.encoder.layer.6.output.dense.bias", MplugNames::grounding), "fusion_encoder.bert.encoder.layer.6.output.dense.bias");
  EXPECT_EQ(mplug_name("text_encoder_m.encoder.layer.0.output.dense.bias", MplugNames::grounding), "");
}

}  // namespace vlm
