#pragma once
/// A whole data set looked at once, in order, with several threads: behind `vlm data check`, `stats` and `shard`.

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "vlm/data/image_header.h"
#include "vlm/data/source.h"

namespace vlm {

/// What is known of one picture of a sample.
struct PictureFacts {
  ImageFormat format = ImageFormat::jpeg;
  int width = 0, height = 0;  ///< as stored
  uint64_t bytes = 0;
};
const char* image_format_name(ImageFormat format);

struct ScannedSample {
  int64_t number = 0;
  Sample sample;  ///< as far as it could be read
  std::vector<PictureFacts> pictures;
  std::optional<SampleError> error;  ///< why it cannot be used
};

struct ScanOptions {
  enum class Pictures { none, header, decode };
  Pictures pictures = Pictures::decode;  ///< how far pictures are looked at
  bool keep_bytes = false;               ///< leave the pictures' bytes in the sample
  int64_t threads = 0;                   ///< 0: one for each core
  const char* label = "data";            ///< of the progress bar
};

/// Calls `visit` in the calling thread with every sample in the data set's order; false from it ends the scan. Only some
/// hundred samples are in memory at a time. Errors other than SampleError end the scan and are thrown on. problems() are not
/// visited.
void scan_source(const Source& source, const ScanOptions& options, const std::function<bool(ScannedSample&&)>& visit);

}  // namespace vlm
