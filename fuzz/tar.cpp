// Any bytes as a tar of samples: every member that is listed lies inside the file.

#include <cstdlib>

#include "vlm/core/error.h"
#include "vlm/data/shard_index.h"
#include "vlm/data/tar_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = vlm::memory_bytes(std::string(reinterpret_cast<const char*>(data), size));
  try {
    const vlm::TarContents contents = vlm::read_tar(*bytes);
    for (const auto& member : contents.members) {
      if (member.offset > size || member.size > size - member.offset) std::abort();
    }
    for (const auto& sample : vlm::group_members(contents).samples) {
      if (sample.members.empty()) std::abort();
    }
  } catch (const vlm::Error&) {
  }
  return 0;
}
