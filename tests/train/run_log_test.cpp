#include "vlm/train/run_log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bit>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/crc32c.h"
#include "vlm/train/event_file.h"

namespace vlm {

namespace run_log_test {

using Json = nlohmann::ordered_json;

std::vector<Json> lines_of(const std::filesystem::path& file) {
  std::vector<Json> out;
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) out.push_back(Json::parse(line));
  return out;
}

Json step(int64_t number, double loss) { return {{"step", number}, {"epoch", 0}, {"loss", loss}, {"losses", {{"contrastive", loss}}}, {"lr", 1e-3}}; }
Json evaluation(int64_t number, double recall) { return {{"step", number}, {"epoch", 0}, {"eval", "validation"}, {"metrics", {{"mean_recall", recall}}}}; }

template <class Number>
Number read_number(const std::string& bytes, size_t at) {
  Number value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

/// The events of a file; checks lengths and both checksums of every record.
std::vector<std::string> records_of(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  std::vector<std::string> out;
  size_t at = 0;
  while (at < bytes.size()) {
    const auto length = read_number<uint64_t>(bytes, at);
    EXPECT_EQ(read_number<uint32_t>(bytes, at + 8), masked_crc32c(bytes.substr(at, 8)));
    out.push_back(bytes.substr(at + 12, length));
    EXPECT_EQ(read_number<uint32_t>(bytes, at + 12 + length), masked_crc32c(out.back()));
    at += 16 + length;
  }
  EXPECT_EQ(at, bytes.size());
  return out;
}

/// Fields of a message in order: number, and the bytes or the varint behind it.
std::vector<std::pair<int, std::string>> fields_of(const std::string& message) {
  std::vector<std::pair<int, std::string>> out;
  size_t at = 0;
  const auto varint = [&] {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(message.at(at++));
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < message.size()) {
    const uint64_t tag = varint();
    const size_t fixed = (tag & 7) == 1 ? 8 : 4;
    if ((tag & 7) == 0) {
      out.emplace_back(static_cast<int>(tag >> 3), std::to_string(varint()));
    } else {
      const size_t length = (tag & 7) == 2 ? varint() : fixed;
      out.emplace_back(static_cast<int>(tag >> 3), message.substr(at, length));
      at += length;
    }
  }
  return out;
}

std::filesystem::path only_event_file(const std::filesystem::path& run) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(run / "tensorboard")) files.push_back(entry.path());
  EXPECT_EQ(files.size(), 1u);
  return files.at(0);
}

}  // namespace run_log_test

TEST(Crc32c, IsThatOfThePublishedVectors) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
}

TEST(RunLog, EveryStepIsALineThatIsOnDiskBeforeTheNextOne) {
  const testing::TemporaryFolder run;
  RunLog log(run.path(), 0);
  log.step(run_log_test::step(1, 5.5));
  const auto lines = run_log_test::lines_of(run / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].at("losses").at("contrastive"), 5.5);
  EXPECT_GT(lines[0].at("time"), 1.5e9);
}

TEST(RunLog, GoingOnDropsLaterStepsAndATornLine) {
  const testing::TemporaryFolder run;
  {
    RunLog log(run.path(), 0);
    for (int64_t k = 1; k <= 5; ++k) log.step(run_log_test::step(k, 6.0 - double(k)));
  }
  std::ofstream(run / "metrics.jsonl", std::ios::app) << R"({"step":6,"los)";
  RunLog log(run.path(), 3);
  log.step(run_log_test::step(4, 1.25));
  const auto lines = run_log_test::lines_of(run / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 4u);
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i].at("step"), i + 1);
  EXPECT_EQ(lines[3].at("loss"), 1.25);
}

TEST(RunLog, AnEvaluationThatIsThereIsNotWrittenTwice) {
  const testing::TemporaryFolder run;
  {
    RunLog log(run.path(), 0);
    log.step(run_log_test::step(1, 2));
    log.evaluation(run_log_test::evaluation(1, 0.25));
    log.step(run_log_test::step(2, 2));
    log.evaluation(run_log_test::evaluation(2, 0.5));
  }
  RunLog log(run.path(), 1);
  log.evaluation(run_log_test::evaluation(1, 0.75));
  log.evaluation(run_log_test::evaluation(2, 0.875));
  auto other = run_log_test::evaluation(2, 0.1);
  other["eval"] = "other";
  log.evaluation(other);
  const auto lines = run_log_test::lines_of(run / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 4u);
  EXPECT_EQ(lines[1].at("metrics").at("mean_recall"), 0.25);
  EXPECT_EQ(lines[2].at("metrics").at("mean_recall"), 0.875);
  EXPECT_EQ(lines[3].at("eval"), "other");
}

