#pragma once
/// A data set read in order for evaluation; what cannot be used is counted.

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "vlm/core/progress.h"
#include "vlm/data/skips.h"
#include "vlm/data/source.h"
#include "vlm/infer/picture_stream.h"

namespace vlm {

/// What makes two samples of a data set samples of the same picture: its number, its path, or else their key.
std::string picture_of(const Sample& sample);

class SampleStream {
 public:
  SampleStream(const Source& source, SkipCounter& skips, const std::string& label, bool progress);
  /// The next usable sample with a picture; false at the end.
  bool next(Sample& sample);
  const Source& source() const { return source_; }

 private:
  const Source& source_;
  SkipCounter& skips_;
  std::optional<Progress> bar_;
  int64_t at_ = 0;
};

/// Samples on their way through a PictureStream: hands out their pictures under names that lead back to them.
class PendingSamples {
 public:
  /// Only samples that `want` accepts are handed out.
  PendingSamples(SampleStream& stream, SkipCounter& skips, std::function<bool(const Sample&)> want);
  ReadPicture reader();
  PictureFailed on_failure();
  /// The sample (without its picture) behind a name of a batch; it is forgotten here.
  Sample take(const std::string& name);

 private:
  SampleStream& stream_;
  SkipCounter& skips_;
  std::function<bool(const Sample&)> want_;
  std::map<std::string, Sample> waiting_;
};

}  // namespace vlm
