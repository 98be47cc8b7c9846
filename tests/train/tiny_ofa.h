#pragma once
/// A small OFA with drawn weights, its vocabulary, and pictures that it can learn by heart.

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>

#include <memory>
#include <string>
#include <vector>

#include "temporary_folder.h"
#include "vlm/core/config.h"
#include "vlm/data/loader.h"
#include "vlm/io/atomic_file.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/sentencepiece_trainer.h"
#include "vlm/text/tokenizer.h"

namespace vlm::testing {

/// 40 pieces, <mask>, 16 codes, 20 bins; pictures of 32 x 32 are 2 x 2 patches.
inline const std::string& taught_ofa_config() {
  static const std::string text = R"({vocab_size: 77, num_codes: 16, num_bins: 20, bos_token_id: 1, pad_token_id: 0, eos_token_id: 2, unk_token_id: 3,
    d_model: 16, encoder_layers: 2, decoder_layers: 2, encoder_attention_heads: 2, decoder_attention_heads: 2, encoder_ffn_dim: 32, decoder_ffn_dim: 32,
    max_position_embeddings: 160, token_bucket_size: 16, image_bucket_size: 6, code_image_size: 16, resnet_type: custom, resnet_layers: [1, 1, 1],
    resnet_stem_width: 4, patch_image_size: 32, dropout: 0.0})";
  return text;
}

inline const std::vector<std::string>& ofa_captions() {
  static const std::vector<std::string> out = {"a red cat", "a big dog", "the blue ball", "a cat on the sofa", "a red ball", "two green dogs"};
  return out;
}

inline const std::string& tiny_ofa_pieces() {
  static const std::string bytes = [] {
    std::vector<std::string> texts = ofa_captions();
    for (const char* text : {"what does the image describe?", "what is it?", "yes", "no", "maybe", "which region does the text describe?"}) texts.emplace_back(text);
    return train_sentencepiece(texts, {.vocab_size = 40});
  }();
  return bytes;
}

inline std::shared_ptr<const Tokenizer> tiny_ofa_tokenizer() {
  static const std::shared_ptr<const Tokenizer> tokenizer = [] {
    const TemporaryFolder folder;
    write_file_atomically(folder / "tokenizer.model", tiny_ofa_pieces());
    return load_tokenizer(folder / "tokenizer.model");
  }();
  return tokenizer;
}

inline std::unique_ptr<Model> tiny_ofa(uint64_t seed = 3, const std::vector<std::string>& changes = {}) {
  Config config = Config::parse(taught_ofa_config(), "tiny ofa");
  config.override_with(changes);
  return make_model("ofa", config, seed);
}

/// A sample that serves every task; the first `first` of six are left out.
inline Batch ofa_batch(int64_t first, int64_t rows, int64_t side = 32) {
  static const Tensor pictures = [] {
    at::Generator generator = at::detail::createCPUGenerator(5);
    return at::randn({6, 3, 32, 32}, generator);
  }();
  Batch batch;
  batch.images = pictures.slice(0, first, first + rows).slice(2, 0, side).slice(3, 0, side).contiguous();
  for (int64_t i = first; i < first + rows; ++i) {
    const auto at = static_cast<double>(i);
    Sample sample;
    sample.key = std::to_string(i);
    sample.number = i;
    sample.images.push_back({"picture", ""});
    sample.captions = {ofa_captions()[static_cast<size_t>(i)], "a " + ofa_captions()[static_cast<size_t>(i)]};
    sample.question = "what is it?";
    sample.answers = {i % 2 ? "a dog" : "a cat", "a ball"};
    sample.weights = {0.9, 0.3};
    sample.label = i % 3;
    sample.box = std::array<double, 4>{at, 2, 20 + at, 30};
    const char* const label = i % 2 ? "1" : "0";
    sample.meta = {{"premise", "the sofa"}, {"objects", "cat&&dog"}, {"source", "the big blue ball on the sofa"}, {"sentence1", ofa_captions()[static_cast<size_t>(i)]},
                   {"sentence2", "a dog"},  {"label", label},        {"codes", {i, i + 1, 3, 15}}};
    batch.texts.push_back(sample.captions[0]);
    batch.keys.push_back(sample.key);
    batch.numbers.push_back(i);
    batch.samples.push_back(std::move(sample));
  }
  return batch;
}

}  // namespace vlm::testing
