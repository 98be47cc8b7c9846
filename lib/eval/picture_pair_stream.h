#pragma once
/// Samples of two pictures on their way through a PictureStream, which decodes one after the other (NLVR2).

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "vlm/eval/sample_stream.h"

namespace vlm {

class PicturePairStream {
 public:
  struct Pair {
    Sample sample;  ///< without its pictures' bytes
    std::array<Tensor, 2> pixels;  ///< [3, H, W]
    bool bad = false;
    int seen = 0;
  };
  /// Only samples that `want` accepts are handed out; it must refuse those of less than two pictures. The others outlive this.
  PicturePairStream(SampleStream& samples, SkipCounter& skips, std::function<bool(const Sample&)> want);
  ReadPicture reader();
  /// A sample of which a picture is broken is counted once.
  PictureFailed on_failure();
  /// Takes a batch of the stream in, and gives the pairs that have become complete.
  std::vector<Pair> take(const PictureBatch& batch);

 private:
  void see(const std::string& name);

  SampleStream& samples_;
  SkipCounter& skips_;
  std::function<bool(const Sample&)> want_;
  std::optional<Picture> second_;
  std::map<std::string, Pair> waiting_;  ///< by the sample's number; pictures are called NUMBER/0 and NUMBER/1
  std::vector<Pair> complete_;
};

}  // namespace vlm
