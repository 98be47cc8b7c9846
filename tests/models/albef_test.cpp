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
