#include "vlm/io/safetensors.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <fstream>

#include "error_of.h"
#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/io/atomic_file.h"

namespace vlm {
namespace safetensors_test {

TensorMap some_tensors() {
  return {{"a.weight", at::arange(12, at::kFloat).view({3, 4})},
          {"b", at::arange(5, at::kLong)},
          {"half", at::ones({2, 3}, at::kHalf)},
          {"scalar", at::ones({}, at::kDouble)},
          {"empty", at::zeros({0, 4})},
          {"flag", at::ones({3}, at::kBool)}};
}

/// A file with this header and so many bytes of data.
std::filesystem::path file_with(const testing::TemporaryFolder& folder, const std::string& header, size_t bytes) {
  std::string content(8, '\0');
  for (size_t i = 0; i < 8; ++i) content[i] = static_cast<char>(header.size() >> (8 * i));
  const auto file = folder / "x.safetensors";
  write_file_atomically(file, content + header + std::string(bytes, 'x'));
  return file;
}

std::string refusal(const std::filesystem::path& file) {
  return testing::error_of([&] { read_safetensors(file); });
}

}  // namespace safetensors_test

TEST(SafetensorsFile, WhatIsWrittenReadsBackTheSame) {
  const testing::TemporaryFolder folder;
  const TensorMap written = safetensors_test::some_tensors();
  write_safetensors(folder / "m.safetensors", written, {{"note", "ü"}});
  const TensorMap got = read_safetensors(folder / "m.safetensors");
  ASSERT_EQ(got.size(), written.size());
  for (const auto& [name, tensor] : written) {
    EXPECT_EQ(got.at(name).scalar_type(), tensor.scalar_type()) << name;
    EXPECT_TRUE(at::equal(got.at(name), tensor)) << name;
  }
  EXPECT_EQ(SafetensorsFile(folder / "m.safetensors").metadata().at("note"), "ü");
}

TEST(SafetensorsFile, ChangingATensorLeavesTheFileAsItWas) {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", {{"a", at::ones({4})}});
  const std::string before = read_file(folder / "m.safetensors");
  read_safetensors(folder / "m.safetensors").at("a").fill_(7);
  EXPECT_EQ(read_file(folder / "m.safetensors"), before);
}

TEST(SafetensorsFile, TensorsOutliveTheReader) {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", {{"a", at::arange(1000, at::kFloat)}});
  Tensor a;
  {
    const SafetensorsFile file(folder / "m.safetensors");
    a = file.tensor("a");
  }
  EXPECT_EQ(a.sum().item<float>(), 499500.0f);
}

TEST(SafetensorsFile, RefusesEveryTruncation) {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", safetensors_test::some_tensors());
  const std::string whole = read_file(folder / "m.safetensors");
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file_atomically(folder / "cut.safetensors", std::string_view(whole).substr(0, size));
    EXPECT_NE(safetensors_test::refusal(folder / "cut.safetensors"), "") << size << " of " << whole.size() << " bytes";
  }
}

TEST(SafetensorsFile, SurvivesAnyChangedByteOfTheHeader) {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", safetensors_test::some_tensors());
  const std::string whole = read_file(folder / "m.safetensors");
  SplitMix64 random(1);
  for (int i = 0; i < 2000; ++i) {
    std::string changed = whole;
    changed[random.below(400)] = static_cast<char>(random.next());
    std::ofstream(folder / "changed.safetensors", std::ios::binary) << changed;
    try {
      for (const auto& [name, tensor] : read_safetensors(folder / "changed.safetensors")) tensor.clone();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("changed.safetensors"), std::string::npos);
    }
  }
}

TEST(SafetensorsFile, MessagesNameTheTensorAndWhatIsWrong) {
  using safetensors_test::file_with;
  using safetensors_test::refusal;
  const testing::TemporaryFolder folder;
  const auto hole = refusal(file_with(folder, R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8));
  EXPECT_NE(hole.find("'w'"), std::string::npos) << hole;
  EXPECT_NE(hole.find("hole"), std::string::npos) << hole;
  const auto overflow = refusal(file_with(folder, R"({"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}})", 4));
  EXPECT_NE(overflow.find("overflow"), std::string::npos) << overflow;
  write_file_atomically(folder / "lfs.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n");
  EXPECT_NE(refusal(folder / "lfs.safetensors").find("git lfs pull"), std::string::npos);
}

TEST(SafetensorsFile, AMissingTensorNamesTheNearest) {
  const testing::TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", {{"visual.proj", at::ones({1})}});
  try {
    SafetensorsFile(folder / "m.safetensors").tensor("visual.porj");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("visual.proj"), std::string::npos);
  }
}

TEST(AtomicFile, AFailedWriteLeavesTheOldFileAndNothingElse) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "f", "old");
  EXPECT_THROW(write_file_atomically(folder / "f", [](std::ostream& out) {
    out << "half";
    fail("interrupted");
  }), Error);
  EXPECT_EQ(read_file(folder / "f"), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder.path()), {}), 1);
}

TEST(AtomicFile, AFullDiskIsAnErrorThatNamesTheFile) {
  try {
    write_file_atomically("/dev/full/nothing", "x");
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/dev/full"), std::string::npos);
  }
}

}  // namespace vlm
