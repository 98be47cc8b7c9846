#include <ATen/ops/allclose.h>
#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <c10/core/InferenceMode.h>

#include <gtest/gtest.h>

#include <set>

#include "error_of.h"
#include "temporary_folder.h"
#include "tiny_albef.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/torch_writer.h"
#include "vlm/models/names/albef_names.h"
#include "vlm/models/names/bert_names.h"
#include "vlm/models/state.h"

namespace vlm {
namespace albef_test {

constexpr AlbefTask all_tasks[] = {AlbefTask::pretrain,   AlbefTask::retrieval, AlbefTask::vqa,
                                   AlbefTask::entailment, AlbefTask::nlvr,      AlbefTask::text_assignment};

using testing::error_of;

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TensorMap copies_of(const Model& model) {
  TensorMap out;
  for (const auto& [name, tensor] : weights_of(model)) out.emplace(name, tensor.clone());
  return out;
}

struct Inputs {
  Tensor pixels = at::rand({3, 3, 32, 32}), ids = at::randint(5, 28, {3, 7}, at::kLong), mask;
  Inputs() {
    ids.select(1, 0).fill_(2);
    ids[1].slice(0, 4).fill_(0);
    mask = ids.ne(0).to(at::kLong);
  }
};

}  // namespace albef_test

TEST(Albef, EveryTasksFolderGivesTheModelBack) {
  using namespace albef_test;
  for (const AlbefTask task : all_tasks) {
    const testing::TemporaryFolder folder;
    const auto model = testing::tiny_albef(testing::tiny_albef_config(task));
    save_hf_folder(folder / "m", *model, {});
    const LoadedModel loaded = load_model(folder / "m");
    EXPECT_TRUE(loaded.report.clean());
    const TensorMap before = weights_of(*model), after = weights_of(*loaded.model);
    ASSERT_EQ(before.size(), after.size()) << to_string(task);
    for (const auto& [name, tensor] : before) EXPECT_TRUE(at::equal(tensor, after.at(name))) << to_string(task) << " " << name;
    EXPECT_EQ(loaded.model->config(), model->config());
  }
}

TEST(Albef, FilesHoldTiedTensorsUnderBothNamesAndPositionIds) {
  using namespace albef_test;
  const testing::TemporaryFolder folder;
  save_hf_folder(folder / "m", *testing::tiny_albef(testing::tiny_albef_config()), {});
  const TensorMap stored = read_safetensors(folder / "m" / "model.safetensors");
  for (const std::string encoder : {"text_encoder.", "text_encoder_m."}) {
    EXPECT_TRUE(at::equal(stored.at(encoder + "cls.predictions.decoder.weight"), stored.at(encoder + "bert.embeddings.word_embeddings.weight")));
    EXPECT_TRUE(at::equal(stored.at(encoder + "cls.predictions.decoder.bias"), stored.at(encoder + "cls.predictions.bias")));
    EXPECT_EQ(stored.at(encoder + "bert.embeddings.position_ids").sizes(), (std::vector<int64_t>{1, 24}));
    EXPECT_EQ(stored.at(encoder + "bert.embeddings.position_ids").scalar_type(), at::kLong);
  }
  // Either name will do; two that differ are refused.
  TensorMap one = stored, other = stored;
  one.erase("text_encoder.bert.embeddings.word_embeddings.weight");
  EXPECT_TRUE(at::equal(without_derived_bert(one).at("text_encoder.bert.embeddings.word_embeddings.weight"),
                        stored.at("text_encoder.cls.predictions.decoder.weight")));
  other["text_encoder.cls.predictions.decoder.bias"] = stored.at("text_encoder.cls.predictions.bias") + 1;
  EXPECT_TRUE(mentions(error_of([&] { without_derived_bert(other); }), "text_encoder.cls.predictions.decoder.bias"));
}

TEST(Albef, LayersOfTwoPicturesShareKeysUnderTwoNames) {
  using namespace albef_test;
  const auto model = testing::tiny_albef_of<AlbefClassifier>(testing::tiny_albef_config(AlbefTask::nlvr));
  const TensorMap stored = with_second_albef_names(model->architecture(), weights_of(*model));
  for (const char* part : {"key.weight", "key.bias", "value.weight", "value.bias"}) {
    for (const int64_t first : {2, 4}) {
      const auto name = [&](int64_t layer) { return concat("text_encoder.encoder.layer.", layer, ".crossattention.self.", part); };
      EXPECT_TRUE(at::equal(stored.at(name(first)), stored.at(name(first + 1))));
      EXPECT_FALSE(weights_of(*model).count(name(first + 1)));
    }
  }
  EXPECT_NE(weights_of(*model).count("text_encoder.encoder.layer.3.crossattention.self.query.weight"), 0u);
  EXPECT_EQ(weights_of(*model).count("text_encoder.encoder.layer.1.crossattention.self.query.weight"), 0u);
  // The first picture goes to one half of the layers, the second to the other: swapping them changes what comes out.
  const Inputs in;
  const Tensor two = at::rand({6, 3, 32, 32}), swapped = two.roll(3, 0);
  EXPECT_FALSE(at::allclose(model->logits(two, in.ids, in.mask), model->logits(swapped, in.ids, in.mask)));
}

TEST(Albef, AReleasedCheckpointIsReadAsItIs) {
  using namespace albef_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config());
  write_torch_checkpoint(folder / "ALBEF.pth", {{.key = "model", .tensors = with_second_albef_names(model->architecture(), weights_of(*model))}, {.key = "epoch", .plain = 3}});
  const LoadedModel loaded = load_model(folder / "ALBEF.pth");
  EXPECT_TRUE(loaded.report.clean());
  EXPECT_EQ(loaded.model->family(), "albef");
  const Inputs in;
  auto& read = require<DualEncoder>(*loaded.model, "embed", "");
  EXPECT_TRUE(at::allclose(read.embed_images(in.pixels), model->embed_images(in.pixels)));
  EXPECT_TRUE(at::allclose(read.embed_texts(in.ids), model->embed_texts(in.ids)));
  EXPECT_TRUE(at::allclose(require<Matcher>(*loaded.model, "match", "").match(in.pixels, in.ids, in.mask), model->match(in.pixels, in.ids, in.mask)));
  EXPECT_EQ(read.image_size(), (std::pair<int64_t, int64_t>{32, 32}));
}

