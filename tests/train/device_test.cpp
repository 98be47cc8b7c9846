#include "vlm/train/device.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <gtest/gtest.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "vlm/core/error.h"
#include "vlm/train/nccl.h"

namespace vlm {
namespace device_test {

std::string usage_error(const std::string& text, int64_t local_rank = 0) {
  try {
    parse_device(text, local_rank);
  } catch (const Error& error) {
    return error.code() == ExitCode::usage ? error.what() : "not a usage error";
  }
  return "";
}

}  // namespace device_test

TEST(DeviceNames, TheCpuIsAlwaysThereAndAutoTakesItWhereThereIsNoGpu) {
  EXPECT_TRUE(parse_device("cpu").is_cpu());
  EXPECT_EQ(parse_device("auto").is_cpu(), cuda_device_count() == 0);
  EXPECT_EQ(parse_device("cpu", 7), parse_device("cpu"));
}

TEST(DeviceNames, WordsThatAreNoDeviceAreRefusedWithAListOfThoseThatAre) {
  for (const char* wrong : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:999", "CPU"}) {
    EXPECT_NE(device_test::usage_error(wrong).find("there are: cpu, cuda, cuda:0"), std::string::npos) << wrong;
  }
}

TEST(DeviceNames, AGpuThatCannotBeUsedIsAUsageErrorThatSaysWhy) {
  if (!has_cuda()) {
    EXPECT_NE(device_test::usage_error("cuda").find("this build has no CUDA"), std::string::npos);
    EXPECT_NE(device_test::usage_error("cuda:1").find("this build has no CUDA"), std::string::npos);
  } else if (cuda_device_count() == 0) {
    EXPECT_NE(device_test::usage_error("cuda").find("there is no GPU to use"), std::string::npos);
  } else {
    EXPECT_EQ(parse_device("cuda:0").index(), 0);
    EXPECT_NE(device_test::usage_error("cuda:127").find("there is no GPU number 127"), std::string::npos);
  }
  EXPECT_THROW(make_nccl_backend({}, 0, 1, Device(c10::kCPU)), Error);
}

TEST(DeviceTransfer, OnTheCpuBatchesPassAsTheyAreAndNothingIsAskedForAhead) {
  int asked = 0;
  DeviceTransfer transfer(parse_device("cpu"), [&](Batch& batch) {
    if (++asked > 2) return false;
    batch.ids = at::arange(asked);
    return true;
  });
  Batch batch;
  ASSERT_TRUE(transfer.next(batch));
  EXPECT_EQ(asked, 1);
  EXPECT_EQ(batch.ids.numel(), 1);
  ASSERT_TRUE(transfer.next(batch));
  EXPECT_EQ(batch.ids.numel(), 2);
  EXPECT_FALSE(transfer.next(batch));
  transfer.reset();
}

TEST(DeviceTransfer, OnAGpuEveryBatchArrivesInOrderAndErrorsComeWithTheirBatch) {
  if (cuda_device_count() == 0) GTEST_SKIP() << "there is no GPU here";
  int64_t asked = 0;
  DeviceTransfer transfer(parse_device("cuda:0"), [&](Batch& batch) -> bool {
    if (++asked == 4) fail("broken shard");
    if (asked == 6) return false;
    batch.ids = at::arange(100000) + asked;
    return true;
  });
  Batch batch;
  for (int64_t k = 1; k <= 3; ++k) {
    ASSERT_TRUE(transfer.next(batch));
    EXPECT_TRUE(batch.ids.is_cuda());
    EXPECT_TRUE(batch.ids.cpu().equal(at::arange(100000) + k));
  }
  EXPECT_THROW(transfer.next(batch), Error);
  EXPECT_TRUE(transfer.next(batch));
  EXPECT_FALSE(transfer.next(batch));
  synchronize(parse_device("cuda:0"));
}

TEST(PeakMemory, IsCountedInBytes) {
  // A process that holds LibTorch has tens of megabytes at least.
  EXPECT_GT(peak_memory(parse_device("cpu")), 10 << 20);
  EXPECT_LT(peak_memory(parse_device("cpu")), int64_t(1) << 42);
}

}  // namespace vlm
