#include "vlm/eval/embed_samples.h"

namespace vlm {

Tensor embed_samples(const DualEncoderPipeline& pipeline, SampleStream& stream, SkipCounter& skips,
                     const std::function<bool(const Sample&)>& want, const std::function<void(Sample&)>& keep) {
  PendingSamples pending(stream, skips, want);
  std::vector<std::string> names;
  const Tensor vectors = pipeline.embed_stream(pending.reader(), names, pending.on_failure());
  for (const auto& name : names) {
    skips.use();
    Sample sample = pending.take(name);
    keep(sample);
  }
  return vectors;
}

}  // namespace vlm
