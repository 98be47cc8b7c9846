#include "vlm/data/source_scan.h"

#include <algorithm>
#include <deque>
#include <future>
#include <new>
#include <thread>

#include "vlm/core/progress.h"
#include "vlm/core/thread_pool.h"

namespace vlm {

namespace source_scan {

constexpr int64_t chunk = 8;  ///< samples a task

PictureFacts look_at(const EncodedImage& image, const ScanOptions& options, const DecodeOptions& decode) {
  const ImageHeader header = read_image_header(image.bytes);
  const int64_t pixels = int64_t(header.size.width) * header.size.height;
  if (pixels > decode.max_pixels)
    fail(header.size.width, " x ", header.size.height, " pixels are more than max_image_pixels");
  if (options.pictures == ScanOptions::Pictures::decode) decode_image(image.bytes, decode);
  return {header.format, header.size.width, header.size.height, image.bytes.size()};
}

ScannedSample scan_one(const Source& source, int64_t number, const ScanOptions& options) {
  ScannedSample out;
  out.number = number;
  try {
    const bool none = options.pictures == ScanOptions::Pictures::none && !options.keep_bytes;
    out.sample = none ? source.describe_number(number) : source.read_number(number);
    for (auto& image : out.sample.images) {
      try {
        if (options.pictures != ScanOptions::Pictures::none)
          out.pictures.push_back(look_at(image, options, source.decode_options()));
      } catch (const std::bad_alloc&) {
        throw;
      } catch (const std::exception& error) {
        // The decoders' errors of whatever kind cost one sample.
        throw SampleError("bad_image", out.sample.place(), error.what());
      }
      if (!options.keep_bytes) std::string().swap(image.bytes);
    }
  } catch (const SampleError& error) {
    out.error = error;
  }
  return out;
}

}  // namespace source_scan

const char* image_format_name(ImageFormat format) {
  switch (format) {
    case ImageFormat::jpeg: return "jpeg";
    case ImageFormat::png: return "png";
    case ImageFormat::webp: return "webp";
    case ImageFormat::gif: return "gif";
    case ImageFormat::bmp: return "bmp";
  }
  return "";
}

void scan_source(const Source& source, const ScanOptions& options, const std::function<bool(ScannedSample&&)>& visit) {
  const int64_t threads =
      options.threads > 0 ? std::min<int64_t>(options.threads, 256) : std::max(1u, std::thread::hardware_concurrency());
  ThreadPool pool(threads > 1 ? static_cast<int>(threads) : 0);
  std::deque<std::future<std::vector<ScannedSample>>> pending;
  const int64_t total = source.size();
  int64_t submitted = 0, done = 0;
  Progress progress(options.label, total, "samples");
  while (done < total) {
    while (submitted < total && pending.size() < static_cast<size_t>(pool.size() == 0 ? 1 : 4 * threads)) {
      const int64_t from = submitted, to = std::min(total, from + source_scan::chunk);
      submitted = to;
      pending.push_back(pool.submit([&source, &options, from, to] {
        std::vector<ScannedSample> out;
        for (int64_t n = from; n < to; ++n) out.push_back(source_scan::scan_one(source, n, options));
        return out;
      }));
    }
    auto chunk = pending.front().get();
    pending.pop_front();
    for (auto& scanned : chunk) {
      ++done;
      if (!visit(std::move(scanned))) return;
    }
    progress.update(done);
  }
}

}  // namespace vlm
