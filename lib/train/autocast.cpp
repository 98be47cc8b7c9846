#include "vlm/train/autocast.h"

#include <ATen/autocast_mode.h>

namespace vlm {

Autocast::Autocast(c10::DeviceType device, const std::string& precision) : device_(device), on_(precision != "fp32") {
  if (!on_) return;
  at::autocast::set_autocast_dtype(device_, precision == "bf16" ? at::kBFloat16 : at::kHalf);
  at::autocast::set_autocast_enabled(device_, true);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, false);
}

AutocastOff::AutocastOff(c10::DeviceType device) : device_(device), before_(at::autocast::is_autocast_enabled(device)) {
  at::autocast::set_autocast_enabled(device_, false);
}

AutocastOff::~AutocastOff() { at::autocast::set_autocast_enabled(device_, before_); }

}  // namespace vlm