namespace albef_test {

/// As the public code leaves a run: the whole configuration beside the checkpoint.
void write_run(const std::filesystem::path& folder, const AlbefModel& model, const std::string& more = "vision_width: 64\nembed_dim: 8\n") {
  write_torch_checkpoint(folder / "checkpoint_02.pth", {{.key = "model", .tensors = with_second_albef_names(model.architecture(), weights_of(model))}, {.key = "epoch", .plain = 2}});
  write_file_atomically(folder / "config.yaml", "alpha: 0.4\nbatch_size_train: 32\nbert_config: configs/config_bert.json\ndistill: true\nimage_res: 48\nk_test: 128\n"
                        "mlm_probability: 0.15\nmomentum: 0.995\noptimizer: {lr: 1e-5, opt: adamW, weight_decay: 0.02}\nqueue_size: 65536\n"
                        "schedular: {epochs: 30, sched: cosine}\ntemp: 0.05\ntrain_file: [data/coco.json]\n" + more);
}

constexpr const char* two_heads = R"({"vocab_size": 30, "hidden_size": 64, "num_attention_heads": 2, "encoder_width": 64, "fusion_layer": 2, "hidden_dropout_prob": 0.25})";

const AlbefConfig& architecture_of(const LoadedModel& loaded) { return dynamic_cast<const AlbefModel&>(*loaded.model).architecture(); }

}  // namespace albef_test

TEST(AlbefRecipe, AMisspeltKeyIsRefusedWithItsNeighbour) {
  using namespace albef_test;
  const auto error = [](const char* yaml) { return error_of([&] { make_model("albef", Config::parse(yaml, "test"), 1); }); };
  EXPECT_TRUE(mentions(error("{visoin_width: 64}"), "an ALBEF has no option 'visoin_width' (did you mean 'vision_width'?)"));
  EXPECT_TRUE(mentions(error("{bert_config: {fusion_layers: 2}}"), "an ALBEF has no option 'fusion_layers' (did you mean 'fusion_layer'?)"));
}

