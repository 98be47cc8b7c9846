#pragma once
/// Where a run computes: the CPU, or a GPU through CUDA (builds with VLM_CUDA=ON). Every function here works in every build;
/// one without CUDA knows the CPU only, and says so.

#include <c10/core/Device.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "vlm/data/loader.h"

namespace vlm {

using c10::Device;

/// True if this build can use GPUs.
bool has_cuda();
/// GPUs that this process can use: 0 without CUDA, a driver or a GPU.
int64_t cuda_device_count();

/// "cpu"; "cuda:1"; "cuda": the GPU of this rank, which is number `local_rank` of the node, or the only one where the launcher
/// shows each process its own (CUDA_VISIBLE_DEVICES); "auto": as "cuda" where there is a GPU, else "cpu". Throws a usage
/// error for other words, without CUDA in this build, without a GPU, and for a number that no GPU has.
Device parse_device(const std::string& text, int64_t local_rank = 0);

/// Makes it the current device of this thread, which NCCL and new streams go by. Nothing for the CPU.
void use_device(const Device& device);
/// Waits until the device has done all that it was given. Nothing for the CPU.
void synchronize(const Device& device);
/// Whether float32 products and convolutions on GPUs may round their factors to TensorFloat-32 (10 bits of mantissa), which
/// is several times faster. Nothing for the CPU.
void allow_tf32(bool allowed);
/// The most bytes of tensors that were alive at once since reset_peak_memory(); on the CPU the most memory that this process
/// ever had, which cannot be reset.
int64_t peak_memory(const Device& device);
void reset_peak_memory(const Device& device);

/// Batches on their device, one ahead: while batch k is computed with, k + 1 travels from pinned memory on a stream of its
/// own. On the CPU batches pass as they are, and nothing is asked for ahead.
class DeviceTransfer {
 public:
  /// `source` gives batches in ordinary memory, and false at the end, as Loader::next() does.
  DeviceTransfer(const Device& device, std::function<bool(Batch& batch)> source);
  ~DeviceTransfer();
  DeviceTransfer(const DeviceTransfer&) = delete;
  DeviceTransfer& operator=(const DeviceTransfer&) = delete;

  /// The next batch, whose tensors can be used on the current stream; false at the end of what the source has, after which
  /// the next call asks it anew (an epoch has begun). An error of the source comes with the batch that it kept from coming.
  bool next(Batch& batch);
  /// Drops what was fetched ahead: before the source begins an epoch in the middle of another one.
  void reset();

 private:
  struct Ahead;
  std::function<bool(Batch& batch)> source_;
  std::unique_ptr<Ahead> ahead_;  ///< none on the CPU
};

}  // namespace vlm
