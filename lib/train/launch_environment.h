#pragma once
/// Which process of a run this one is, out of the environment that the program which started it has left.
///
/// Known, in this order (a launcher inside another one's job wins over it):
/// - torchrun, and what speaks as it does (`vlm launch`, Kubernetes' PyTorchJob): RANK, WORLD_SIZE, LOCAL_RANK,
///   LOCAL_WORLD_SIZE, GROUP_RANK, MASTER_ADDR, MASTER_PORT, TORCHELASTIC_RESTART_COUNT, TORCHELASTIC_USE_AGENT_STORE
/// - Open MPI's mpirun: OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE
/// - MPICH's mpiexec (Hydra): PMI_RANK, PMI_SIZE, MPI_LOCALRANKID, MPI_LOCALNRANKS
/// - Slurm's srun: SLURM_PROCID, SLURM_NTASKS, SLURM_LOCALID, SLURM_NODEID and the list of nodes. A batch script that is not
///   run by srun (SLURM_STEP_ID is absent) is one process, as is a step of one task.
/// MASTER_ADDR and MASTER_PORT hold under each of them, as does VLM_SILENCE_SECONDS.

#include <cstdint>
#include <functional>
#include <string>

namespace vlm {

struct RankEnvironment {
  int64_t rank = 0, world_size = 1;        ///< of all processes
  int64_t local_rank = 0, local_size = 1;  ///< of those on this node
  int64_t node = 0;                        ///< number of this node
  std::string master_addr = "127.0.0.1";   ///< where rank 0 (or the launcher, see store_is_hosted) listens
  int64_t master_port = 29500;
  bool store_is_hosted = false;  ///< the launcher serves the TCPStore at that address already: rank 0 must not listen
  std::string launcher;          ///< "torchrun", "vlm launch", "openmpi", "mpich", "slurm"; "" where nothing has started us
  int64_t restart_count = 0;     ///< how often the launcher has started the run before
  int64_t silence_seconds = 60;  ///< a rank that has not been heard of for so long ends the others
};

/// The value of a variable, or nullptr, as std::getenv().
using GetVariable = std::function<const char*(const char* name)>;

/// Throws a usage error that names the variable where one is missing, is no number, or contradicts another.
RankEnvironment read_launch_environment(const GetVariable& get);
/// Of this process.
RankEnvironment read_launch_environment();

/// The first host of a list as Slurm writes it: "node[001-004,7],other3" is node001, "rack[2,4]n[1-8]" is rack2n1.
std::string first_slurm_host(const std::string& node_list);

}  // namespace vlm
