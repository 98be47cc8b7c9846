/// vlm launch with real processes: what comes out of it, and what is left of them.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>
#include <thread>

#include "temporary_folder.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"

namespace vlm {
namespace launch_test {

using Clock = std::chrono::steady_clock;

struct Outcome {
  int code = -1;
  std::string out;
  double seconds = 0;
};

std::string command_line(const std::string& arguments) { return std::string("exec ") + VLM_BINARY + " launch " + arguments + " 2>&1"; }

Outcome launch(const std::string& arguments) {
  Outcome outcome;
  const auto begin = Clock::now();
  FILE* pipe = ::popen(command_line(arguments).c_str(), "r");
  std::array<char, 4096> buffer{};
  while (const size_t n = std::fread(buffer.data(), 1, buffer.size(), pipe)) outcome.out.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  return outcome;
}

/// The same in the background, to be sent signals.
pid_t launch_in_background(const std::string& arguments, const std::string& out) {
  const std::string line = "exec >" + out + "; " + command_line(arguments);
  const pid_t process = ::fork();
  if (process == 0) {
    ::execl("/bin/sh", "sh", "-c", line.c_str(), nullptr);
    ::_exit(127);
  }
  return process;
}

/// Waits until both ranks have left their process numbers in the folder.
std::set<pid_t> wait_for_ranks(const testing::TemporaryFolder& folder) {
  std::set<pid_t> found;
  for (int i = 0; i < 500 && found.size() < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    for (const char* name : {"0", "1"}) {
      pid_t process = 0;
      if (std::ifstream(folder / name) >> process) found.insert(process);
    }
  }
  return found;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace launch_test

using launch_test::holds;
using launch_test::launch;

TEST(Launch, EveryRankRunsTheCommandAndAllButTheFirstSayWhoTheyAre) {
  const auto outcome = launch("-n 2 -- --version");
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_TRUE(starts_with(outcome.out, "vlm ") || holds(outcome.out, "\nvlm ")) << outcome.out;
  EXPECT_TRUE(holds(outcome.out, "[rank 1] vlm ")) << outcome.out;
}

TEST(Launch, RanksGetTorchrunsVariablesAndTheirShareOfTheCores) {
  const auto outcome = launch("-n 2 --nodes 3 --node-rank 2 --master 10.0.0.1:4567 --exec -- sh -c "
                              "'echo $RANK/$WORLD_SIZE $LOCAL_RANK/$LOCAL_WORLD_SIZE $GROUP_RANK $MASTER_ADDR:$MASTER_PORT $TORCHELASTIC_RESTART_COUNT'");
  EXPECT_EQ(outcome.code, 0) << outcome.out;
  EXPECT_TRUE(holds(outcome.out, "[rank 4] 4/6 0/2 2 10.0.0.1:4567 0\n")) << outcome.out;
  EXPECT_TRUE(holds(outcome.out, "[rank 5] 5/6 1/2 2 10.0.0.1:4567 0\n")) << outcome.out;
  EXPECT_TRUE(holds(launch("-n 1 --exec -- sh -c 'echo threads=$OMP_NUM_THREADS'").out, "threads=")) << outcome.out;
  EXPECT_FALSE(holds(launch("-n 1 --exec -- sh -c 'echo threads=$OMP_NUM_THREADS.'").out, "threads=.")) << outcome.out;
}

TEST(Launch, ARankThatIsKilledIsNamedOnceAndTheOthersEndWithinSeconds) {
  const auto outcome = launch("-n 3 --grace 1 --exec -- sh -c 'trap \"\" TERM; test $RANK = 2 && kill -9 $$; while :; do sleep 0.1; done'");
  EXPECT_EQ(outcome.code, 128 + 9);
  EXPECT_LT(outcome.seconds, 10) << "the others do not heed SIGTERM";
  const size_t first = outcome.out.find("error: rank 2 (process ");
  ASSERT_NE(first, std::string::npos) << outcome.out;
  EXPECT_TRUE(holds(outcome.out, "was killed by signal 9 (SIGKILL)")) << outcome.out;
  EXPECT_EQ(outcome.out.find("error:", first + 1), std::string::npos) << outcome.out;
}

TEST(Launch, TheCodeOfTheFirstBadRankIsTheLaunchers) {
  EXPECT_EQ(launch("-n 2 --exec -- sh -c 'test $RANK = 0 || exit 7; sleep 60'").code, 7);
  EXPECT_EQ(launch("-n 2 --exec -- sh -c 'exit 75'").code, 75) << "interrupted, with a checkpoint";
  EXPECT_EQ(launch("-n 2 -- pretrain --no-such-option").code, 2);
}

TEST(Launch, RestartsComeAfterADeathAndNotAfterWrongUseOrAnInterruption) {
  const auto restarted = launch("-n 2 --restarts 2 --exec -- sh -c 'echo try $TORCHELASTIC_RESTART_COUNT; test $TORCHELASTIC_RESTART_COUNT = 1 || kill -9 $$'");
  EXPECT_EQ(restarted.code, 0) << restarted.out;
  EXPECT_TRUE(holds(restarted.out, "starting again (1 of 2)")) << restarted.out;
  EXPECT_TRUE(holds(restarted.out, "[rank 1] try 1")) << restarted.out;
  for (const char* code : {"2", "75"}) {
    const auto outcome = launch(std::string("-n 1 --restarts 2 --exec -- sh -c 'exit ") + code + "'");
    EXPECT_EQ(std::to_string(outcome.code), code);
    EXPECT_FALSE(holds(outcome.out, "starting again")) << outcome.out;
  }
  const auto given_up = launch("-n 1 --restarts 1 --exec -- sh -c 'exit 3'");
  EXPECT_EQ(given_up.code, 3);
}

TEST(Launch, SignalsReachEveryRankAndTheLauncherWaitsForThem) {
  const testing::TemporaryFolder folder;
  const std::string root = folder.path().string();
  const pid_t launcher = launch_test::launch_in_background(
      "-n 2 --exec -- sh -c 'trap \"echo saved; exit 75\" USR1; echo $$ >" + root + "/$RANK; while :; do sleep 0.05; done'", root + "/out");
  ASSERT_EQ(launch_test::wait_for_ranks(folder).size(), 2u);
  ::kill(launcher, SIGUSR1);
  int status = 0;
  ::waitpid(launcher, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 75);
}

TEST(Launch, NoRankOutlivesItsLauncher) {
  const testing::TemporaryFolder folder;
  const std::string root = folder.path().string();
  const pid_t launcher = launch_test::launch_in_background("-n 2 --exec -- sh -c 'echo $$ >" + root + "/$RANK; exec sleep 600'", root + "/out");
  const auto ranks = launch_test::wait_for_ranks(folder);
  ASSERT_EQ(ranks.size(), 2u);
  ::kill(launcher, SIGKILL);
  ::waitpid(launcher, nullptr, 0);
  for (const pid_t rank : ranks) {
    bool gone = false;
    for (int i = 0; i < 250 && !gone; ++i) {
      // Whoever adopts it may be slow to take note of its end: a zombie counts as gone.
      std::string line;
      std::ifstream stat("/proc/" + std::to_string(rank) + "/stat");
      gone = !std::getline(stat, line) || holds(line, ") Z ");
      if (!gone) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_TRUE(gone) << rank;
  }
}

TEST(Launch, WrongUseIsSaidBeforeAnythingStarts) {
  for (const char* wrong : {"-n 2", "-n 0 -- info", "--nodes 2 -- info", "--nodes 2 --node-rank 2 --master a:1 -- info",
                            "--nodes 2 --node-rank 0 --master a -- info", "--nodes 2 --node-rank 0 --master a:70000 -- info",
                            "-- launch -- info", "--exec -- /no/such/program"}) {
    EXPECT_EQ(launch(wrong).code, 2) << wrong;
  }
  EXPECT_TRUE(holds(launch("-n 2 pretrain --config x").out, "stands behind --"));
  EXPECT_TRUE(holds(launch("-n 0 -- pretrain --config x").out, "must be a number of at least 1")) << "not an option of another command";
}

}  // namespace vlm
