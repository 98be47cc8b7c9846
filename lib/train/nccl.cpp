#include "vlm/train/nccl.h"

#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#ifdef VLM_CUDA
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include "vlm/core/error.h"
#include "vlm/train/device.h"

namespace vlm {

c10::intrusive_ptr<c10d::Backend> make_nccl_backend([[maybe_unused]] const c10::intrusive_ptr<c10d::Store>& store,
                                                    [[maybe_unused]] int64_t rank, [[maybe_unused]] int64_t size,
                                                    [[maybe_unused]] const c10::Device& device,
                                                    [[maybe_unused]] int64_t timeout_seconds) {
#ifdef VLM_CUDA
  if (!device.is_cuda()) fail_usage("NCCL joins GPUs, and this run's device is ", device.str(), "; the backend gloo joins processes on CPUs");
  use_device(device);
  auto options = c10d::ProcessGroupNCCL::Options::create();
  options->timeout = std::chrono::seconds(timeout_seconds);
  auto backend = c10::make_intrusive<c10d::ProcessGroupNCCL>(store, static_cast<int>(rank), static_cast<int>(size), std::move(options));
  backend->setBoundDeviceId(device);  // so that a barrier needs no tensor to know its GPU
  return backend;
#else
  fail_usage("this build has no NCCL: ./dev setup --cuda and cmake --preset cuda make one that has; the backend gloo works here");
#endif
}

}  // namespace vlm
