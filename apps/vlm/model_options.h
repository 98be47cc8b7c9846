#pragma once
/// The flags that every command with a model has.

#include "command.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

struct ModelFlags {
  std::string model, adapter, tokenizer, arch;
  int64_t batch_size = 32, image_size = 0;
  int64_t usual_size = 0;  ///< of the pictures where neither the flag nor the model folder says it (PipelineOptions)
  int threads = 0;
  bool json = false, allow_unfit = false, imagenet_mean = false;

  /// `batch` is the default of --batch-size.
  void add_to(CLI::App& command, int64_t batch = 32);
  /// --image-size, for models that take pictures of several sizes.
  void add_image_size_to(CLI::App& command);
  /// --imagenet-mean, for commands that classify.
  void add_imagenet_mean_to(CLI::App& command);
  /// Loads the model, after the number of threads is set.
  DualEncoderPipeline load() const;
  TextPipeline load_text() const;
  PipelineOptions pipeline_options() const;
};

/// Threads of LibTorch's kernels; 0: as many as the machine has.
void set_threads(int threads);

}  // namespace vlm::apps
