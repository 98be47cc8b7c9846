#include "vlm/infer/save_model.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "tiny_models.h"
#include "vlm/core/error.h"
#include "vlm/infer/text_pipeline.h"
#include "vlm/text/sentencepiece_trainer.h"

namespace vlm {

TEST(SaveModel, ANewModelOfEveryFamilyOpensAgainWithItsTokenizerAndPreprocessing) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "pieces.model", train_sentencepiece({"a red cat", "a big dog", "the blue ball"}, {.vocab_size = 36}));
  write_file_atomically(folder / "words/vocab.txt", testing::tiny_vocabulary());
  const std::string towers = R"(
embed_dim: 16
vision_cfg: {image_size: 32, patch_size: 8, width: 16, layers: 1, head_width: 8}
text_cfg: {context_length: 8, vocab_size: 40, width: 16, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
)";
  const struct {
    std::string family, config, tokenizer;
  } cases[] = {{"clip", towers, "pieces.model"},
               {"siglip", towers, "pieces.model"},
               {"coca", testing::tiny_coca, "pieces.model"},
               {"blip", testing::tiny_blip_config("BlipForConditionalGeneration"), "words"},
               {"blip", testing::tiny_blip_config("BlipForQuestionAnswering"), "words"}};
  for (const auto& c : cases) {
    const auto model = make_model(c.family, Config::parse(c.config, "test"), 3);
    PreprocessOptions preprocess;
    preprocess.size = {c.family == "coca" ? 16 : 32};
    preprocess.resize_mode = "squash";
    preprocess.mean = {0.1, 0.2, 0.3};
    const auto to = folder / ("saved_" + c.family + "_" + std::to_string(&c - cases));
    EXPECT_TRUE(save_model_folder(to, *model, preprocess, folder / c.tokenizer).empty());
    const TextPipeline pipeline = TextPipeline::load(to);
    EXPECT_EQ(load_preprocess(to).mean, preprocess.mean) << c.family;
    const auto before = weights_of(*model), after = weights_of(pipeline.model());
    ASSERT_EQ(before.size(), after.size());
    for (const auto& [name, tensor] : before) EXPECT_TRUE(at::equal(tensor, after.at(name))) << c.family << ": " << name;
    const int64_t side = preprocess.size[0];
    if (dynamic_cast<Captioner*>(&pipeline.model())) {
      EXPECT_EQ(pipeline.caption(at::zeros({1, 3, side, side}), {}).size(), 1u);
    }
    if (dynamic_cast<Answerer*>(&pipeline.model())) {
      EXPECT_EQ(pipeline.answer(at::zeros({1, 3, side, side}), {"what is it?"}, {}).size(), 1u);
    }
  }
}

TEST(SaveModel, AFolderWithoutATokenizerIsAnError) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "empty/notes.txt", "none");
  const auto model = make_model("coca", Config::parse(testing::tiny_coca, "test"), 3);
  EXPECT_THROW(save_model_folder(folder / "out", *model, {}, folder / "empty"), Error);
}

}  // namespace vlm
