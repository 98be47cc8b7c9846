// Any bytes as a safetensors file: read whole, or refused with an Error. Every byte of every tensor is touched, so a view
// past the end of the file shows.

#include "vlm/io/safetensors.h"

#include "memory_file.h"
#include "vlm/core/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vlm::fuzz::MemoryFile memory(data, size);
  try {
    const vlm::SafetensorsFile file(memory.path());
    for (const auto& [name, info] : file.tensors()) {
      const vlm::Tensor tensor = file.tensor(name);
      const auto* const bytes = static_cast<const volatile uint8_t*>(tensor.data_ptr());
      for (size_t i = 0; i < tensor.nbytes(); ++i) (void)bytes[i];
    }
  } catch (const vlm::Error&) {
  }
  return 0;
}
