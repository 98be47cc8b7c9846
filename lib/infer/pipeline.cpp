#include "vlm/infer/pipeline.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/models/generator.h"
#include "vlm/models/layers/fast_linear.h"

namespace vlm {

namespace fs = std::filesystem;

namespace pipeline {

std::shared_ptr<const Tokenizer> find_tokenizer(const LoadedModel& loaded, const std::string& named) {
  if (!named.empty()) return load_tokenizer(named);
  if (!loaded.folder.empty()) {
    try {
      return load_tokenizer(loaded.folder);
    } catch (const Error& error) {
      fail_usage(error.what(), "; or name one with --tokenizer FILE");
    }
  }
  try {
    return load_tokenizer(loaded.weights.parent_path().empty() ? fs::path(".") : loaded.weights.parent_path());
  } catch (const Error&) {
    fail_usage(loaded.weights.string(), " is a bare weight file, and no tokenizer lies beside it; name one with --tokenizer FILE");
  }
}

/// An id beyond the table of embeddings would be read from nowhere.
void check_vocabulary(const Model& model, const Tokenizer& tokenizer) {
  for (const auto& [name, tensor] : model.state()) {
    if (!ends_with(name, "token_embedding.weight") && !ends_with(name, "word_embeddings.weight") && !ends_with(name, "embed_tokens.weight")) continue;
    if (tokenizer.vocab_size() > tensor.size(0)) {
      fail_usage("the tokenizer (", tokenizer.family(), ") has ", tokenizer.vocab_size(), " ids, the model knows ", tensor.size(0),
                 ": it is another model's; name the right one with --tokenizer FILE");
    }
  }
}

}  // namespace pipeline

PreprocessOptions find_preprocess(const LoadedModel& loaded) {
  const auto written = [&](const char* file) { return !loaded.folder.empty() && fs::exists(loaded.folder / file); };
  const bool in_folder = written("preprocessor_config.json") || written("processor_config.json") || written("open_clip_config.json");
  if (!in_folder && !loaded.open_clip_config.empty()) return read_open_clip_preprocess(nlohmann::json::parse(loaded.open_clip_config));
  // Released folders of models that take instructions say nothing about pictures: all of them are prepared alike.
  if (!in_folder && dynamic_cast<const Instructed*>(loaded.model.get())) return instructed_preprocess();
  // Released checkpoints of ALBEF say nothing either.
  if (!in_folder && loaded.model->family() == "albef") {
    PreprocessOptions options;
    options.resize_mode = "squash";
    return options;
  }
  return load_preprocess(loaded.folder);
}

ModelParts load_parts(const fs::path& path, const PipelineOptions& options) {
  LoadedModel loaded = load_model(path, ModelLoadOptions{.strict = options.strict, .arch = options.arch, .adapter = options.adapter});
  if (!loaded.report.clean()) log_warning(loaded.weights.string(), ": the weights do not fit the model", loaded.report.text());
  ModelParts parts;
  parts.tokenizer = pipeline::find_tokenizer(loaded, options.tokenizer);
  pipeline::check_vocabulary(*loaded.model, *parts.tokenizer);
  parts.preprocess = find_preprocess(loaded);
  if (options.imagenet_mean) parts.preprocess.mean = imagenet_mean, parts.preprocess.std = imagenet_std;
  parts.model = std::move(loaded.model);
  return parts;
}

DualEncoderPipeline DualEncoderPipeline::load(const fs::path& path, const PipelineOptions& options) {
  return of(load_parts(path, options), options);
}

DualEncoderPipeline DualEncoderPipeline::of(ModelParts parts, const PipelineOptions& options) {
  if (options.image_size > 0) fail_usage("this ", parts.model->family(), " model takes pictures of its own size only; leave out --image-size");
  DualEncoderPipeline out(std::move(parts.model), std::move(parts.tokenizer), parts.preprocess, options);
  out.frozen_ = true;
  return out;
}

DualEncoderPipeline::DualEncoderPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer,
                                         const PreprocessOptions& preprocess, const PipelineOptions& options)
    : model_(std::move(model)),
      encoder_(&require<DualEncoder>(*model_, "embed pictures and texts", "it has no two towers")),
      tokenizer_(std::move(tokenizer)),
      preprocess_([&] {
        PreprocessOptions adapted = preprocess;
        // The image tower decides the size, whatever the preprocessing says (specs: clip, 8.1).
        const auto [height, width] = encoder_->image_size();
        adapted.size = height == width ? std::vector<int64_t>{height} : std::vector<int64_t>{height, width};
        return adapted;
      }()),
      options_(options) {
  if (options_.threads <= 0) options_.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

Tensor DualEncoderPipeline::embed_stream(const ReadPicture& read, std::vector<std::string>& kept, const PictureFailed& failed) const {
  const c10::InferenceMode inference;
  const auto [height, width] = encoder_->image_size();
  PictureStream stream(preprocess_, height, width, options_.batch_size, options_.threads, read, failed);
  std::vector<Tensor> vectors;
  PictureBatch batch;
  int64_t batches = 0;
  while (stream.next(batch)) {
    // One batch does not pay for laying the weights out, and weights that are still being trained must not be.
    if (frozen_ && ++batches == 2) pack_for_inference(*model_);
    kept.insert(kept.end(), batch.names.begin(), batch.names.end());
    vectors.push_back(encoder_->embed_images(batch.pixels));
  }
  return vectors.empty() ? Tensor() : at::cat(vectors);
}

Tensor DualEncoderPipeline::embed_pictures(const std::vector<Picture>& pictures) const {
  size_t at = 0;
  std::vector<std::string> kept;
  const Tensor out = embed_stream(
      [&](Picture& picture) {
        if (at == pictures.size()) return false;
        picture = pictures[at++];
        return true;
      },
      kept, [](const std::string& name, const std::string& reason) { fail(name, ": ", reason); });
  if (!out.defined()) fail("no pictures to embed");
  return out;
}

Tensor DualEncoderPipeline::embed_texts(const std::vector<std::string>& texts) const {
  const c10::InferenceMode inference;
  const int64_t length = encoder_->context_length();
  std::vector<Tensor> vectors;
  for (size_t at = 0; at < texts.size(); at += static_cast<size_t>(options_.batch_size)) {
    const size_t end = std::min(texts.size(), at + static_cast<size_t>(options_.batch_size));
    const std::vector<std::string> part(texts.begin() + static_cast<std::ptrdiff_t>(at), texts.begin() + static_cast<std::ptrdiff_t>(end));
    const Tensor ids = at::tensor(tokenizer_->encode_batch(part, length), at::kLong).view({-1, length});
    vectors.push_back(encoder_->embed_texts(ids));
  }
  if (vectors.empty()) fail("no texts to embed");
  return at::cat(vectors);
}

Tensor DualEncoderPipeline::logits(const Tensor& pictures, const Tensor& texts) const {
  const c10::InferenceMode inference;
  const Tensor scores = encoder_->logit_scale() * at::matmul(pictures, texts.t()), bias = encoder_->logit_bias();
  return bias.defined() ? scores + bias : scores;
}

}  // namespace vlm
