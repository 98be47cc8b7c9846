#include "vlm/infer/explain_texts.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "temporary_folder.h"
#include "tiny_albef.h"
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
  const Tensor heat = heat_of_words(pipeline.model(), batch.pixels, ids, ids.ne(0).to(at::kLong)).detach()[0];
  const auto on_picture = [&](const Tensor& map) { return heat_on_picture(map, batch.placements[0], 32, 32); };
  EXPECT_LT((explained.words[1].heat - on_picture((heat[2] + heat[3]) / 2)).abs().max().item<double>(), 1e-5);
  EXPECT_LT((explained.heat - on_picture(heat.mean(0))).abs().max().item<double>(), 1e-5);
  EXPECT_EQ(explained.heat.sizes(), (std::vector<int64_t>{24, 48}));

  testing::write_tiny_albef(folder / "vqa", AlbefTask::vqa);
  EXPECT_THROW(must_explain(TextPipeline::load(folder / "vqa")), Error);
}

TEST(DrawHeat, ReddensWhatIsWarmAndDarkensTheRest) {
  Image image(1, 2);
  std::fill(image.pixels.begin(), image.pixels.end(), uint8_t(100));
  draw_heat(image, at::tensor({0.0, 5.0}, at::kFloat).view({1, 2}), 5);
  EXPECT_EQ(image.pixels, (std::vector<uint8_t>{45, 45, 45, 178, 82, 66}));
  EXPECT_THROW(draw_heat(image, at::tensor({0.0, 5.0}, at::kFloat).view({2, 1}), 5), Error);
}

}  // namespace vlm
