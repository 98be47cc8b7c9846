#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "error_of.h"
#include "temporary_folder.h"
#include "train/tiny_ofa.h"
#include "vlm/infer/convert.h"
#include "vlm/infer/pipeline.h"
#include "vlm/infer/save_model.h"
#include "vlm/io/torch_checkpoint.h"
#include "vlm/io/weights.h"
#include "vlm/models/generator.h"
#include "vlm/text/bpe.h"
#include "vlm/text/ofa_tokenizer.h"

namespace vlm {
namespace convert_ofa_test {

namespace fs = std::filesystem;

/// GPT-2's byte symbols and three merges, in a dictionary of another order that lacks one of them.
void write_fairseq_tokenizer(const fs::path& folder) {
  const std::string space = ByteSymbols().symbol[' '];
  nlohmann::ordered_json encoder;
  for (const unsigned char byte : ByteSymbols().order) encoder[ByteSymbols().symbol[byte]] = encoder.size();
  for (const std::string& piece : {space + "c", std::string("at"), space + "cat", std::string("<|endoftext|>")}) encoder[piece] = encoder.size();
  write_file_atomically(folder / "encoder.json", encoder.dump());
  write_file_atomically(folder / "vocab.bpe", "#version: 0.2\n" + space + " c\na t\n" + space + "c at\n");
  std::string dictionary = "258 9\n257 8\n";
  for (int i = 255; i >= 0; --i) dictionary += std::to_string(i) + " 1\n";
  write_file_atomically(folder / "dict.txt", dictionary + "256 0\n259 0\nmadeupword0000 0\n");
}

void expect_same_weights(const fs::path& a, const fs::path& b) {
  const LoadedModel first = load_model(a), second = load_model(b);
  const TensorMap left = weights_of(*first.model), right = weights_of(*second.model);
  ASSERT_EQ(left.size(), right.size());
  for (const auto& [name, tensor] : left) EXPECT_TRUE(at::equal(tensor, right.at(name))) << name;
  EXPECT_EQ(first.model->config(), second.model->config());
}

using testing::error_of;

}  // namespace convert_ofa_test

TEST(ConvertOfa, ThereAndBackModelTokenizerAndPreprocessingAreTheSame) {
  using namespace convert_ofa_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_ofa(3, {"bos_token_id=0", "pad_token_id=1"});
  save_hf_folder(folder / "a", *model, {{"size", {{"height", 32}, {"width", 32}}}, {"image_mean", {0.485, 0.456, 0.406}}, {"image_std", {0.229, 0.224, 0.225}}, {"resample", 3}});
  write_fairseq_tokenizer(folder / "a");
  const ConvertReport there = convert_model(folder / "a", folder / "b", {.to = "fairseq"});
  EXPECT_EQ(there.family, "ofa");
  EXPECT_EQ(there.from, "hf");
  EXPECT_TRUE(there.notes.empty()) << there.notes.front();
  const ConvertReport back = convert_model(folder / "b" / "checkpoint.pt", folder / "c", {.to = "hf"});
  EXPECT_EQ(back.from, "fairseq");
  expect_same_weights(folder / "a", folder / "b");
  expect_same_weights(folder / "a", folder / "c");
  for (const char* name : {"b", "c"}) {
    const LoadedModel loaded = load_model(folder / name);
    const PreprocessOptions preprocess = find_preprocess(loaded);
    EXPECT_EQ(preprocess.mean, imagenet_mean) << name;
    EXPECT_EQ(preprocess.resize_mode, "squash") << name;
    EXPECT_EQ(preprocess.size.front(), 32) << name;
  }
  // The names in the checkpoint are fairseq's, with the versions that its code looks for.
  const auto stored = tensors_below(*TorchCheckpoint(folder / "b" / "checkpoint.pt").root().find("model"));
  EXPECT_TRUE(stored.count("decoder.layers.0.encoder_attn.k_proj.weight") && stored.count("encoder.version") && stored.count("decoder.output_projection.weight"));
}

TEST(ConvertOfa, TokenizersAreSpelledAsTheLayoutSpellsThem) {
  using namespace convert_ofa_test;
  const testing::TemporaryFolder folder;
  const auto model = testing::tiny_ofa(3, {"bos_token_id=0", "pad_token_id=1"});
  save_hf_folder(folder / "a", *model, {});
  write_fairseq_tokenizer(folder / "a");
  const std::string text = " the cat, a caté \t1234";
  const auto ids = load_tokenizer(folder / "a")->encode(text);
  // To HF's files alone: the same ids, by HF's tokenizer, with codes and bins as added tokens.
  convert_model(folder / "a", folder / "b", {.to = "hf"});
  for (const char* name : {"encoder.json", "vocab.bpe", "dict.txt"}) fs::remove(folder / "b" / name);
  const auto hf = load_tokenizer(folder / "b");
  EXPECT_EQ(hf->family(), "byte_bpe");
  EXPECT_EQ(hf->encode(text), ids);
  EXPECT_EQ(hf->specials().bos, 0);
  EXPECT_EQ(hf->specials().eos, 2);
  EXPECT_EQ(hf->specials().pad, 1);
  const auto ofa = load_ofa_tokenizer(folder / "a");
  EXPECT_EQ(hf->id_of("<bin_999>"), ofa->first_bin() + 999);
  EXPECT_EQ(hf->id_of("<code_0>"), ofa->first_code());
  EXPECT_EQ(hf->vocab_size(), ofa->vocab_size());
  // And back: GPT-2's numbers follow from the merges, so that the files are what they were.
  convert_model(folder / "b", folder / "c", {.to = "fairseq"});
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "c" / "encoder.json")), nlohmann::json::parse(read_file(folder / "a" / "encoder.json")));
  EXPECT_EQ(read_file(folder / "c" / "vocab.bpe"), read_file(folder / "a" / "vocab.bpe"));
  const auto again = load_ofa_tokenizer(folder / "c");
  EXPECT_EQ(again->encode(text), ids);
  EXPECT_EQ(again->encode_symbols("258 <bin_3> 13 madeupword0000"), ofa->encode_symbols("258 <bin_3> 13 madeupword0000"));
}