TEST(RunLog, ANewRunKeepsNothingOfAnOldOne) {
  const testing::TemporaryFolder run;
  RunLog(run.path(), 0).evaluation(run_log_test::evaluation(0, 0.5));
  RunLog log(run.path(), 0);
  EXPECT_TRUE(run_log_test::lines_of(run / "metrics.jsonl").empty());
}

TEST(RunLog, TensorBoardsFileHoldsVersionSessionScalarsAndText) {
  const testing::TemporaryFolder run;
  {
    RunLog log(run.path(), 7);
    log.step(run_log_test::step(8, 2.5));
    log.evaluation(run_log_test::evaluation(8, 0.25));
    log.text("recipe", 8, "# a recipe");
  }
  const auto records = run_log_test::records_of(run_log_test::only_event_file(run.path()));
  ASSERT_EQ(records.size(), 5u);
  EXPECT_EQ(run_log_test::fields_of(records[0]).back(), std::make_pair(3, std::string("brain.Event:2")));
  const auto session = run_log_test::fields_of(records[1]);
  EXPECT_EQ(session.at(1), std::make_pair(2, std::string("8"))) << "points from this step on are forgotten";
  EXPECT_EQ(run_log_test::fields_of(session.at(2).second).at(0), std::make_pair(1, std::string("1")));

  std::map<std::string, float> scalars;
  for (const size_t record : {2u, 3u}) {
    for (const auto& [field, value] : run_log_test::fields_of(run_log_test::fields_of(records[record]).at(2).second)) {
      const auto parts = run_log_test::fields_of(value);
      scalars[parts.at(0).second] = run_log_test::read_number<float>(parts.at(1).second, 0);
    }
  }
  const std::map<std::string, float> expected = {{"epoch", 0.f}, {"loss", 2.5f}, {"loss/contrastive", 2.5f}, {"lr", 1e-3f}, {"eval/mean_recall", 0.25f}};
  EXPECT_EQ(scalars, expected);
  EXPECT_NE(records[4].find("# a recipe"), std::string::npos);
}

TEST(RunLog, FilesOfARunThatGoesOnSortInOrder) {
  const testing::TemporaryFolder run;
  std::vector<std::string> names;
  for (int64_t k = 0; k < 3; ++k) names.push_back(EventFile(run.path(), k).file().filename().string());
  EXPECT_LT(names[0], names[1]);
  EXPECT_LT(names[1], names[2]);
}

TEST(RunLog, AnEntryWithoutAStepIsRefused) {
  const testing::TemporaryFolder run;
  RunLog log(run.path(), 0, RunLogOptions{.tensorboard = false});
  EXPECT_THROW(log.step({{"loss", 1}}), Error);
  EXPECT_FALSE(std::filesystem::exists(run / "tensorboard"));
}

TEST(RunLog, LinesThatAFullDiskRefusesAreWrittenWhenThereIsRoomAgain) {
  const testing::TemporaryFolder run;
  // In a process of its own, since the limit holds for all that a process writes.
  EXPECT_EXIT(
      {
        ::signal(SIGXFSZ, SIG_IGN);
        rlimit limit{};
        ::getrlimit(RLIMIT_FSIZE, &limit);
        const rlimit unlimited = limit;
        RunLog log(run.path(), 0, RunLogOptions{.tensorboard = false});
        auto first = run_log_test::step(1, 3);
        first["note"] = std::string(2000, 'x');  // what the process says must fit in, too
        log.step(first);
        limit.rlim_cur = std::filesystem::file_size(run / "metrics.jsonl") + 20;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        for (int64_t step = 2; step < 5; ++step) log.step(run_log_test::step(step, 2));
        const bool whole_lines = run_log_test::lines_of(run / "metrics.jsonl").size() == 1 && read_file(run / "metrics.jsonl").back() == '\n';
        ::setrlimit(RLIMIT_FSIZE, &unlimited);
        log.step(run_log_test::step(5, 1));
        ::_exit(whole_lines ? 0 : 1);
      },
      ::testing::ExitedWithCode(0), "cannot write .*metrics.jsonl");
  const auto lines = run_log_test::lines_of(run / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 5u);
  for (size_t n = 0; n < lines.size(); ++n) EXPECT_EQ(lines[n].at("step"), n + 1);
}

}  // namespace vlm
