#include <ATen/ops/equal.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include <functional>

#include "error_of.h"
#include "io/zip_writer.h"
#include "temporary_folder.h"
#include "train/tiny_ofa.h"
#include "vlm/io/safetensors.h"
#include "vlm/io/torch_writer.h"
#include "vlm/models/names/layouts.h"
#include "vlm/models/ofa/config.h"
#include "vlm/models/ofa/tied.h"

namespace vlm {
namespace ofa_folder_test {

using nlohmann::ordered_json;

using testing::error_of;

bool mentions(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void expect_same(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) {
    ASSERT_TRUE(b.count(name)) << name;
    EXPECT_TRUE(at::equal(tensor, b.at(name))) << name;
  }
}

/// What a checkpoint of this model has under "args" and "model".
ordered_json args_of(const Model& model) { return OfaConfig::from_hf(model.config().dump(), "test").to_fairseq(); }
TensorMap fairseq_weights(const Model& model) { return convert_names(with_tied_ofa(weights_of(model)), "hf", "fairseq"); }

}  // namespace ofa_folder_test

TEST(OfaFolder, BothLayoutsGiveTheModelBack) {
  using namespace ofa_folder_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_ofa();
  save_hf_folder(folder / "hf", *model, {{"size", {{"height", 48}, {"width", 48}}}});
  save_fairseq_folder(folder / "fairseq", *model, {{"size", 48}});
  for (const char* layout : {"hf", "fairseq"}) {
    const LoadedModel loaded = load_model(folder / layout);
    EXPECT_EQ(loaded.layout, layout);
    EXPECT_TRUE(loaded.report.clean());
    expect_same(weights_of(*loaded.model), weights_of(*model));
    auto config = loaded.model->config(), before = model->config();
    EXPECT_EQ(config["patch_image_size"], 48);  // what it was trained with, not what it began with
    before["patch_image_size"] = 48;
    EXPECT_EQ(config, before);
  }
  // The public code expects the copies of the tied embeddings.
  const TensorMap stored = read_safetensors(folder / "hf" / "model.safetensors");
  EXPECT_TRUE(at::equal(stored.at("decoder.output_projection.weight"), stored.at("encoder.embed_tokens.weight")));
  EXPECT_EQ(family_of_names(stored), "ofa");
  EXPECT_TRUE(has_hf_names(stored));
  EXPECT_FALSE(has_hf_names(read_safetensors(folder / "fairseq" / "model.safetensors")));
}

TEST(OfaFolder, ModelsThatHfsLayoutCannotHoldAreSavedInFairseqs) {
  using namespace ofa_folder_test;
  const testing::TemporaryFolder folder;
  const auto plain = testing::tiny_ofa(), more = testing::tiny_ofa(3, {"adapter=true", "adapter_dim=4", "train_mue=true"});
  EXPECT_EQ(layout_for(*plain), "hf");
  EXPECT_EQ(layout_for(*more), "fairseq");
  EXPECT_TRUE(mentions(error_of([&] { save_hf_folder(folder / "hf", *more, {}); }), "adapters"));
  save_fairseq_folder(folder / "m", *more, {{"size", 32}});
  const LoadedModel loaded = load_model(folder / "m");
  expect_same(weights_of(*loaded.model), weights_of(*more));
  EXPECT_EQ(loaded.model->config(), more->config());
}

TEST(OfaFolder, ACheckpointOfFairseqCarriesItsArchitecture) {
  using namespace ofa_folder_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_ofa();
  TensorMap weights = fairseq_weights(*model);
  weights["encoder.version"] = at::rand({1});
  weights["decoder.image_position_idx"] = at::rand({5});
  ordered_json args = args_of(*model);
  args["criterion"] = "adjust_label_smoothed_cross_entropy";
  args["lr"] = {1e-4};
  write_torch_checkpoint(folder / "plain" / "checkpoint_best.pt", {{.key = "args", .plain = args, .is_namespace = true}, {.key = "model", .tensors = weights}});
  for (const char* path : {"plain", "plain/checkpoint_best.pt"}) {
    const LoadedModel loaded = load_model(folder / path);
    EXPECT_EQ(loaded.layout, "fairseq");
    expect_same(weights_of(*loaded.model), weights_of(*model));
    EXPECT_TRUE(mentions(loaded.open_clip_config, "\"squash\"")) << loaded.open_clip_config;
  }
  // Newer ones nest the arguments, and leave the name of the architecture to "_name".
  args["_name"] = args["arch"];
  for (const char* key : {"arch", "vocab_size", "criterion"}) args.erase(key);
  const ordered_json cfg = {{"_name", nullptr}, {"task", {{"_name", "caption"}, {"patch_image_size", 64}}}, {"model", args}, {"optimizer", {{"_name", "adam"}}}};
  write_torch_checkpoint(folder / "nested.pt", {{.key = "args"}, {.key = "cfg", .plain = cfg}, {.key = "model", .tensors = weights}});
  const LoadedModel nested = load_model(folder / "nested.pt");
  expect_same(weights_of(*nested.model), weights_of(*model));
}

TEST(OfaFolder, TheAverageOfTheWeightsIsTakenUnlessToldOtherwise) {
  using namespace ofa_folder_test;
  const testing::TemporaryFolder folder;
  const auto last = testing::tiny_ofa(3), average = testing::tiny_ofa(4);
  TensorMap halves, exact;
  for (const auto& [name, tensor] : fairseq_weights(*average)) {
    if (tensor.is_floating_point()) halves[name] = at::zeros_like(tensor);
    if (tensor.is_floating_point() && name.find("running") == std::string::npos) exact[name] = tensor;
  }
  const auto write = [&](const char* name, const std::map<std::string, TensorMap>& extra) {
    write_torch_checkpoint(folder / name, {{.key = "args", .plain = args_of(*last)}, {.key = "model", .tensors = fairseq_weights(*last)}, {.key = "extra_state", .parts = extra}});
  };
  write("ema.pt", {{"ema", fairseq_weights(*average)}});
  expect_same(weights_of(*load_model(folder / "ema.pt").model), weights_of(*average));
  expect_same(weights_of(*load_model(folder / "ema.pt", {.average = false}).model), weights_of(*last));
  write("fp32.pt", {{"ema", halves}, {"ema_fp32_params", exact}});
  const TensorMap got = weights_of(*load_model(folder / "fp32.pt").model);
  EXPECT_TRUE(at::equal(got.at("encoder.embed_tokens.weight"), weights_of(*average).at("encoder.embed_tokens.weight")));
  TensorMap foreign = exact;
  foreign["encoder.extra"] = at::rand({2});
  write("foreign.pt", {{"ema", foreign}});
  EXPECT_TRUE(mentions(error_of([&] { load_model(folder / "foreign.pt"); }), "encoder.extra"));
}

TEST(OfaFolder, ForeignObjectsInACheckpointAreRefusedByName) {
  using namespace ofa_folder_test;
  using namespace testing;
  const TemporaryFolder folder;
  const std::string weights = "}" + text("encoder.embed_tokens.weight") + pickled({"FloatStorage", "0", 2, 0, {2, 1}, {1, 1}}) + "s";
  write_file_atomically(folder / "c.pt", checkpoint_of("}" + text("cfg") + "comegaconf.dictconfig\nDictConfig\n)\x81}" + text("a") + whole(1) + "sbs" + text("model") + weights + "s",
                                                       {{"0", std::string(8, '\0')}}));
  const std::string message = error_of([&] { load_model(folder / "c.pt"); });
  EXPECT_TRUE(mentions(message, "omegaconf.dictconfig.DictConfig") && mentions(message, "c.pt")) << message;
}

TEST(OfaFolder, WeightsThatAreNotTheModelsAreReported) {
  using namespace ofa_folder_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_ofa();
  save_hf_folder(folder / "m", *model, {});
  const TensorMap good = read_safetensors(folder / "m" / "model.safetensors");
  const auto with = [&](const std::function<void(TensorMap&)>& change) {
    TensorMap weights;
    for (const auto& [name, tensor] : good) weights[name] = tensor.clone();
    change(weights);
    write_safetensors(folder / "m" / "model.safetensors", weights);
    return error_of([&] { load_model(folder / "m"); });
  };
  EXPECT_EQ(with([](TensorMap&) {}), "");
  // Derived tables, counters and copies may be there or not.
  EXPECT_EQ(with([](TensorMap& w) {
              w["encoder.token_rp_bucket"] = at::rand({3, 3});
              w.erase("decoder.embed_tokens.weight");
              w.erase("encoder.embed_images.bn1.num_batches_tracked");
            }),
            "");
  EXPECT_EQ(with([](TensorMap& w) { w.erase("encoder.embed_tokens.weight"); }), "");
  EXPECT_TRUE(mentions(with([](TensorMap& w) { w["decoder.output_projection.weight"].add_(1); }), "decoder.output_projection.weight is not the same"));
  // A row too many, too few positions of pictures, a missing layer.
  const int64_t rows = good.at("encoder.embed_tokens.weight").size(0);
  EXPECT_TRUE(mentions(with([&](TensorMap& w) {
                         for (const char* name : {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "decoder.output_projection.weight"}) w[name] = at::zeros_like(at::rand({rows + 1, 16}));
                       }),
                       "encoder.embed_tokens.weight: the file has [" + std::to_string(rows + 1) + ", 16], the model needs [" + std::to_string(rows) + ", 16]"));
  EXPECT_TRUE(mentions(with([](TensorMap& w) { w["decoder.embed_image_positions.weight"] = w["decoder.embed_image_positions.weight"].slice(0, 0, 10).contiguous(); }),
                       "decoder.embed_image_positions.weight: the file has [10, 16], the model needs [37, 16]"));
  EXPECT_TRUE(mentions(with([](TensorMap& w) { w.erase("encoder.pos_ln.weight"); }), "encoder.pos_ln.weight"));
}

TEST(OfaFolder, AFolderWithSeveralCheckpointsWantsOneToBeNamed) {
  using namespace ofa_folder_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_ofa();
  for (const char* name : {"a.pt", "b.pt"}) {
    write_torch_checkpoint(folder / name, {{.key = "args", .plain = args_of(*model)}, {.key = "model", .tensors = fairseq_weights(*model)}});
  }
  EXPECT_TRUE(mentions(error_of([&] { load_model(folder.path()); }), "name one"));
  EXPECT_EQ(load_model(folder / "b.pt").layout, "fairseq");
}

}  // namespace vlm
