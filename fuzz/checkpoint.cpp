// Any bytes as a PyTorch checkpoint, and as a bare pickle: read whole, or refused with an Error. Every element of every
// tensor is touched, so a view past the end of its storage shows.

#include <nlohmann/json.hpp>

#include "memory_file.h"
#include "vlm/core/error.h"
#include "vlm/io/pickle_machine.h"
#include "vlm/io/torch_checkpoint.h"

namespace vlm::fuzz {

void touch(const CheckpointValue& value) {
  if (value.kind() != PickleKind::tensor) {
    (void)value.to_json();
    return;
  }
  const Tensor tensor = value.tensor();
  if (tensor.numel() > 1 << 20) return;
  const Tensor copy = tensor.clone(at::MemoryFormat::Contiguous);
  const auto* const bytes = static_cast<const volatile uint8_t*>(copy.data_ptr());
  for (size_t i = 0; i < copy.nbytes(); ++i) (void)bytes[i];
}

}  // namespace vlm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vlm::fuzz::MemoryFile memory(data, size);
  for (const bool allow : {false, true}) {
    try {
      const vlm::TorchCheckpoint checkpoint(memory.path(), vlm::TorchCheckpointOptions{allow});
      for (const auto& [path, value] : vlm::flatten(checkpoint.root())) vlm::fuzz::touch(value);
      (void)vlm::state_dict(checkpoint.root());
    } catch (const vlm::Error&) {
    }
    try {
      vlm::PickleMachine machine({reinterpret_cast<const char*>(data), size}, vlm::PickleOptions{allow, allow});
      (void)machine.run();
    } catch (const vlm::Error&) {
    }
  }
  return 0;
}