TEST(AlbefYaml, SaysWhatShapesDoNot) {
  using namespace albef_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_albef(testing::tiny_albef_config(AlbefTask::retrieval));
  // Of a folder, and of the file; the BERT by its path, in the folder above, and by its mere name.
  for (const std::string place : {"run/configs/config_bert.json", "configs/config_bert.json", "run/config_bert.json"}) {
    std::filesystem::remove_all(folder.path());
    write_run(folder / "run", *model);
    write_file_atomically(folder / place, two_heads);
    for (const char* name : {"run", "run/checkpoint_02.pth"}) {
      const LoadedModel loaded = load_model(folder / name);
      EXPECT_TRUE(loaded.report.clean());
      EXPECT_EQ(loaded.layout, "hf");
      const AlbefConfig& read = architecture_of(loaded);
      EXPECT_EQ(read.vision.image_height, 48);
      EXPECT_EQ(read.text.heads, 2) << place;
      EXPECT_EQ(read.text.hidden_dropout, 0.25);
      EXPECT_EQ(read.text.layers, 4);
      EXPECT_EQ(read.queue_size, 12);
      EXPECT_EQ(read.task, AlbefTask::retrieval);
    }
  }
}

TEST(AlbefYaml, WithoutItsBertTheShapesAreTaken) {
  using namespace albef_test;
  const testing::TemporaryFolder folder;
  write_run(folder.path(), *testing::tiny_albef(testing::tiny_albef_config()), "");
  const LoadedModel loaded = load_model(folder.path());
  EXPECT_EQ(architecture_of(loaded).text.heads, 1);
  EXPECT_EQ(architecture_of(loaded).text.fusion_layer, 2);
}

TEST(AlbefYaml, OfTheTaskIsTakenFromAFolderOfSeveral) {
  using namespace albef_test;
  const testing::TemporaryFolder folder;
  write_run(folder.path(), *testing::tiny_albef(testing::tiny_albef_config(AlbefTask::vqa)), "");
  std::filesystem::remove(folder / "config.yaml");
  write_file_atomically(folder / "configs/Pretrain.yaml", "bert_config: configs/config_bert.json\nimage_res: 16\n");
  write_file_atomically(folder / "configs/VQA.yaml", "bert_config: configs/config_bert.json\nimage_res: 40\n");
  EXPECT_EQ(architecture_of(load_model(folder / "checkpoint_02.pth")).vision.image_height, 40);
}

TEST(AlbefYaml, ContradictionsAreOneErrorThatListsThem) {
  using namespace albef_test;
  const testing::TemporaryFolder folder;
  write_run(folder.path(), *testing::tiny_albef(testing::tiny_albef_config()), "vision_width: 768\nembed_dim: 256\n");
  const std::string error = error_of([&] { load_model(folder.path()); });
  for (const char* part : {"config.yaml", "checkpoint_02.pth", "vision_width 768, the weights 64", "embed_dim 256, the weights 8"}) EXPECT_TRUE(mentions(error, part)) << error;
}

TEST(AlbefYaml, TheBestCheckpointIsTakenElseTheLast) {
  using namespace albef_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_albef(testing::tiny_albef_config());
  write_run(folder.path(), *model);
  std::filesystem::copy_file(folder / "checkpoint_02.pth", folder / "checkpoint_10.pth");
  EXPECT_EQ(load_model(folder.path()).weights.filename(), "checkpoint_10.pth");
  std::filesystem::copy_file(folder / "checkpoint_02.pth", folder / "checkpoint_best.pth");
  EXPECT_EQ(load_model(folder.path()).weights.filename(), "checkpoint_best.pth");
}

