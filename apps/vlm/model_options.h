#pragma once
/// The flags that every command with a model has.

#include "command.h"
#include "vlm/infer/pipeline.h"

namespace vlm::apps {

struct ModelFlags {
  std::string model, tokenizer, arch;
  int64_t batch_size = 32;
  int threads = 0;
  bool json = false, allow_unfit = false;

  void add_to(CLI::App& command);
  /// Loads the model, after the number of threads is set.
  DualEncoderPipeline load() const;
};

/// Threads of LibTorch's kernels; 0: as many as the machine has.
void set_threads(int threads);

}  // namespace vlm::apps
