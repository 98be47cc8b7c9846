// Any bytes as one of the lists that data sets are released with: the first byte says which, and what stands behind a NUL is
// its second file (answers, boxes). Samples are consistent, or a row or the file is refused.

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "memory_file.h"
#include "vlm/core/error.h"
#include "vlm/data/source.h"
#include "vlm/data/source_formats.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const char* const types[] = {"coco_captions", "coco_karpathy", "albef_list", "vqav2",   "albef_vqa",
                                      "snli_ve",       "albef_ve",      "nlvr2",      "refcoco", "albef_grounding"};
  if (size == 0) return 0;
  const std::string_view all(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string_view first = all.substr(0, all.find('\0'));
  const std::string_view second = first.size() < all.size() ? all.substr(first.size() + 1) : std::string_view();
  const auto bytes = [](std::string_view text) { return reinterpret_cast<const uint8_t*>(text.data()); };
  const vlm::fuzz::MemoryFile list(bytes(first), first.size()), other(bytes(second), second.size());
  vlm::SourceOptions options;
  options.path = list.path().string();
  options.type = types[data[0] % 10];
  options.write_index = false;
  if (options.type == "vqav2" && !second.empty()) options.annotations = other.path().string();
  if (options.type == "refcoco") options.instances = other.path().string();
  try {
    const auto source = vlm::open_source(options);
    for (int64_t n = 0; n < std::min<int64_t>(source->size(), 300); ++n) {
      try {
        const vlm::Sample sample = source->describe_number(n);
        if (sample.number != n || sample.key.empty() || sample.images.empty()) std::abort();
        if (!sample.weights.empty() && sample.answers.size() != sample.weights.size()) std::abort();
        if (!sample.counts.empty() && sample.answers.size() != sample.counts.size()) std::abort();
        if (sample.box && !((*sample.box)[2] > (*sample.box)[0] && (*sample.box)[3] > (*sample.box)[1])) std::abort();
        for (const auto& caption : sample.captions) {
          if (caption.empty()) std::abort();
        }
      } catch (const vlm::SampleError&) {
      }
    }
  } catch (const vlm::Error&) {
  }
  return 0;
}
