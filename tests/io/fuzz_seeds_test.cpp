/// The fuzz targets need clang; here every one of them takes its seeds, and small changes of them, in an ordinary build.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "vlm/core/rng.h"
#include "vlm/io/atomic_file.h"

#define LLVMFuzzerTestOneInput vlm_fuzz_checkpoint
#include "../../fuzz/checkpoint.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vlm_fuzz_config
#include "../../fuzz/config.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vlm_fuzz_json_lists
#include "../../fuzz/json_lists.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vlm_fuzz_picture
#include "../../fuzz/picture.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vlm_fuzz_safetensors
#include "../../fuzz/safetensors.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vlm_fuzz_tar
#include "../../fuzz/tar.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vlm_fuzz_text
#include "../../fuzz/text.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vlm_fuzz_tokenizer
#include "../../fuzz/tokenizer.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput vlm_fuzz_tsv
#include "../../fuzz/tsv.cpp"
#undef LLVMFuzzerTestOneInput

namespace vlm {
namespace fuzz_seeds_test {

using Target = int (*)(const uint8_t*, size_t);
struct Named {
  const char* name;
  Target target;
};
const Named targets[] = {
    {"checkpoint", vlm_fuzz_checkpoint},   {"config", vlm_fuzz_config}, {"json_lists", vlm_fuzz_json_lists},
    {"picture", vlm_fuzz_picture},         {"tar", vlm_fuzz_tar},       {"safetensors", vlm_fuzz_safetensors},
    {"tokenizer", vlm_fuzz_tokenizer},     {"text", vlm_fuzz_text},     {"tsv", vlm_fuzz_tsv}};

std::vector<std::string> seeds(const std::string& target) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(VLM_SOURCE_DIR) / "fuzz" / "seeds" / target))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> out;
  for (const auto& file : files) out.push_back(read_file(file));
  return out;
}

void feed(Target target, const std::string& bytes) { target(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()); }

}  // namespace fuzz_seeds_test

TEST(FuzzSeeds, NoTargetIsLeftOutHere) {
  std::vector<std::string> sources, known;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path(VLM_SOURCE_DIR) / "fuzz")) {
    if (entry.path().extension() == ".cpp") sources.push_back(entry.path().stem());
  }
  for (const auto& [name, target] : fuzz_seeds_test::targets) known.push_back(name);
  std::sort(sources.begin(), sources.end());
  std::sort(known.begin(), known.end());
  EXPECT_EQ(sources, known);
}

TEST(FuzzSeeds, EveryTargetTakesItsSeeds) {
  for (const auto& [name, target] : fuzz_seeds_test::targets) {
    const auto seeds = fuzz_seeds_test::seeds(name);
    EXPECT_FALSE(seeds.empty()) << name;
    for (const auto& seed : seeds) fuzz_seeds_test::feed(target, seed);
  }
}

TEST(FuzzSeeds, ACheckpointThatIsCutOrChangedAnywhereNeverBreaksTheReader) {
  SplitMix64 random(7);
  for (const auto& seed : fuzz_seeds_test::seeds("checkpoint")) {
    for (int i = 0; i < 400; ++i) {
      std::string changed = seed;
      const int changes = 1 + static_cast<int>(random.next() % 3);
      for (int k = 0; k < changes; ++k) changed[random.next() % changed.size()] = static_cast<char>(random.next());
      fuzz_seeds_test::feed(vlm_fuzz_checkpoint, changed);
    }
    for (size_t size = 0; size < seed.size(); size += 1 + seed.size() / 100)
      fuzz_seeds_test::feed(vlm_fuzz_checkpoint, seed.substr(0, size));
  }
}

}  // namespace vlm
