// A training run with a loss and an objective of one's own, on an installed vlm.
//
//   custom_loss FOLDER [KEY=VALUE …]    draws scenes into FOLDER, and trains a small dual encoder on them

#include <ATen/TensorOperators.h>
#include <ATen/ops/diagonal.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/data/scenes.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/sentencepiece_trainer.h"
#include "vlm/train/objective.h"
#include "vlm/train/trainer.h"

namespace {

using at::Tensor;

struct HingeOptions {
  double margin = 0.2;
  bool hardest = false;  // only the worst negative of each row counts (VSE++), not the mean over all of them

  void fields(vlm::Fields& f) {
    f.field("margin", margin, "how much nearer than a negative the positive should be, in cosine similarity");
    f.field("hardest", hardest, "only the worst negative of each row counts");
  }
};

/// The two-way hinge loss of VSE++ (arXiv 1707.05612, equations 3 and 6).
/// image, text: [B, E], unit length; negatives: [B, B], 1 where a text is a negative of a picture. Returns a scalar.
Tensor hinge_loss(const Tensor& image, const Tensor& text, const Tensor& negatives, const HingeOptions& options) {
  const Tensor similarity = at::matmul(image, text.t());                                           // [B, B]
  const Tensor positive = at::diagonal(similarity);                                                // [B]
  const Tensor per_image = at::relu(similarity - positive.unsqueeze(1) + options.margin) * negatives;  // [B, B]
  const Tensor per_text = at::relu(similarity - positive.unsqueeze(0) + options.margin) * negatives;   // [B, B]
  if (options.hardest) return per_image.amax(1).mean() + per_text.amax(0).mean();
  return (per_image.sum() + per_text.sum()) / negatives.sum().clamp_min(1);
}

class HingeObjective : public vlm::Objective {
 public:
  HingeObjective(const vlm::ObjectiveContext& context, const HingeOptions& options)
      : encoder_(vlm::require<vlm::DualEncoder>(context.model, "be trained with a hinge loss", "it has no two towers")),
        tokenizer_(context.tokenizer),
        options_(options) {}

  std::vector<vlm::LossTerm> losses(const vlm::Batch& batch) override {
    const Tensor image = encoder_.embed_images(batch.images);  // [B, E]
    const Tensor text = encoder_.embed_texts(batch.ids);       // [B, E]
    const Tensor loss = hinge_loss(image, text, negatives_of(batch).to(image.device()), options_);
    return {{"hinge", loss, static_cast<double>(batch.size())}};
  }
  std::vector<std::pair<std::string, double>> metrics() const override { return {{"margin", options_.margin}}; }
  int64_t text_length() const override { return encoder_.context_length(); }
  void tokenize(const std::string& text, int64_t* ids) const override {
    const auto padded = tokenizer_->encode_padded(text, text_length());
    std::copy(padded.begin(), padded.end(), ids);
  }
  std::pair<int64_t, int64_t> image_size() const override { return encoder_.image_size(); }
  std::string evaluation() const override { return "retrieval"; }

 private:
  // Every other row, unless it says the same.
  static Tensor negatives_of(const vlm::Batch& batch) {
    const int64_t rows = batch.size();
    Tensor out = at::zeros({rows, rows});
    auto at_row = out.accessor<float, 2>();
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < rows; ++j) at_row[i][j] = batch.texts[static_cast<size_t>(i)] != batch.texts[static_cast<size_t>(j)];
    }
    return out;
  }

  vlm::DualEncoder& encoder_;
  std::shared_ptr<const vlm::Tokenizer> tokenizer_;
  HingeOptions options_;
};

std::unique_ptr<vlm::Objective> make_hinge_objective(const vlm::ObjectiveContext& context, const vlm::Config& options) {
  HingeOptions parsed;
  options.read(parsed);
  return std::make_unique<HingeObjective>(context, parsed);
}

vlm::Recipe make_recipe(const std::filesystem::path& folder, const std::vector<std::string>& overrides) {
  auto config = vlm::Config::parse(R"(
model:
  family: clip
  config:
    embed_dim: 32
    vision_cfg: {image_size: 32, patch_size: 16, width: 64, layers: 2, head_width: 32, pool_type: avg}
    text_cfg: {context_length: 20, vocab_size: 200, width: 64, heads: 2, layers: 1, pool_type: eos, eos_id: 2}
data:
  train: {captions_field: captions}
  batch_size: 32
  preprocess: {resize_mode: longest, fill_color: 255}
  augment: {pad_square: true}
objective:
  name: hinge
  options: {margin: 0.2}
train: {epochs: 4, lr: 2.0e-3, grad_clip_norm: 1.0, schedule: {warmup_steps: 5}, eval_every_epochs: 2}
)", "the recipe of this program");
  config.override_with({"out=" + (folder / "run").string(), "model.tokenizer=" + (folder / "tokenizer.model").string(),
                        "data.train.path=" + (folder / "scenes/train-000000.tar").string(),
                        "data.val.path=" + (folder / "scenes/val-000000.tar").string()});
  config.override_with(overrides);
  vlm::Recipe recipe;
  config.read(recipe);
  return recipe;
}

void train(const std::filesystem::path& folder, const std::vector<std::string>& overrides) {
  vlm::objectives().add("hinge", make_hinge_objective);
  vlm::SceneSetOptions scenes;
  scenes.out = folder / "scenes";
  scenes.count = 300;
  vlm::make_scenes(scenes);
  const auto captions = vlm::read_captions(scenes.out / "captions_train.json");
  vlm::write_file_atomically(folder / "tokenizer.model", vlm::train_sentencepiece(captions, {.vocab_size = 120}));
  const vlm::TrainResult result = vlm::run_training(make_recipe(folder, overrides));
  std::printf("trained %ld steps, loss %.3f: %s\n", static_cast<long>(result.steps), result.last_loss, result.model.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: custom_loss FOLDER [KEY=VALUE ...]\n");
    return 2;
  }
  try {
    train(argv[1], {argv + 2, argv + argc});
    return 0;
  } catch (const vlm::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
