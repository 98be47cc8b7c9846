#include "vlm/models/fingerprint.h"

#include <ATen/ops/slice.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string_view>

namespace vlm {

namespace fingerprint {

/// FNV-1a, 64 bits.
class Hash {
 public:
  void take(std::string_view bytes) {
    for (const char c : bytes) value_ = (value_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  }
  uint64_t value() const { return value_; }

 private:
  uint64_t value_ = 0xcbf29ce484222325ULL;
};

constexpr int64_t values_per_tensor = 16;

}  // namespace fingerprint

std::string model_fingerprint(const Model& model) {
  fingerprint::Hash hash;
  for (const auto& [name, tensor] : model.state()) {
    hash.take(concat(name, tensor.sizes(), ";"));
    if (tensor.numel() == 0) continue;
    const int64_t step = std::max<int64_t>(1, tensor.numel() / fingerprint::values_per_tensor);
    const Tensor sample = tensor.detach().reshape({-1}).slice(0, 0, tensor.numel(), step).to(at::kCPU, at::kFloat).contiguous();
    hash.take({static_cast<const char*>(sample.data_ptr()), sample.nbytes()});
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash.value()));
  return text;
}

}  // namespace vlm
