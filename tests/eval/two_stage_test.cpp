#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "tiny_albef.h"
#include "vlm/core/error.h"
#include "vlm/data/image_encode.h"
#include "vlm/eval/two_stage.h"
#include "vlm/infer/rerank.h"
#include "vlm/io/atomic_file.h"

namespace vlm {
namespace two_stage_test {

/// Five pictures, each with a text beside it.
void write_pictures(const std::filesystem::path& folder) {
  const char* texts[] = {"a red cat", "two small dogs", "the big green ball", "a dog on the sofa", "it sits"};
  for (int i = 0; i < 5; ++i) {
    Image image(40, 50);
    for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = static_cast<uint8_t>(37 * i + (p % (7 + static_cast<size_t>(i))) * 20);
    write_file_atomically(folder / ("p" + std::to_string(i) + ".png"), encode_png(image));
    write_file_atomically(folder / ("p" + std::to_string(i) + ".txt"), texts[i]);
  }
}

}  // namespace two_stage_test

TEST(TwoStage, RanksAsIfAllPairsThatCosinesChooseWereLookedAtAtOnce) {
  const testing::TemporaryFolder folder;
  testing::write_tiny_albef(folder / "m", AlbefTask::retrieval);
  two_stage_test::write_pictures(folder / "data");
  const auto pipeline = DualEncoderPipeline::load(folder / "m");
  SourceOptions data;
  data.path = (folder / "data").string();
  const auto source = open_source(data);
  RetrievalOptions options;
  options.ks = {1, 2};
  options.progress = false;
  int told = 0;
  options.each = [&](const nlohmann::ordered_json&) { ++told; };
  for (const int64_t k : {2, 9}) {
    told = 0;
    const auto report = evaluate_two_stage(pipeline, *source, options, k);
    EXPECT_EQ(told, 10);
    EXPECT_EQ(report.again.images, 5);
    const c10::InferenceMode inference;
    auto& model = dynamic_cast<Reranker&>(pipeline.model());
    std::vector<Tensor> pixels;
    std::vector<std::string> texts;
    for (int64_t i = 0; i < 5; ++i) {
      Sample sample = source->read_number(i);
      texts.push_back(sample.captions[0]);
      PictureStream one(pipeline.preprocess(), 32, 32, 1, 1,
                        [&, given = false](Picture& picture) mutable {
                          if (given) return false;
                          picture = {"one", sample.images[0].bytes, source->decode_options()};
                          return given = true;
                        },
                        [](const std::string& name, const std::string& reason) { FAIL() << name << reason; });
      PictureBatch batch;
      ASSERT_TRUE(one.next(batch));
      pixels.push_back(batch.pixels);
    }
    const Tensor pictures = model.match_pictures(at::cat(pixels)), ids = at::tensor(pipeline.tokenizer().encode_batch(texts, 24), at::kLong).view({5, 24});
    const Tensor mask = ids.ne(0).to(at::kLong), cosines = at::matmul(model.embed_matched(pictures), pipeline.embed_texts(texts).t());
    const Tensor states = model.match_texts(ids, mask);
    std::vector<std::vector<int64_t>> relevant;
    for (int64_t i = 0; i < 5; ++i) relevant.push_back({i});
    const auto expected = retrieval_recall(rerank(model, pictures, states, mask, cosines, RerankRows::pictures, {.k = k}),
                                           rerank(model, pictures, states, mask, cosines.t(), RerankRows::texts, {.k = k}), relevant, {1, 2});
    EXPECT_EQ(report.again.recall.image_ranks, expected.image_ranks) << k;
    EXPECT_EQ(report.again.recall.text_ranks, expected.text_ranks) << k;
    EXPECT_EQ(report.first.image_ranks, retrieval_recall(cosines, relevant, {1, 2}).image_ranks);
  }
}

TEST(TwoStage, NeedsAMatchingHead) {
  const testing::TemporaryFolder folder;
  two_stage_test::write_pictures(folder / "data");
  testing::write_tiny_albef(folder / "m", AlbefTask::retrieval);
  const auto pipeline = DualEncoderPipeline::load(folder / "m");
  SourceOptions data;
  data.path = (folder / "data").string();
  const auto source = open_source(data);
  EXPECT_THROW(evaluate_two_stage(pipeline, *source, {}, 0), Error);
}

}  // namespace vlm