TEST(Albef, AModelForRetrievalBeginsAsThePretrainedOneAtAnySizeOfPictures) {
  using namespace albef_test;
  const auto trained = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config());
  const auto begun = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config(AlbefTask::retrieval), 77);
  const auto report = load_state(begun->state(), albef_weights_for(*begun, copies_of(*trained)), "test", false);
  EXPECT_TRUE(report.unexpected.empty()) << report.text();
  EXPECT_EQ(report.missing, std::vector<std::string>{"idx_queue"});
  const Inputs in;
  EXPECT_TRUE(at::allclose(begun->match(in.pixels, in.ids, in.mask), trained->match(in.pixels, in.ids, in.mask)));

  AlbefConfig larger = testing::tiny_albef_config(AlbefTask::retrieval);
  larger.vision.image_height = larger.vision.image_width = 48;
  const auto grown = testing::tiny_albef_of<AlbefAligner>(larger);
  load_state(grown->state(), albef_weights_for(*grown, copies_of(*trained)), "test", false);
  EXPECT_EQ(grown->embed_images(at::rand({1, 3, 48, 48})).sizes(), (std::vector<int64_t>{1, 8}));
  EXPECT_TRUE(at::equal(grown->online().visual_encoder->pos_embed.select(1, 0), trained->online().visual_encoder->pos_embed.select(1, 0)));
}

TEST(Albef, TheAnswerDecoderBeginsAsTheFusionLayers) {
  using namespace albef_test;
  const auto trained = testing::tiny_albef(testing::tiny_albef_config());
  const auto begun = testing::tiny_albef_of<AlbefAnswerer>(testing::tiny_albef_config(AlbefTask::vqa), 77);
  const auto report = load_state(begun->state(), albef_weights_for(*begun, copies_of(*trained)), "test", false);
  EXPECT_TRUE(report.clean()) << report.text();
  const TensorMap from = weights_of(*trained), to = weights_of(*begun);
  EXPECT_TRUE(at::equal(to.at("text_decoder.bert.encoder.layer.1.output.dense.weight"), from.at("text_encoder.bert.encoder.layer.3.output.dense.weight")));
  EXPECT_TRUE(at::equal(to.at("text_decoder_m.cls.predictions.bias"), from.at("text_encoder_m.cls.predictions.bias")));
}

TEST(Albef, TheDecoderAndTheLayersOfTwoPicturesAreAsManyAsFuseWhereNothingIsSaid) {
  const auto layers_of = [](const std::string& keys) {
    const AlbefConfig config = AlbefConfig::from_json("{" + keys + "}", "test");
    return std::pair(config.decoder_layers, config.two_picture_layers);
  };
  EXPECT_EQ(layers_of(""), std::pair(int64_t{6}, int64_t{18}));  // as released
  EXPECT_EQ(layers_of(R"("bert_config": {"num_hidden_layers": 5, "fusion_layer": 2})"), std::pair(int64_t{3}, int64_t{8}));
  EXPECT_EQ(layers_of(R"("decoder_layers": 4, "bert_config": {"num_hidden_layers": 5, "fusion_layer": 2})"), std::pair(int64_t{4}, int64_t{8}));
}

TEST(Albef, BertAndDeitAreWherePretrainingBegins) {
  using namespace albef_test;
  const auto other = testing::tiny_albef(testing::tiny_albef_config(), 9);
  TensorMap bert = {{"cls.seq_relationship.weight", at::rand({2, 64})}, {"bert.pooler.dense.weight", at::rand({64, 64})}}, deit;
  for (const auto& [name, tensor] : with_second_albef_names(other->architecture(), copies_of(*other))) {
    if (starts_with(name, "text_encoder.") && name.find("crossattention") == std::string::npos) bert[name.substr(13)] = tensor;
    if (starts_with(name, "visual_encoder.")) deit[name.substr(15)] = tensor;
  }
  deit["head.weight"] = at::rand({10, 64});
  const auto model = testing::tiny_albef(testing::tiny_albef_config());
  const TensorMap text = albef_weights_for(*model, bert), vision = albef_weights_for(*model, deit);
  const auto of_text = load_state(model->state(), text, "test", false), of_vision = load_state(model->state(), vision, "test", false);
  EXPECT_TRUE(of_text.unexpected.empty() && of_vision.unexpected.empty()) << of_text.text() << of_vision.text();
  const TensorMap now = weights_of(*model), then = weights_of(*other);
  for (const auto& [name, tensor] : now) {
    const bool taken = text.count(name) || vision.count(name);
    // Momentum copies begin as what they copy.
    if (taken && !is_momentum_name(name)) {
      EXPECT_TRUE(at::equal(tensor, then.at(name))) << name;
    }
    if (!taken) {
      EXPECT_TRUE(mentions(name, "crossattention") || mentions(name, "_proj") || mentions(name, "queue") || starts_with(name, "itm_head") || name == "temp")
          << name;
    }
  }
  EXPECT_TRUE(at::equal(now.at("visual_encoder_m.norm.weight"), then.at("visual_encoder.norm.weight")));
}

