#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace vlm::test {

/// Models of a few thousand weights gain nothing from threads, which on a loaded machine spin for each other most of the time.
class OneThread : public ::testing::Environment {
  void SetUp() override { at::set_num_threads(1); }
};

[[maybe_unused]] const auto* const one_thread = ::testing::AddGlobalTestEnvironment(new OneThread);

}  // namespace vlm::test
