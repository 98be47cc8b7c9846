#include "vlm/train/launch_environment.h"

#include <gtest/gtest.h>

#include <map>

#include "vlm/core/error.h"

namespace vlm {
namespace launch_environment_test {

using Environment = std::map<std::string, std::string>;

RankEnvironment read(const Environment& environment) {
  return read_launch_environment([&](const char* name) -> const char* {
    const auto it = environment.find(name);
    return it == environment.end() ? nullptr : it->second.c_str();
  });
}

std::string error_of(const Environment& environment) {
  try {
    read(environment);
  } catch (const Error& error) {
    return error.code() == ExitCode::usage ? error.what() : "not a usage error";
  }
  return "no error";
}

bool names(const std::string& message, const std::string& variable) { return message.find(variable) != std::string::npos; }

Environment with(Environment environment, const Environment& more) {
  for (const auto& [name, value] : more) environment[name] = value;
  return environment;
}

const Environment torchrun = {{"RANK", "5"},        {"WORLD_SIZE", "8"},  {"LOCAL_RANK", "1"},        {"LOCAL_WORLD_SIZE", "4"},
                              {"GROUP_RANK", "1"},  {"MASTER_ADDR", "a"}, {"MASTER_PORT", "1234"},    {"TORCHELASTIC_RESTART_COUNT", "2"},
                              {"TORCHELASTIC_USE_AGENT_STORE", "True"}};
const Environment slurm = {{"SLURM_JOB_ID", "1234567"}, {"SLURM_STEP_ID", "0"}, {"SLURM_PROCID", "6"},  {"SLURM_NTASKS", "7"},
                           {"SLURM_LOCALID", "0"},      {"SLURM_NNODES", "3"},  {"SLURM_NODEID", "2"},  {"SLURM_STEP_TASKS_PER_NODE", "3(x2),1"},
                           {"SLURM_JOB_NODELIST", "node[003-004,7],other3"}};
const Environment openmpi = {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                             {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"}, {"OMPI_MCA_ess_base_jobid", "3735748609"}};

}  // namespace launch_environment_test

using launch_environment_test::Environment;
using launch_environment_test::error_of;
using launch_environment_test::names;
using launch_environment_test::openmpi;
using launch_environment_test::read;
using launch_environment_test::slurm;
using launch_environment_test::torchrun;
using launch_environment_test::with;

TEST(LaunchEnvironment, AProcessThatNobodyLaunchedIsAGroupOfOne) {
  const auto found = read({});
  EXPECT_EQ(found.world_size, 1);
  EXPECT_EQ(found.rank, 0);
  EXPECT_EQ(found.launcher, "");
}

TEST(LaunchEnvironment, TorchrunsVariablesAreAllRead) {
  const auto found = read(torchrun);
  EXPECT_EQ(found.rank, 5);
  EXPECT_EQ(found.world_size, 8);
  EXPECT_EQ(found.local_rank, 1);
  EXPECT_EQ(found.local_size, 4);
  EXPECT_EQ(found.node, 1);
  EXPECT_EQ(found.master_addr, "a");
  EXPECT_EQ(found.master_port, 1234);
  EXPECT_EQ(found.restart_count, 2);
  EXPECT_TRUE(found.store_is_hosted);
  EXPECT_EQ(found.launcher, "torchrun");
  const auto ours = read(with(torchrun, {{"VLM_LAUNCH", "1"}, {"TORCHELASTIC_USE_AGENT_STORE", "False"}}));
  EXPECT_EQ(ours.launcher, "vlm launch");
  EXPECT_FALSE(ours.store_is_hosted);
}

TEST(LaunchEnvironment, PodsWithoutLocalRanksHoldOneProcessEach) {
  const auto found = read({{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"MASTER_ADDR", "job-master-0"}, {"MASTER_PORT", "23456"}});
  EXPECT_EQ(found.local_rank, 0);
  EXPECT_EQ(found.local_size, 1);
  EXPECT_EQ(found.node, 3);
  EXPECT_EQ(read({{"RANK", "3"}, {"WORLD_SIZE", "4"}}).local_rank, 3) << "without an address all are on this machine";
}

TEST(LaunchEnvironment, ContradictionsNameTheirVariable) {
  EXPECT_TRUE(names(error_of({{"RANK", "0"}}), "WORLD_SIZE is missing"));
  EXPECT_TRUE(names(error_of({{"WORLD_SIZE", "2"}}), "RANK is missing"));
  EXPECT_TRUE(names(error_of(with(torchrun, {{"RANK", "8"}})), "RANK is 8, but WORLD_SIZE is 8"));
  EXPECT_TRUE(names(error_of(with(torchrun, {{"LOCAL_RANK", "4"}})), "LOCAL_RANK is 4"));
  EXPECT_TRUE(names(error_of(with(torchrun, {{"LOCAL_WORLD_SIZE", "9"}})), "LOCAL_WORLD_SIZE is 9"));
  EXPECT_TRUE(names(error_of(with(torchrun, {{"MASTER_ADDR", ""}})), "MASTER_ADDR is missing"));
  for (const char* bad : {"x", "-1", "1.5", "1 ", "0x1", "99999999999999999999"}) {
    EXPECT_TRUE(names(error_of(with(torchrun, {{"RANK", bad}})), "RANK is '")) << bad;
  }
  EXPECT_TRUE(names(error_of(with(torchrun, {{"MASTER_PORT", "65536"}})), "MASTER_PORT"));
  EXPECT_TRUE(names(error_of(with(slurm, {{"WORLD_SIZE", "4"}})), "WORLD_SIZE is 4"));
  EXPECT_TRUE(names(error_of(with(slurm, {{"SLURM_NODEID", "3"}})), "SLURM_NODEID"));
  EXPECT_TRUE(names(error_of(with(slurm, {{"SLURM_STEP_TASKS_PER_NODE", "3(x"}})), "SLURM_STEP_TASKS_PER_NODE"));
}

TEST(LaunchEnvironment, SlurmsTasksMeetAtTheFirstNodeOfTheirList) {
  const auto found = read(slurm);
  EXPECT_EQ(found.rank, 6);
  EXPECT_EQ(found.world_size, 7);
  EXPECT_EQ(found.local_rank, 0);
  EXPECT_EQ(found.local_size, 1);
  EXPECT_EQ(found.node, 2);
  EXPECT_EQ(found.master_addr, "node003");
  EXPECT_EQ(found.master_port, 24567);
  EXPECT_EQ(found.launcher, "slurm");
  EXPECT_EQ(read(with(slurm, {{"MASTER_PORT", "4000"}, {"MASTER_ADDR", "login"}})).master_port, 4000);
  EXPECT_EQ(read(with(slurm, {{"SLURM_STEP_NODELIST", "other3"}})).master_addr, "other3") << "a step can be on other nodes than its job's first";
  EXPECT_NE(read(with(slurm, {{"SLURM_STEP_ID", "1"}})).master_port, 24567) << "steps beside each other would meet";
}

TEST(LaunchEnvironment, ABatchScriptAndAStepOfOneTaskAreOneProcess) {
  Environment script = slurm;
  script.erase("SLURM_STEP_ID");
  EXPECT_EQ(read(script).world_size, 1);
  EXPECT_EQ(read(with(slurm, {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}})).world_size, 1);
}

TEST(LaunchEnvironment, TheFirstHostComesOutOfAnySlurmList) {
  EXPECT_EQ(first_slurm_host("node[001-004,7],other3"), "node001");
  EXPECT_EQ(first_slurm_host("rack[2,4]n[1-8].cluster,x"), "rack2n1.cluster");
  EXPECT_EQ(first_slurm_host("alone"), "alone");
  EXPECT_EQ(first_slurm_host("a,b[1-2]"), "a");
  for (const char* bad : {"", "n[1", "n1]", "n[]", "n[x-2]", ",n1"}) EXPECT_THROW(first_slurm_host(bad), Error) << bad;
}

TEST(LaunchEnvironment, OpenMpiOnOneNodeNeedsNoAddressAndElsewhereAsksForOne) {
  const auto found = read(openmpi);
  EXPECT_EQ(found.rank, 1);
  EXPECT_EQ(found.local_size, 2);
  EXPECT_EQ(found.master_addr, "127.0.0.1");
  EXPECT_GE(found.master_port, 20000);
  EXPECT_LT(found.master_port, 30000);
  EXPECT_NE(read(with(openmpi, {{"OMPI_MCA_ess_base_jobid", "3735748610"}})).master_port, found.master_port);
  EXPECT_TRUE(names(error_of(with(openmpi, {{"OMPI_COMM_WORLD_SIZE", "4"}})), "MASTER_ADDR is missing"));
  EXPECT_EQ(read(with(openmpi, {{"OMPI_COMM_WORLD_SIZE", "4"}, {"MASTER_ADDR", "head"}})).master_addr, "head");
}

TEST(LaunchEnvironment, ALauncherInsideASlurmJobWinsOverTheJob) {
  Environment both = with(slurm, openmpi);
  EXPECT_EQ(read(both).launcher, "openmpi");
  EXPECT_EQ(read(with(both, torchrun)).launcher, "torchrun");
  EXPECT_EQ(read(with(slurm, {{"PMI_RANK", "6"}, {"PMI_SIZE", "7"}})).launcher, "slurm") << "srun speaks PMI too";
  EXPECT_EQ(read({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALNRANKS", "2"}, {"MPI_LOCALRANKID", "1"}}).local_rank, 1);
}

}  // namespace vlm