TEST(Albef, MomentumCopiesAreCopiesThatNothingTrains) {
  using namespace albef_test;
  for (const AlbefTask task : all_tasks) {
    const auto model = make_albef(testing::tiny_albef_config(task));
    EXPECT_EQ(model->has_momentum(), task != AlbefTask::text_assignment);
    for (const auto& [online, copy] : model->momentum_tensors()) {
      EXPECT_TRUE(at::equal(online, copy));
      EXPECT_TRUE(online.requires_grad());
      EXPECT_FALSE(copy.requires_grad());
    }
    std::set<const void*> seen;
    for (const auto& [name, tensor] : model->trainable()) {
      EXPECT_FALSE(is_momentum_name(name)) << name;
      EXPECT_TRUE(tensor.requires_grad()) << name;
      EXPECT_TRUE(seen.insert(tensor.unsafeGetTensorImpl()).second) << name << " would be trained twice";
    }
  }
}

TEST(Albef, DropoutIsForTrainingAndDrawsTheSameFromTheSameSeed) {
  using namespace albef_test;
  const auto model = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config());
  const Inputs in;
  const auto match = [&](int64_t seed) {
    at::manual_seed(static_cast<uint64_t>(seed));
    return model->pair_logits(model->encode_image(in.pixels), model->encode_text(in.ids, in.mask), in.mask).detach();
  };
  EXPECT_TRUE(at::equal(match(1), match(2)));
  model->set_training(true);
  EXPECT_TRUE(at::equal(match(1), match(1)));
  EXPECT_FALSE(at::allclose(match(1), match(2)));
}

TEST(Bert, ThePaddingWordLearnsFromTheOutputLayerAlone) {
  using namespace albef_test;
  BertOptions options = testing::tiny_albef_config().text;
  BertLanguageModel network(options);
  const Inputs in;
  const Tensor states = network.bert->encode_text(in.ids, in.mask);
  states.sum().backward();
  const Tensor words = network.bert->word_embeddings();
  EXPECT_EQ(words.grad()[0].abs().sum().item<float>(), 0);
  EXPECT_NE(words.grad()[2].abs().sum().item<float>(), 0);
  network.logits(states.detach()).square().sum().backward();
  EXPECT_NE(words.grad()[0].abs().sum().item<float>(), 0);
}

TEST(Bert, AttentionThatIsLookedAtIsTheAttentionThatIsUsed) {
  using namespace albef_test;
  const auto model = testing::tiny_albef_of<AlbefAligner>(testing::tiny_albef_config());
  const Inputs in;
  const Tensor text = model->encode_text(in.ids, in.mask), image = model->encode_image(in.pixels);
  AttentionTrace trace{.layer = 3, .probabilities = {}};
  EXPECT_TRUE(at::allclose(model->pair_logits(image, text, in.mask, &trace), model->pair_logits(image, text, in.mask), 1e-4, 1e-5));
  EXPECT_EQ(trace.probabilities.sizes(), (std::vector<int64_t>{3, 1, 7, 17}));
  EXPECT_TRUE(at::allclose(trace.probabilities.sum(-1), at::ones({3, 1, 7})));
}

}  // namespace vlm
