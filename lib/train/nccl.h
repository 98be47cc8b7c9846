#pragma once
/// Collectives between GPUs by NCCL, as LibTorch's process group has them. Builds with VLM_CUDA=ON only. Who calls this includes
/// torch/csrc/distributed/c10d/Backend.hpp and Store.hpp, which are too large for a header.

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <cstdint>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace vlm {

/// A backend of `size` ranks that meet at `store`; this one is `rank` and computes on `device`, which it makes the current
/// one. A collective that takes longer than `timeout_seconds` ends the process, as NCCL cannot be interrupted. Throws a usage
/// error in a build without CUDA, and for a device that is no GPU.
c10::intrusive_ptr<c10d::Backend> make_nccl_backend(const c10::intrusive_ptr<c10d::Store>& store, int64_t rank, int64_t size,
                                                    const c10::Device& device, int64_t timeout_seconds = 600);

}  // namespace vlm
