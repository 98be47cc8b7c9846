#include <ATen/ops/equal.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "tiny_mplug.h"
#include "vlm/core/error.h"
#include "vlm/data/image_encode.h"
#include "vlm/infer/ground_texts.h"
#include "vlm/infer/text_pipeline.h"
#include "vlm/models/mplug/grounder.h"

namespace vlm {
namespace mplug_pipeline_test {

/// A folder as this project writes it, with the vocabulary of tiny_models.h.
std::filesystem::path write_folder(const testing::TemporaryFolder& folder, const std::string& task) {
  const auto model = testing::tiny_mplug(task);
  save_hf_folder(folder.path(), *model, {});
  write_file_atomically(folder / "vocab.txt", testing::tiny_vocabulary());
  return folder.path();
}

/// A picture with a gradient from left to right, upon a folder.
std::filesystem::path write_picture(const testing::TemporaryFolder& folder, int height, int width, const std::string& name = "picture.png") {
  Image image(height, width, 3);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i * 255 / image.pixels.size());
  write_file_atomically(folder / name, encode_png(image));
  return folder / name;
}

const std::string question = "what colour is the ball ?";  // 14 15 16 9 13 18

}  // namespace mplug_pipeline_test

TEST(MplugPipeline, QuestionIsReadWithoutItsClosingId) {
  using namespace mplug_pipeline_test;
  const testing::TemporaryFolder folder, pictures;
  const TextPipeline pipeline = TextPipeline::load(write_folder(folder, "vqa"));
  const PictureBatch batch = pipeline.decode({write_picture(pictures, 20, 30)});
  EXPECT_EQ(batch.pixels.sizes(), (std::vector<int64_t>{1, 3, 16, 16}));
  const auto answer = pipeline.answer(batch.pixels, {question}).front();
  auto& answerer = dynamic_cast<Answerer&>(pipeline.model());
  const Tensor ids = at::tensor({2, 14, 15, 16, 9, 13, 18}, at::kLong).view({1, 7});
  const GenerationTokens tokens = answerer.generation_tokens();
  const Generated expected = generate(*answerer.begin_answer(batch.pixels, ids, {}), begin_prompt(1, tokens), {}, tokens, GenerateOptions::usual(answerer.usual_answer_search()));
  EXPECT_NEAR(answer.score, expected.scores.front(), 1e-5);
}

TEST(MplugPipeline, CaptionsAndVideosBeginAsTheModelSays) {
  using namespace mplug_pipeline_test;
  const testing::TemporaryFolder folder, frames;
  auto config = testing::tiny_mplug_config("caption");
  config["prompt_ids"] = {2, 5, 6, 8};
  seed_initialisation(3);
  const auto model = make_mplug(MplugConfig::from_json(config.dump(), "test"), {});
  save_hf_folder(folder.path(), *model, {});
  write_file_atomically(folder / "vocab.txt", testing::tiny_vocabulary());
  const TextPipeline pipeline = TextPipeline::load(folder.path());
  write_picture(frames, 16, 16, "f2.png");
  write_picture(frames, 24, 16, "f10.png");
  const Tensor video = pipeline.decode_video(frames.path(), 2);
  EXPECT_EQ(video.sizes(), (std::vector<int64_t>{1, 2, 3, 16, 16}));
  CaptionOptions short_ones;
  short_ones.generate = pipeline.caption_search();
  EXPECT_EQ(short_ones.generate->rules, "mplug");
  short_ones.generate->max_new_tokens = 2;
  short_ones.generate->min_new_tokens = 0;
  const auto of_video = pipeline.caption(video, short_ones).front();
  // [CLS] and the last id of the prompt are no part of what is shown; 5 and 6 are.
  ASSERT_GE(of_video.ids.size(), 2U);
  EXPECT_EQ(of_video.ids[0], 5);
  EXPECT_EQ(of_video.ids[1], 6);
  const auto of_picture = pipeline.caption(video.select(1, 0), short_ones).front();
  EXPECT_LE(of_picture.ids.size(), 2U);
}

TEST(MplugPipeline, OtherModelsRefuseVideos) {
  using namespace mplug_pipeline_test;
  const testing::TemporaryFolder folder;
  testing::write_tiny_blip(folder.path(), "BlipForConditionalGeneration");
  const TextPipeline pipeline = TextPipeline::load(folder.path());
  try {
    pipeline.decode_video(folder.path(), 2);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("this blip model cannot look at videos"), std::string::npos) << error.what();
  }
}

TEST(MplugPipeline, BoxesAreInPixelsOfThePicture) {
  using namespace mplug_pipeline_test;
  const testing::TemporaryFolder folder, pictures;
  const TextPipeline pipeline = TextPipeline::load(write_folder(folder, "grounding"));
  const PictureBatch batch = pipeline.decode({write_picture(pictures, 16, 32)});
  // The long side becomes 16, the picture is 8 high and stands 4 below the top; above and below it there is 0.
  EXPECT_TRUE(at::equal(batch.pixels[0].slice(1, 0, 4), at::zeros({3, 4, 16})));
  EXPECT_TRUE(at::equal(batch.pixels[0].slice(1, 12, 16), at::zeros({3, 4, 16})));
  EXPECT_FALSE(at::equal(batch.pixels[0].slice(1, 4, 5), at::zeros({3, 1, 16})));
  const auto found = ground_texts(pipeline, batch.pixels, batch.placements, {"the red ball"}).front();
  auto& grounder = dynamic_cast<MplugGrounder&>(pipeline.model());
  const Tensor ids = at::tensor({2, 9, 11, 13, 3}, at::kLong).view({1, 5});  // [CLS] the red ball [SEP]
  const GroundedShares shares = grounder.ground(batch.pixels, ids, at::ones_like(ids));
  const auto share = [&](int64_t i) { return shares.boxes[0][i].item<float>(); };
  EXPECT_NEAR(found.box[0], (share(0) - share(2) / 2) * 32, 1e-3);
  EXPECT_NEAR(found.box[1], ((share(1) - share(3) / 2) * 16 - 4) * 2, 1e-3);
  EXPECT_NEAR(found.box[2], (share(0) + share(2) / 2) * 32, 1e-3);
  EXPECT_NEAR(found.box[3], ((share(1) + share(3) / 2) * 16 - 4) * 2, 1e-3);
  EXPECT_NEAR(found.score, shares.scores[0].item<float>(), 1e-4);
  EXPECT_THROW(pipeline.must_caption(), Error);
}

TEST(MplugPipeline, SaysWhatAModelForRetrievalCannotDo) {
  using namespace mplug_pipeline_test;
  const testing::TemporaryFolder folder, pictures;
  const TextPipeline pipeline = TextPipeline::load(write_folder(folder, "retrieval"));
  const PictureBatch batch = pipeline.decode({write_picture(pictures, 16, 16)});
  const double fits = pipeline.match(batch.pixels, {"a red ball"}).front();
  EXPECT_GT(fits, 0);
  EXPECT_LT(fits, 1);
  EXPECT_THROW(pipeline.must_answer(), Error);
  EXPECT_THROW(must_ground(pipeline), Error);
}

}  // namespace vlm
