#pragma once
/// Mixed precision: matrix products in a smaller type, weights and all that adds up in float32.

#include <c10/core/Device.h>

#include <string>

namespace vlm {

/// LibTorch's autocast in the scope of this object, in this thread. precision: fp32 (nothing changes), bf16 or fp16.
class Autocast {
 public:
  Autocast(c10::DeviceType device, const std::string& precision);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  c10::DeviceType device_;
  bool on_;
};

/// No autocast in the scope of this object, in this thread: for losses, which are float32.
class AutocastOff {
 public:
  explicit AutocastOff(c10::DeviceType device);
  ~AutocastOff();
  AutocastOff(const AutocastOff&) = delete;
  AutocastOff& operator=(const AutocastOff&) = delete;

 private:
  c10::DeviceType device_;
  bool before_;
};

}  // namespace vlm
