#include "vlm/io/npy.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "error_of.h"
#include "temporary_folder.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

TEST(Npy, WritesTheHeaderThatNumpyWritesAndTheNumbersFromAMultipleOf64On) {
  const testing::TemporaryFolder folder;
  write_npy(folder / "a.npy", at::arange(6, at::kFloat).view({2, 3}));
  const std::string bytes = read_file(folder / "a.npy");
  const std::string head = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  ASSERT_EQ(bytes.size(), 128u + 24u);
  EXPECT_EQ(bytes.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  EXPECT_EQ(bytes.substr(10, head.size()), head);
  EXPECT_EQ(bytes[127], '\n');
  EXPECT_EQ(bytes.substr(128 + 4, 4), std::string("\x00\x00\x80\x3f", 4));
}

TEST(Npy, ReadsWhatItWroteWhateverTypeAndLayoutItHad) {
  const testing::TemporaryFolder folder;
  for (const at::Tensor& tensor : {at::arange(24, at::kDouble).view({2, 3, 4}).transpose(0, 2), at::arange(5, at::kHalf),
                                   at::zeros({0, 7}), at::arange(1, at::kFloat).view({})}) {
    write_npy(folder / "a.npy", tensor);
    const at::Tensor read = read_npy(folder / "a.npy");
    EXPECT_EQ(read.scalar_type(), at::kFloat);
    EXPECT_TRUE(at::equal(read, tensor.to(at::kFloat))) << tensor.sizes();
  }
}

TEST(Npy, AFileThatDeclaresMoreThanItHoldsIsRefusedBeforeAnythingIsAllocated) {
  const testing::TemporaryFolder folder;
  write_npy(folder / "a.npy", at::zeros({2, 3}));
  const std::string good = read_file(folder / "a.npy");
  const auto reason = [&](const std::string& bytes) {
    write_file_atomically(folder / "b.npy", bytes);
    return testing::error_of([&] { read_npy(folder / "b.npy"); });
  };
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    const size_t at = bytes.find(from);
    bytes.replace(at, from.size(), to);
    bytes.erase(at + to.size(), to.size() - from.size());  // out of the spaces, or nothing
    return bytes;
  };
  EXPECT_EQ(reason(good), "");
  EXPECT_NE(reason(changed("(2, 3), }", "(2, 4), }")).find("more numbers than it holds"), std::string::npos);
  EXPECT_NE(reason(changed("(2, 3), }", "(1, 3), }")).find("longer than its shape"), std::string::npos);
  EXPECT_NE(reason(changed("<f4", "<f8")).find("'<f8'"), std::string::npos);
  EXPECT_NE(reason(changed("False", "True ")), "");
  for (size_t length = 0; length < good.size(); ++length) EXPECT_NE(reason(good.substr(0, length)), "") << length;
  std::string huge = good;
  huge.replace(huge.find("(2, 3), }"), 31, "(4611686018427387, 46116860), }");
  EXPECT_NE(reason(huge), "");
}

}  // namespace vlm
