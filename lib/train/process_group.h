#pragma once
/// Communicators between processes, on LibTorch's c10d: Gloo on CPU, NCCL on GPU, found through a TCPStore.

#include <c10/core/Device.h>

#include <memory>
#include <string>

#include "vlm/train/communicator.h"

namespace vlm {

struct ProcessGroupOptions {
  int64_t rank = 0, world_size = 1;
  std::string master_addr = "127.0.0.1";  ///< where rank 0 (or the launcher) listens
  int64_t master_port = 29500;
  bool store_is_hosted = false;      ///< the launcher listens, not rank 0
  std::string store_prefix;          ///< tells one start of a run from the next on the same store
  c10::Device device = c10::kCPU;    ///< of this rank; tensors on a GPU travel by NCCL
  double connect_seconds = 300;      ///< how long ranks wait for each other at the start
  double silence_seconds = 60;       ///< a rank that has not been heard of for so long (a stopped process, a dead node) ends the others
};

/// Throws an Error that says who could not be reached. While it exists, a rank that dies makes calls on the others throw an
/// Error that names it, within seconds; a call that does not come back although a rank is gone ends the process.
std::unique_ptr<Communicator> make_process_group(const ProcessGroupOptions& options);

}  // namespace vlm
