#include "vlm/core/program.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>

#include "environment.h"
#include "temporary_folder.h"
#include "vlm/core/error.h"

namespace vlm {
namespace program_test {

std::string output_of(const std::vector<std::string>& words, ProgramEnd* end = nullptr) {
  std::string out;
  const ProgramEnd ended = run_program(words, [&](std::string_view piece) { out += piece; });
  if (end) *end = ended;
  return out;
}

}  // namespace program_test

TEST(Program, WordsReachItAsTheyAre) {
  EXPECT_EQ(program_test::output_of({"/bin/sh", "-c", "printf '%s|' \"$@\"", "sh", "a b", "$HOME;", "", "-x"}), "a b|$HOME;||-x|");
}

TEST(Program, HasNoInput) { EXPECT_EQ(program_test::output_of({"/bin/sh", "-c", "read line || printf none"}), "none"); }

TEST(Program, ManyMessagesBeforeAndBehindMuchOutputBlockNothing) {
  ProgramEnd end;
  const std::string out =
      program_test::output_of({"/bin/sh", "-c", "printf '%0300000d' 1 >&2; printf '%0300000d' 2; printf '%0300000dlast' 3 >&2"}, &end);
  EXPECT_EQ(out.size(), 300000U);
  EXPECT_EQ(end.messages.size(), size_t{1} << 14);
  EXPECT_EQ(end.messages.substr(end.messages.size() - 5), "3last");
}

TEST(Program, HowItEndedIsTold) {
  ProgramEnd end;
  program_test::output_of({"/bin/sh", "-c", "exit 3"}, &end);
  EXPECT_EQ(describe_end(end.status), "ended with code 3");
  program_test::output_of({"/bin/sh", "-c", "kill -9 $$"}, &end);
  EXPECT_EQ(describe_end(end.status), "was killed by signal 9 (SIGKILL)");
}

TEST(Program, OneThatIsNotThereIsAUsageError) {
  try {
    program_test::output_of({"/no/such/program"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("cannot run /no/such/program"), std::string::npos) << error.what();
  }
}

TEST(Program, IsKilledWhenItsReaderThrows) {
  std::string process;
  const auto begin = std::chrono::steady_clock::now();
  const auto take = [&](std::string_view piece) {
    process += piece;
    fail("enough");
  };
  EXPECT_THROW(run_program({"/bin/sh", "-c", "echo $$; exec sleep 60"}, take), Error);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(30));
  EXPECT_EQ(::kill(static_cast<pid_t>(std::stol(process)), 0), -1);
}

TEST(Program, IsLookedForInAbsoluteFoldersOfPathOnly) {
  const testing::TemporaryFolder folder;
  testing::write_program(folder / "vlm-test-program", "exit 0");
  {
    const testing::ChangedVariable path("PATH", "/no/such/folder:" + folder.path().string());
    EXPECT_EQ(find_program("vlm-test-program"), folder / "vlm-test-program");
    EXPECT_EQ(find_program("vlm-test-other"), "");
  }
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  {
    const testing::ChangedVariable path("PATH", ".:");
    EXPECT_EQ(find_program("vlm-test-program"), "");
  }
  std::filesystem::current_path(before);
}

}  // namespace vlm
