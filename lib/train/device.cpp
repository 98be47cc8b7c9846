#include "vlm/train/device.h"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <exception>
#include <optional>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

#ifdef VLM_CUDA
#include <ATen/Context.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#endif

namespace vlm {

namespace device {

/// Why there is no GPU, in the driver's words.
std::string why_none() {
#ifdef VLM_CUDA
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  return error == cudaSuccess ? "the driver knows none" : cudaGetErrorString(error);
#else
  return "this build has no CUDA";
#endif
}

Device gpu(const std::string& text, int64_t index) {
  return with_context("device '" + text + "'", [&] {
    if (!has_cuda()) fail_usage("this build has no CUDA: ./dev setup --cuda and cmake --preset cuda make one that has; 'cpu' works here");
    const int64_t count = cuda_device_count();
    if (count == 0) fail_usage("there is no GPU to use: ", why_none(), " ('cpu' works here)");
    if (index >= count) fail_usage("there is no GPU number ", index, ": this machine has ", count, ", counted from 0");
    return Device(c10::kCUDA, static_cast<c10::DeviceIndex>(index));
  });
}

Device gpu_of_rank(const std::string& text, int64_t local_rank) {
  const int64_t count = cuda_device_count();
  // Launchers that bind GPUs show each process its own one, as number 0.
  if (count == 1 && std::getenv("CUDA_VISIBLE_DEVICES")) return gpu(text, 0);
  if (count > 0 && local_rank >= count) {
    fail_usage("device '", text, "': this is process ", local_rank, " of its node (from 0), which has ", count, " GPU", count == 1 ? "" : "s",
               "; start one process for each GPU");
  }
  return gpu(text, local_rank);
}

}  // namespace device

bool has_cuda() {
#ifdef VLM_CUDA
  return true;
#else
  return false;
#endif
}

int64_t cuda_device_count() {
#ifdef VLM_CUDA
  return c10::cuda::device_count();
#else
  return 0;
#endif
}

Device parse_device(const std::string& text, int64_t local_rank) {
  if (text == "cpu") return Device(c10::kCPU);
  if (text == "auto") return cuda_device_count() > 0 ? device::gpu_of_rank(text, local_rank) : Device(c10::kCPU);
  if (text == "cuda") return device::gpu_of_rank(text, local_rank);
  if (starts_with(text, "cuda:")) {
    uint8_t index = 0;
    const char *begin = text.data() + 5, *end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(begin, end, index);
    if (error == std::errc() && stopped == end && index < 128) return device::gpu(text, index);
  }
  fail_usage("there is no device '", text, "'; there are: cpu, cuda, cuda:0 (or another number), auto");
}

void use_device([[maybe_unused]] const Device& device) {
#ifdef VLM_CUDA
  if (device.is_cuda()) c10::cuda::set_device(device.index());
#endif
}

void synchronize([[maybe_unused]] const Device& device) {
#ifdef VLM_CUDA
  if (!device.is_cuda()) return;
  const c10::cuda::CUDAGuard guard(device);
  c10::cuda::device_synchronize();
#endif
}

void allow_tf32([[maybe_unused]] bool allowed) {
#ifdef VLM_CUDA
  at::globalContext().setAllowTF32CuBLAS(allowed);
  at::globalContext().setAllowTF32CuDNN(allowed);
#endif
}

int64_t peak_memory([[maybe_unused]] const Device& device) {
#ifdef VLM_CUDA
  if (device.is_cuda()) {
    const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(device.index());
    return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  }
#endif
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;
}

void reset_peak_memory([[maybe_unused]] const Device& device) {
#ifdef VLM_CUDA
  if (device.is_cuda()) c10::cuda::CUDACachingAllocator::resetPeakStats(device.index());
#endif
}

#ifdef VLM_CUDA

struct DeviceTransfer::Ahead {
  explicit Ahead(const Device& device) : device(device), stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())) {}

  Device device;
  c10::cuda::CUDAStream stream;
  c10::cuda::CUDAEvent arrived;
  std::optional<Batch> batch;  ///< on its way
  std::exception_ptr error;    ///< what the source threw instead
  bool asked = false;          ///< the source has been asked; without a batch or an error it was at its end

  template <class Function>
  static void for_each_tensor(Batch& batch, Function function) {
    for (at::Tensor* tensor : {&batch.images, &batch.ids, &batch.labels, &batch.image_index}) {
      if (tensor->defined()) function(*tensor);
    }
  }

  void fetch(const std::function<bool(Batch&)>& source) {
    asked = true;
    try {
      Batch fresh;
      if (!source(fresh)) return;
      const c10::cuda::CUDAStreamGuard guard(stream);
      for_each_tensor(fresh, [&](at::Tensor& tensor) {
        // The pinned copy is kept by its allocator until the stream has read it.
        tensor = tensor.contiguous().pin_memory().to(device, /*non_blocking=*/true);
      });
      arrived.record(stream);
      batch = std::move(fresh);
    } catch (...) {
      error = std::current_exception();
    }
  }

  bool take(Batch& out) {
    asked = false;
    if (error) std::rethrow_exception(std::exchange(error, nullptr));
    if (!batch) return false;
    out = std::move(*batch);
    batch.reset();
    const auto current = c10::cuda::getCurrentCUDAStream(device.index());
    arrived.block(current);
    // Their memory belongs to the side stream, which must not have it back before the current one is done with it.
    for_each_tensor(out, [&](at::Tensor& tensor) { c10::cuda::CUDACachingAllocator::recordStream(tensor.storage().data_ptr(), current); });
    return true;
  }
};

#else

struct DeviceTransfer::Ahead {};

#endif

DeviceTransfer::DeviceTransfer([[maybe_unused]] const Device& device, std::function<bool(Batch&)> source) : source_(std::move(source)) {
#ifdef VLM_CUDA
  if (device.is_cuda()) ahead_ = std::make_unique<Ahead>(device);
#endif
}

DeviceTransfer::~DeviceTransfer() = default;

bool DeviceTransfer::next(Batch& batch) {
#ifdef VLM_CUDA
  if (ahead_) {
    if (!ahead_->asked) ahead_->fetch(source_);
    if (!ahead_->take(batch)) return false;
    ahead_->fetch(source_);
    return true;
  }
#endif
  return source_(batch);
}

void DeviceTransfer::reset() {
#ifdef VLM_CUDA
  if (!ahead_) return;
  ahead_->batch.reset();
  ahead_->error = nullptr;
  ahead_->asked = false;
#endif
}

}  // namespace vlm
