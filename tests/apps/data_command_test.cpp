/// `vlm data check|stats|shard|ngrams` as a user runs them.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "data/make_data.h"
#include "vlm/io/atomic_file.h"

namespace vlm::test {

namespace data_command_test {

struct Outcome {
  int code = -1;
  std::string out;  // standard output only
};

Outcome run(const std::string& arguments) {
  Outcome outcome;
  FILE* pipe = ::popen((std::string(VLM_BINARY) + " data " + arguments + " 2>/dev/null").c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

/// Captions of three pictures, of which one does not decode and one is missing, and a row that is none.
std::string make_list(const TemporaryFolder& folder) {
  write_bytes(folder / "img/a.png", bmp(4, 2, 1, 2, 3));
  write_bytes(folder / "img/b.png", "no picture");
  write_bytes(folder / "list.json",
              R"([{"image": "a.png", "caption": ["a red bus", "two words"]}, {"image": "b.png", "caption": "x"},
                                        {"image": "c.png", "caption": "y"}, {"image": "a.png"}])");
  return (folder / "list.json").string() + " --image-root " + (folder / "img").string();
}

}  // namespace data_command_test

TEST(DataCheck, ListsEveryBadSampleWithItsPlaceAndFails) {
  using data_command_test::run;
  const TemporaryFolder folder;
  const std::string list = data_command_test::make_list(folder);
  const auto text = run("check " + list + " --out " + (folder / "out.jsonl").string());
  EXPECT_EQ(text.code, 1);
  EXPECT_NE(text.out.find("bad_image  list.json: 00000001 (b.png)"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find(": 1 samples, 3 skipped (bad_image=2, bad_row=1)\n"), std::string::npos) << text.out;
  const std::string lines = read_file(folder / "out.jsonl");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 4);
  const auto json = nlohmann::json::parse(run("check --json " + list).out);
  EXPECT_EQ(json.at("bad").size(), 3u);
  EXPECT_EQ(json["bad"][2]["number"], 3);
  EXPECT_EQ(json["reasons"], nlohmann::json({{"bad_image", 2}, {"bad_row", 1}}));
  EXPECT_EQ(run("check --strict " + list).code, 1);
  EXPECT_EQ(run("check " + (folder / "none.json").string()).code, 2);
}

TEST(DataNgrams, WritesFrequenciesOfPicturesAndNothingWhereThereAreNoCaptions) {
  using data_command_test::run;
  const TemporaryFolder folder;
  const std::string out = (folder / "df.json").string();
  write_bytes(folder / "more.json", R"([{"image": "d.png", "caption": "a bus"}])");
  const auto counted = run("ngrams --json " + data_command_test::make_list(folder) + " " + (folder / "more.json").string() + " --out " + out);
  ASSERT_EQ(counted.code, 0) << counted.out;
  const auto json = nlohmann::json::parse(counted.out);
  EXPECT_EQ(json.at("pictures"), 4) << "pictures are not read: one that is missing has captions, too";
  EXPECT_EQ(json.at("captions"), 5);
  EXPECT_EQ(json.at("reasons"), nlohmann::json({{"bad_row", 1}}));
  const auto file = nlohmann::json::parse(read_file(out));
  EXPECT_EQ(file.at("ref_len"), 4);
  EXPECT_EQ(file.at("df").at("bus"), 2);
  EXPECT_FALSE(file.at("df").contains("<eos>"));
  EXPECT_EQ(run("ngrams " + (folder / "more.json").string() + " --for ofa_scst --out " + out).code, 0);
  EXPECT_TRUE(nlohmann::json::parse(read_file(out)).at("df").contains("a bus <eos>"));

  write_bytes(folder / "bare.json", R"([{"image": "d.png", "caption": ""}])");
  const std::string none = (folder / "none.json").string();
  EXPECT_EQ(run("ngrams " + (folder / "bare.json").string() + " --out " + none).code, 1);
  EXPECT_EQ(run("ngrams " + (folder / "missing.json").string() + " --out " + none).code, 2);
  EXPECT_EQ(run("ngrams " + (folder / "more.json").string() + " --out " + folder.path().string()).code, 2);
  EXPECT_EQ(run("ngrams " + (folder / "more.json").string() + " --for clip --out " + none).code, 2);
  EXPECT_FALSE(std::filesystem::exists(none));
}

TEST(DataShard, WritesWhatCanBeUsedAndThatIsFoundToBeGood) {
  using data_command_test::run;
  const TemporaryFolder folder;
  const std::string out = (folder / "shards").string();
  const auto sharded =
      run("shard " + data_command_test::make_list(folder) + " " + out + " --prefix train --size 1MB --json");
  ASSERT_EQ(sharded.code, 0) << sharded.out;
  EXPECT_EQ(nlohmann::json::parse(sharded.out).at("samples"), 1);
  const auto check = run("check " + out);
  EXPECT_EQ(check.code, 0) << check.out;
  const auto stats = nlohmann::json::parse(run("stats --json " + out + " --sheet " + (folder / "sheet.png").string()).out);
  EXPECT_EQ(stats.at("captions"), 2);
  EXPECT_EQ(stats.at("type"), "webdataset");
  EXPECT_EQ(stats.at("vocabulary").at("words"), 5);
  EXPECT_EQ(stats.at("pictures").at("width").at("max"), 4);
  EXPECT_EQ(read_file(folder / "sheet.png").substr(1, 3), "PNG");
  EXPECT_EQ(run("stats " + out + " --sheet " + (folder / "sheet.html").string()).code, 0);
  EXPECT_NE(read_file(folder / "sheet.html").find("a red bus"), std::string::npos);
  EXPECT_EQ(run("stats " + out + " --sheet sheet.pdf").code, 2);
}

}  // namespace vlm::test