TEST(ConvertOfa, ATrainedModelWithAVocabularyOfItsOwnIsWrittenAndOpened) {
  using namespace convert_ofa_test;
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "pieces.model", testing::tiny_ofa_pieces());
  PreprocessOptions preprocess = instructed_preprocess();
  preprocess.size = {48};
  EXPECT_TRUE(save_model_folder(folder / "hf", *testing::tiny_ofa(), preprocess, folder / "pieces.model").empty());
  EXPECT_TRUE(save_model_folder(folder / "fairseq", *testing::tiny_ofa(3, {"train_mue=true"}), preprocess, folder / "pieces.model").empty());
  for (const char* name : {"hf", "fairseq"}) {
    const ModelParts parts = load_parts(folder / name, {});
    EXPECT_EQ(parts.tokenizer->family(), "sentencepiece") << name;
    EXPECT_EQ(parts.preprocess.mean, preprocess.mean) << name;
    EXPECT_EQ(parts.preprocess.size.front(), 48) << name;
    EXPECT_EQ(dynamic_cast<PictureModel&>(*parts.model).picture_size().first, 48) << name;
  }
  EXPECT_NE(error_of([&] { convert_model(folder / "fairseq", folder / "x", {.to = "hf"}); }).find("train_mue"), std::string::npos);
  EXPECT_FALSE(fs::exists(folder / "x"));
  const ConvertReport report = convert_model(folder / "hf", folder / "y", {.to = "fairseq"});
  EXPECT_EQ(report.notes.size(), 2u);  // ids and tokenizer that the public code does not know
  expect_same_weights(folder / "hf", folder / "y");
}

}  // namespace vlm
