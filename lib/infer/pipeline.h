#pragma once
/// A model folder ready for pictures and texts: weights, tokenizer and preprocessing put together.
///
///   DualEncoderPipeline clip = DualEncoderPipeline::load("clip-vit-b32");
///   Tensor pictures = clip.embed_pictures({Picture::from_file("cat.jpg")});   // [1, E]
///   Tensor texts = clip.embed_texts({"a photo of a cat", "a photo of a dog"});  // [2, E]

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "vlm/infer/picture_stream.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

struct PipelineOptions {
  bool strict = true;        ///< refuse weights that do not fit
  std::string tokenizer{};   ///< file or folder; empty: the model folder
  std::string arch{};        ///< of a bare weight file, as "ViT-B-32" (models/architectures.h)
  std::string adapter{};     ///< tuned parameters that go on top of the model (models/tuning.h)
  int64_t image_size = 0;    ///< side of the pictures, for models that take other sizes than their own; 0: the model's
  int64_t usual_size = 0;    ///< the same where nothing says which the model's is; 0: its guess
  bool imagenet_mean = false;  ///< pictures are normalised by ImageNet's mean and deviation, whatever the model folder says
  int64_t batch_size = 32;
  int threads = 0;           ///< decoding threads; 0: as many as the machine has
};

/// What a model folder or a weight file brings.
struct ModelParts {
  std::shared_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  PreprocessOptions preprocess;
};

/// How the pictures of a loaded model are prepared: as its folder, or its checkpoint's arguments say; models that take instructions
/// have a way of their own where nothing does. Throws an Error that names what is missing.
PreprocessOptions find_preprocess(const LoadedModel& loaded);

/// Throws an Error that names what is missing.
ModelParts load_parts(const std::filesystem::path& path, const PipelineOptions& options);

class DualEncoderPipeline {
 public:
  /// `path`: a model folder, or a bare weight file, which needs a tokenizer beside it or in the options.
  /// Throws an Error that names what is missing, or that the model has no two towers.
  static DualEncoderPipeline load(const std::filesystem::path& path, const PipelineOptions& options = {});
  /// Of what load_parts() brought.
  static DualEncoderPipeline of(ModelParts parts, const PipelineOptions& options = {});
  DualEncoderPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer, const PreprocessOptions& preprocess,
                      const PipelineOptions& options = {});

  /// Unit vectors [N, E]. A picture that cannot be decoded is an Error that names it.
  Tensor embed_pictures(const std::vector<Picture>& pictures) const;
  /// The same for as many pictures as `read` gives, a batch at a time; `read` returns false at the end. Pictures that cannot
  /// be used are handed to `failed` (name, reason) and left out; `kept` receives the names of the rows.
  Tensor embed_stream(const ReadPicture& read, std::vector<std::string>& kept, const PictureFailed& failed) const;
  /// Unit vectors [N, E].
  Tensor embed_texts(const std::vector<std::string>& texts) const;
  /// scale * pictures textsᵀ (+ bias): [N, M].
  Tensor logits(const Tensor& pictures, const Tensor& texts) const;

  DualEncoder& encoder() const { return *encoder_; }
  Model& model() const { return *model_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  const Preprocess& preprocess() const { return preprocess_; }

 private:
  std::shared_ptr<Model> model_;
  DualEncoder* encoder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Preprocess preprocess_;
  PipelineOptions options_;
  bool frozen_ = false;  ///< loaded from files: nobody changes the weights
};

}  // namespace vlm
