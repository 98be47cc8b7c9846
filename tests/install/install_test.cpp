#include <gtest/gtest.h>
#include <stdlib.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>
#include <string>

namespace vlm::install_test {

namespace fs = std::filesystem;

struct Outcome {
  int status = -1;
  std::string output;
};

// Runs a shell command; standard error goes where standard output goes.
Outcome run(const std::string& command) {
  Outcome outcome;
  FILE* const pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return outcome;
  std::array<char, 4096> buffer;
  while (const size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) outcome.output.append(buffer.data(), n);
  outcome.status = pclose(pipe);
  return outcome;
}

std::string in_quotes(const fs::path& path) { return "'" + path.string() + "'"; }

// This build, installed in one place and then moved to another, with the folder gone at the end.
class InstalledPackage : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::string pattern = (fs::temp_directory_path() / "vlm-install.XXXXXX").string();
    folder = mkdtemp(pattern.data());
    build = fs::path(VLM_BINARY).parent_path().parent_path();
    const Outcome outcome = run("cmake --install " + in_quotes(build) + " --prefix " + in_quotes(folder / "first"));
    ASSERT_EQ(outcome.status, 0) << outcome.output;
    fs::rename(folder / "first", folder / "moved");
    prefix = folder / "moved";
  }
  static void TearDownTestSuite() { fs::remove_all(folder); }

  // A variable out of the build's CMakeCache.txt.
  static std::string cached(const std::string& name) {
    std::ifstream cache(build / "CMakeCache.txt");
    for (std::string line; std::getline(cache, line);) {
      if (line.starts_with(name + ":")) return line.substr(line.find('=') + 1);
    }
    return "";
  }

  // Builds examples/NAME against the installed package, as its README says; an empty path after a failure.
  static fs::path build_example(const std::string& name) {
    const fs::path example = folder / name;
    const Outcome configured =
        run("cmake -G Ninja -S " + in_quotes(fs::path(VLM_SOURCE_DIR) / "examples" / name) + " -B " + in_quotes(example) +
            " -DCMAKE_PREFIX_PATH=" + in_quotes(prefix) + " -DCMAKE_CXX_COMPILER=" + in_quotes(cached("CMAKE_CXX_COMPILER")) +
            " -DCMAKE_CXX_FLAGS='" + cached("CMAKE_CXX_FLAGS") + "'");
    EXPECT_EQ(configured.status, 0) << configured.output;
    const Outcome built = run("cmake --build " + in_quotes(example));
    EXPECT_EQ(built.status, 0) << built.output;
    return configured.status == 0 && built.status == 0 ? example : fs::path();
  }

  static inline fs::path folder, build, prefix;
};

TEST_F(InstalledPackage, HoldsACommandThatRunsWhereItWasMovedTo) {
  const Outcome outcome = run("env -u LD_LIBRARY_PATH " + in_quotes(prefix / "bin/vlm") + " --version");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_NE(run("ldd " + in_quotes(prefix / "bin/vlm")).output.find("libvlm.so.0 => " + prefix.string()), std::string::npos)
      << "the command runs with another libvlm.so than the one that was installed beside it";
}

TEST_F(InstalledPackage, HasEveryHeaderThatItsHeadersName) {
  const std::regex include(R"(^\s*#include "(vlm/[^"]+)\")");
  size_t headers = 0;
  for (const auto& entry : fs::recursive_directory_iterator(prefix / "include")) {
    if (!entry.is_regular_file()) continue;
    ++headers;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (std::regex_search(line, match, include)) {
        EXPECT_TRUE(fs::exists(prefix / "include" / match[1].str())) << entry.path() << " includes " << match[1];
      }
    }
  }
  EXPECT_GT(headers, 10u);
  EXPECT_FALSE(fs::exists(prefix / "include/vlm/golden"));
}

TEST_F(InstalledPackage, BuildsAProgramThatLinksOpenCvFirstAndKeepsLibTorchsMatrixProduct) {
  const fs::path example = build_example("embed_pictures");
  ASSERT_FALSE(example.empty());

  Outcome outcome = run(in_quotes(example / "embed_pictures") + " --try");
  EXPECT_EQ(outcome.status, 0) << outcome.output;
  EXPECT_TRUE(std::regex_search(outcome.output, std::regex(R"(matrix products: \S*libtorch_cpu\.so)"))) << outcome.output;
  EXPECT_EQ(outcome.output.find("warning"), std::string::npos) << outcome.output;
  EXPECT_TRUE(std::regex_search(outcome.output, std::regex(R"(-?0\.\d+  \S*red\.png  a red picture)"))) << outcome.output;

  // The same program with the reference BLAS in the way says so.
  outcome = run("LD_PRELOAD=libblas.so.3 " + in_quotes(example / "embed_pictures") + " --try");
  EXPECT_NE(outcome.output.find("instead of LibTorch"), std::string::npos) << outcome.output;
}

TEST_F(InstalledPackage, TrainsWithALossAndAnObjectiveOfAProgramsOwn) {
  const fs::path example = build_example("custom_loss");
  ASSERT_FALSE(example.empty());
  const std::string command = "OMP_WAIT_POLICY=passive " + in_quotes(example / "custom_loss") + " " + in_quotes(folder / "own");
  Outcome outcome = run(command + " train.epochs=2 data.val.path=''");
  ASSERT_EQ(outcome.status, 0) << outcome.output;
  std::smatch match;
  ASSERT_TRUE(std::regex_search(outcome.output, match, std::regex(R"(trained 14 steps, loss (\d\.\d+))"))) << outcome.output;
  // A model that tells nothing apart pays the margin twice.
  EXPECT_LT(std::stod(match[1]), 0.45);
  EXPECT_GT(std::stod(match[1]), 0.0);
  EXPECT_TRUE(fs::exists(folder / "own/run/model/open_clip_config.json"));

  // Its options are read as those of the library's objectives are, with the same errors.
  outcome = run(command + " objective.options.marign=1");
  EXPECT_NE(outcome.status, 0);
  EXPECT_NE(outcome.output.find("did you mean 'margin'?"), std::string::npos) << outcome.output;
}

}  // namespace vlm::install_test
