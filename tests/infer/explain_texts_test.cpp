#include "vlm/infer/explain_texts.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "temporary_folder.h"
#include "tiny_albef.h"
#include "tiny_mplug.h"
#include "vlm/core/error.h"
#include "vlm/data/draw_heat.h"
#include "vlm/data/image_encode.h"
#include "vlm/infer/grad_cam.h"

namespace vlm {

TEST(HeatOnPicture, FillsWhatTheModelSeesAndNothingElse) {
  const Tensor map = at::tensor({1.0, 1.0, 1.0, 1.0}, at::kFloat).view({2, 2});
  // A picture of 40 x 20 in the middle of a square of 10: 10 x 5 pixels of it, from row 2 on.
  PicturePlacement place;
  place.picture = {20, 40};
  place.width_ratio = place.height_ratio = 0.25F;
  place.left = 0;
  place.top = -2;
  const Tensor whole = heat_on_picture(map, place, 10, 10);
  EXPECT_EQ(whole.sizes(), (std::vector<int64_t>{20, 40}));
  EXPECT_NEAR(whole.min().item<double>(), 1, 1e-5);
  // The middle of it, at its own size.
  place.width_ratio = place.height_ratio = 1;
  place.left = 15;
  place.top = 5;
  const Tensor part = heat_on_picture(map, place, 10, 10);
  EXPECT_NEAR(part.sum().item<double>(), 100, 1e-3);
  EXPECT_NEAR(part.slice(0, 5, 15).slice(1, 15, 25).min().item<double>(), 1, 1e-5);
}

TEST(HeatPeak, IsTheFirstWarmestPlace) {
  const HeatPeak peak = peak_of(at::tensor({0.0, 3.0, 1.0, 3.0, 0.0, 0.0}, at::kFloat).view({2, 3}));
  EXPECT_EQ(peak.x, 1);
  EXPECT_EQ(peak.y, 0);
  EXPECT_EQ(peak.heat, 3);
}

TEST(ExplainTexts, WordsAreMeansOfTheirPieces) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_albef(folder / "model", AlbefTask::retrieval);
  Image image(24, 48);
  for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(p % 251);
  write_file_atomically(folder / "p.png", encode_png(image));
  const TextPipeline pipeline = TextPipeline::load(folder / "model");
  const PictureBatch batch = pipeline.decode({folder / "p.png"});
  const auto explained = explain_texts(pipeline, batch, {"The cats, red!"}).front();
  ASSERT_EQ(explained.words.size(), 3U);
  EXPECT_EQ(explained.words[1].text, "cats");
  // [CLS] the cat ##s red [SEP]
  const Tensor ids = at::tensor({2, 9, 6, 26, 11, 3}, at::kLong).view({1, 6});
  const Tensor heat = grad_cam_of_words(must_show_heat(pipeline.model()), batch.pixels, ids, ids.ne(0).to(at::kLong)).detach()[0];
  const auto on_picture = [&](const Tensor& map) { return heat_on_picture(map, batch.placements[0], 32, 32); };
  EXPECT_LT((explained.words[1].heat - on_picture((heat[2] + heat[3]) / 2)).abs().max().item<double>(), 1e-5);
  EXPECT_LT((explained.heat - on_picture(heat.mean(0))).abs().max().item<double>(), 1e-5);
  EXPECT_EQ(explained.heat.sizes(), (std::vector<int64_t>{24, 48}));

  testing::write_tiny_albef(folder / "vqa", AlbefTask::vqa);
  EXPECT_THROW(must_explain(TextPipeline::load(folder / "vqa")), Error);
}

namespace explain_texts_test {

/// Weights are larger than a new model's, so that pictures and texts differ.
template <class M>
void enlarge(M& model) {
  for (auto& [name, tensor] : model.state()) {
    if (name.ends_with(".weight") && tensor.dim() == 2) tensor.detach().mul_(6);
  }
}

Tensor maps_of(Model& model, const Tensor& pixels, std::initializer_list<int64_t> words, int64_t layer = -1) {
  const Tensor ids = at::tensor(std::vector<int64_t>(words), at::kLong).unsqueeze(0);
  return grad_cam_of_words(must_show_heat(model), pixels, ids, ids.ne(0).to(at::kLong), layer).detach();
}

/// Of a model whose pictures are cut into side x side patches.
void expect_maps(Model& model, int64_t resolution, int64_t side) {
  const Tensor pixels = at::arange(3 * resolution * resolution).sin().view({1, 3, resolution, resolution});
  const Tensor cat = maps_of(model, pixels, {2, 9, 6, 3, 0}), ball = maps_of(model, pixels, {2, 12, 13, 3, 0});
  EXPECT_EQ(cat.sizes(), (std::vector<int64_t>{1, 5, side, side}));
  EXPECT_GT(cat.sum().item<double>() + ball.sum().item<double>(), 0);
  EXPECT_EQ(cat[0][4].abs().sum().item<double>(), 0);
  EXPECT_GT((cat - ball).abs().max().item<double>(), 1e-9);
  for (const auto& [name, tensor] : model.trainable()) EXPECT_FALSE(tensor.grad().defined()) << name;
}

}  // namespace explain_texts_test

TEST(GradCam, OfAnMplugHasThePicturesGridAndMovesWithTheText) {
  using namespace explain_texts_test;
  for (const char* task : {"retrieval", "pretrain"}) {
    const auto model = testing::tiny_mplug(task);
    enlarge(*model);
    expect_maps(*model, 16, 2);
    // Layer 3 is a connected one: text and picture are one sequence there.
    const Tensor pixels = at::arange(3 * 16 * 16).sin().view({1, 3, 16, 16});
    EXPECT_EQ(maps_of(*model, pixels, {2, 9, 3}, 2).sizes(), (std::vector<int64_t>{1, 3, 2, 2}));
    EXPECT_THROW(maps_of(*model, pixels, {2, 9, 3}, 3), Error);
  }
  const auto answerer = testing::tiny_mplug("vqa");
  EXPECT_THROW(must_show_heat(*answerer), Error);
}

TEST(GradCam, OfABlipHasThePicturesGridAndMovesWithTheText) {
  using namespace explain_texts_test;
  const auto model = make_model("blip", Config::parse(testing::tiny_blip_config("BlipForImageTextRetrieval"), "test"), 5);
  enlarge(*model);
  expect_maps(*model, 32, 4);
}

TEST(DrawHeat, ReddensWhatIsWarmAndDarkensTheRest) {
  Image image(1, 2);
  std::fill(image.pixels.begin(), image.pixels.end(), uint8_t(100));
  draw_heat(image, at::tensor({0.0, 5.0}, at::kFloat).view({1, 2}), 5);
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{45, 45, 45, 178, 82, 66}));
  EXPECT_THROW(draw_heat(image, at::tensor({0.0, 5.0}, at::kFloat).view({2, 1}), 5), Error);
}

}  // namespace vlm
