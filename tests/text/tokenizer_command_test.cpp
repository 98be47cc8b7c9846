#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "vlm/io/atomic_file.h"

namespace vlm {

namespace tokenizer_command_test {

struct Run {
  int code = -1;
  std::string output;  ///< standard output and error
};

Run vlm(const std::string& arguments) {
  Run run;
  FILE* pipe = popen((std::string(VLM_BINARY) + " tokenizer " + arguments + " 2>&1").c_str(), "r");
  char buffer[4096];
  for (size_t bytes = 0; (bytes = fread(buffer, 1, sizeof buffer, pipe)) > 0;) run.output.append(buffer, bytes);
  run.code = WEXITSTATUS(pclose(pipe));
  return run;
}

}  // namespace tokenizer_command_test

TEST(TokenizerCommand, TrainsAndTheResultEncodesAndDecodes) {
  using tokenizer_command_test::vlm;
  std::string folder = (std::filesystem::temp_directory_path() / "vlm_cmd_XXXXXX").string();
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::string captions;
  for (const char* thing : {"cat", "dog", "house"}) {
    for (const char* place : {"on a table", "in the garden", "near a river"})
      captions += std::string("A ") + thing + " " + place + "\n";
  }
  write_file_atomically(folder + "/captions.txt", captions);

  const auto trained =
      vlm("train --data " + folder + "/captions.txt --vocab-size 40 --type bpe --out " + folder + "/model --json");
  ASSERT_EQ(trained.code, 0) << trained.output;
  EXPECT_EQ(nlohmann::json::parse(trained.output).at("captions"), 9);
  const auto encoded = vlm("encode --model " + folder + "/model --json 'A  CAT'");
  ASSERT_EQ(encoded.code, 0) << encoded.output;
  std::string ids;
  const auto json = nlohmann::json::parse(encoded.output);
  for (const int64_t id : json.at("ids")) ids += " " + std::to_string(id);
  EXPECT_EQ(vlm("decode --model " + folder + "/model" + ids).output, "a cat\n");
  EXPECT_EQ(nlohmann::json::parse(vlm("info --json --model " + folder + "/model").output).at("eos_id"), 2);

  EXPECT_EQ(vlm("train --data " + folder + "/captions.txt --vocab-size 9 --out " + folder + "/small").code, 1);
  EXPECT_FALSE(std::filesystem::exists(folder + "/small"));
  EXPECT_EQ(vlm("train --data " + folder + "/captions.txt --type word --out " + folder + "/small").code, 2);
  EXPECT_EQ(vlm("decode --model " + folder + "/model 99999").code, 1);
  EXPECT_EQ(vlm("encode --model " + folder + "/nowhere x").code, 1);
  EXPECT_EQ(vlm("").code, 2);
  std::filesystem::remove_all(folder);
}

}  // namespace vlm
