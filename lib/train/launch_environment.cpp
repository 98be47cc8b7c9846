#include "vlm/train/launch_environment.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace launch_environment {

/// Variables as numbers, with errors that name them.
class Variables {
 public:
  explicit Variables(const GetVariable& get) : get_(get) {}

  /// An empty value is as good as none: that is how scripts take a variable away.
  std::optional<std::string> text(const char* name) const {
    const char* value = get_(name);
    return value && *value ? std::optional<std::string>(value) : std::nullopt;
  }
  bool has(const char* name) const { return text(name).has_value(); }

  std::optional<int64_t> number(const char* name, int64_t least = 0, int64_t most = INT32_MAX) const {
    const auto value = text(name);
    if (!value) return std::nullopt;
    int64_t out = 0;
    const char* end = value->data() + value->size();
    const auto [stopped, error] = std::from_chars(value->data(), end, out);
    if (error != std::errc() || stopped != end || out < least || out > most) {
      fail_usage("the environment variable ", name, " is '", *value, "', which is no number from ", least, " to ", most);
    }
    return out;
  }
  int64_t required(const char* name, const char* beside, int64_t least = 0) const {
    if (const auto value = number(name, least)) return *value;
    fail_usage("the environment variable ", name, " is missing, though ", beside,
               " is set; start the run with one launcher (torchrun, vlm launch, srun, mpirun), or unset ", beside);
  }

 private:
  const GetVariable& get_;
};

void check_below(const char* name, int64_t value, const char* bound_name, int64_t bound) {
  if (value >= bound) {
    fail_usage("the environment variable ", name, " is ", value, ", but ", bound_name, " is ", bound, ": it must be below that");
  }
}

/// What a group on one node needs no address for, and a larger one must be told.
void read_master(const Variables& variables, RankEnvironment& out, const char* size_name) {
  if (const auto port = variables.number("MASTER_PORT", 1, 65535)) out.master_port = *port;
  if (const auto address = variables.text("MASTER_ADDR")) {
    out.master_addr = *address;
  } else if (out.local_size != out.world_size) {
    fail_usage("the environment variable MASTER_ADDR is missing: ", size_name, " is ", out.world_size, ", of which ", out.local_size,
               " are on this node, so the others must be told the address of rank 0's node");
  }
}

/// For those who have only one of both: the processes of a node have successive ranks.
int64_t node_of(const RankEnvironment& out) { return out.rank / std::max<int64_t>(out.local_size, 1); }

RankEnvironment of_torchrun(const Variables& variables) {
  RankEnvironment out;
  out.launcher = variables.has("VLM_LAUNCH") ? "vlm launch" : "torchrun";
  out.world_size = variables.required("WORLD_SIZE", "RANK", 1);
  out.rank = variables.required("RANK", "WORLD_SIZE");
  check_below("RANK", out.rank, "WORLD_SIZE", out.world_size);
  const auto local_size = variables.number("LOCAL_WORLD_SIZE", 1);
  const auto local_rank = variables.number("LOCAL_RANK");
  const std::string address = variables.text("MASTER_ADDR").value_or("");
  const bool all_here = address.empty() || address == "localhost" || starts_with(address, "127.") || address == "::1";
  if (local_size) {
    out.local_size = *local_size;
    if (out.local_size > out.world_size) {
      fail_usage("the environment variable LOCAL_WORLD_SIZE is ", out.local_size, ", but WORLD_SIZE is ", out.world_size,
                 ": a node cannot hold more ranks than there are");
    }
    out.local_rank = local_rank ? *local_rank : out.rank % out.local_size;
  } else if (all_here) {
    out.local_size = out.world_size;
    out.local_rank = local_rank.value_or(out.rank);
  } else {
    // Kubernetes' PyTorchJob runs one process in a pod and names no local rank.
    out.local_rank = local_rank.value_or(0);
    out.local_size = out.local_rank + 1;
  }
  check_below("LOCAL_RANK", out.local_rank, local_size ? "LOCAL_WORLD_SIZE" : "WORLD_SIZE", local_size ? out.local_size : out.world_size);
  out.node = variables.number("GROUP_RANK").value_or(local_size || all_here ? node_of(out) : out.rank);
  read_master(variables, out, "WORLD_SIZE");
  out.store_is_hosted = ascii_lower(variables.text("TORCHELASTIC_USE_AGENT_STORE").value_or("")) == "true";
  out.restart_count = variables.number("TORCHELASTIC_RESTART_COUNT").value_or(0);
  return out;
}

/// FNV-1a, so that jobs beside each other on a node take different ports.
int64_t port_of_name(const std::string& name) {
  uint64_t hash = 14695981039346656037ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ull;
  return 20000 + static_cast<int64_t>(hash % 10000);
}

RankEnvironment of_openmpi(const Variables& variables) {
  RankEnvironment out;
  out.launcher = "openmpi";
  out.rank = variables.required("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
  out.world_size = variables.required("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK", 1);
  check_below("OMPI_COMM_WORLD_RANK", out.rank, "OMPI_COMM_WORLD_SIZE", out.world_size);
  out.local_rank = variables.required("OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_RANK");
  out.local_size = variables.required("OMPI_COMM_WORLD_LOCAL_SIZE", "OMPI_COMM_WORLD_RANK", 1);
  check_below("OMPI_COMM_WORLD_LOCAL_RANK", out.local_rank, "OMPI_COMM_WORLD_LOCAL_SIZE", out.local_size);
  if (out.local_size > out.world_size) {
    fail_usage("the environment variable OMPI_COMM_WORLD_LOCAL_SIZE is ", out.local_size, ", but OMPI_COMM_WORLD_SIZE is ", out.world_size);
  }
  out.node = node_of(out);
  // Every process of a job has the same of these, and other jobs have others.
  for (const char* name : {"OMPI_MCA_ess_base_jobid", "PMIX_NAMESPACE"}) {
    if (const auto job = variables.text(name)) {
      out.master_port = port_of_name(*job);
      break;
    }
  }
  read_master(variables, out, "OMPI_COMM_WORLD_SIZE");
  return out;
}

RankEnvironment of_mpich(const Variables& variables) {
  RankEnvironment out;
  out.launcher = "mpich";
  out.rank = variables.required("PMI_RANK", "PMI_SIZE");
  out.world_size = variables.required("PMI_SIZE", "PMI_RANK", 1);
  check_below("PMI_RANK", out.rank, "PMI_SIZE", out.world_size);
  // Without a word about the nodes a process counts as the only one of its own.
  out.local_size = variables.number("MPI_LOCALNRANKS", 1, out.world_size).value_or(1);
  out.local_rank = variables.number("MPI_LOCALRANKID").value_or(0);
  check_below("MPI_LOCALRANKID", out.local_rank, "MPI_LOCALNRANKS", out.local_size);
  out.node = node_of(out);
  read_master(variables, out, "PMI_SIZE");
  return out;
}

/// Tasks on node number `node` out of "2(x3),1": three nodes with two tasks, and one with one.
std::optional<int64_t> slurm_tasks_on_node(const std::string& list, int64_t node) {
  for (const std::string& part : split(list, ",")) {
    int64_t tasks = 0, nodes = 1;
    const char* end = part.data() + part.size();
    auto [at, error] = std::from_chars(part.data(), end, tasks);
    if (error != std::errc() || tasks < 1) return std::nullopt;
    if (at != end) {
      if (end - at < 4 || std::string_view(at, 2) != "(x" || end[-1] != ')') return std::nullopt;
      const auto [stopped, bad] = std::from_chars(at + 2, end - 1, nodes);
      if (bad != std::errc() || stopped != end - 1 || nodes < 1) return std::nullopt;
    }
    if (node < nodes) return tasks;
    node -= nodes;
  }
  return std::nullopt;
}

int64_t slurm_local_size(const Variables& variables, const RankEnvironment& out, int64_t nodes) {
  for (const char* name : {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"}) {
    const auto list = variables.text(name);
    if (!list) continue;
    if (const auto tasks = slurm_tasks_on_node(*list, out.node)) return *tasks;
    fail_usage("the environment variable ", name, " is '", *list, "', which does not say how many tasks node ", out.node, " has");
  }
  if (const auto tasks = variables.number("SLURM_NTASKS_PER_NODE", 1)) return std::min(*tasks, out.world_size);
  return (out.world_size + nodes - 1) / nodes;
}

/// Nothing if this is no task of a step of several.
std::optional<RankEnvironment> of_slurm(const Variables& variables) {
  if (!variables.has("SLURM_PROCID") || !variables.has("SLURM_STEP_ID")) return std::nullopt;
  RankEnvironment out;
  out.launcher = "slurm";
  out.restart_count = variables.number("SLURM_RESTART_COUNT").value_or(0);
  // A step can be smaller than its job, whose numbers are in the environment as well.
  const char* size_name = variables.has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  out.world_size = variables.required(size_name, "SLURM_PROCID", 1);
  out.rank = *variables.number("SLURM_PROCID");
  check_below("SLURM_PROCID", out.rank, size_name, out.world_size);
  if (out.world_size == 1) return out;
  const char* nodes_name = variables.has("SLURM_STEP_NUM_NODES") ? "SLURM_STEP_NUM_NODES" : "SLURM_NNODES";
  const int64_t nodes = variables.number(nodes_name, 1).value_or(1);
  out.node = variables.number("SLURM_NODEID").value_or(0);
  check_below("SLURM_NODEID", out.node, nodes_name, nodes);
  out.local_rank = variables.required("SLURM_LOCALID", "SLURM_PROCID");
  out.local_size = slurm_local_size(variables, out, nodes);
  if (out.local_size > out.world_size) {
    fail_usage("the environment variable ", size_name, " is ", out.world_size, ", but this node alone is said to have ", out.local_size, " tasks");
  }
  check_below("SLURM_LOCALID", out.local_rank, "the number of tasks on this node", out.local_size);
  if (!variables.has("MASTER_ADDR") && nodes > 1) {
    const char* list_name = variables.has("SLURM_STEP_NODELIST") ? "SLURM_STEP_NODELIST" : "SLURM_JOB_NODELIST";
    const auto list = variables.text(list_name);
    if (!list) fail_usage("the environment variable SLURM_JOB_NODELIST is missing, though ", nodes_name, " is ", nodes, "; MASTER_ADDR would do as well");
    out.master_addr = with_context(concat("the environment variable ", list_name), [&] { return first_slurm_host(*list); });
  } else if (const auto address = variables.text("MASTER_ADDR")) {
    out.master_addr = *address;
  }
  const char* job_name = variables.has("SLURM_JOB_ID") ? "SLURM_JOB_ID" : "SLURM_JOBID";
  if (const auto job = variables.number(job_name, 0, UINT32_MAX)) {
    // Steps of one job can run beside each other.
    const int64_t step = variables.number("SLURM_STEP_ID", 0, UINT32_MAX).value_or(0);
    out.master_port = 20000 + (*job + 7919 * step) % 10000;
  }
  if (const auto port = variables.number("MASTER_PORT", 1, 65535)) out.master_port = *port;
  return out;
}

/// RANK or WORLD_SIZE alone is what batch scripts export for themselves: it must at least say the same.
void check_agrees(const Variables& variables, const RankEnvironment& out) {
  const auto rank = variables.number("RANK"), size = variables.number("WORLD_SIZE", 1);
  if (rank && *rank != out.rank) fail_usage("the environment variable RANK is ", *rank, ", but ", out.launcher, " says rank ", out.rank, "; unset RANK");
  if (size && *size != out.world_size) {
    fail_usage("the environment variable WORLD_SIZE is ", *size, ", but ", out.launcher, " has started ", out.world_size, "; unset WORLD_SIZE");
  }
}

}  // namespace launch_environment

std::string first_slurm_host(const std::string& node_list) {
  std::string host;
  for (size_t i = 0; i < node_list.size() && node_list[i] != ','; ++i) {
    if (node_list[i] == ']') fail_usage("'", node_list, "' has a ']' too many");
    if (node_list[i] != '[') {
      host += node_list[i];
      continue;
    }
    const size_t close = node_list.find(']', i);
    if (close == std::string::npos) fail_usage("'", node_list, "' lacks a ']'");
    const std::string numbers = node_list.substr(i + 1, close - i - 1);
    const std::string first = numbers.substr(0, numbers.find_first_of("-,"));
    if (first.empty() || first.find_first_not_of("0123456789") != std::string::npos) {
      fail_usage("'", node_list, "' has no numbers in '[", numbers, "]'");
    }
    host += first;
    i = close;
  }
  if (host.empty()) fail_usage("'", node_list, "' names no node");
  return host;
}

namespace launch_environment {

RankEnvironment of_any(const Variables& variables) {
  if (variables.has("RANK") && variables.has("WORLD_SIZE")) return of_torchrun(variables);
  std::optional<RankEnvironment> out;
  const auto slurm = [&] { return of_slurm(variables); };
  // mpirun inside a Slurm job starts its helpers by srun, whose variables its processes inherit.
  if (variables.has("OMPI_COMM_WORLD_RANK") || variables.has("OMPI_COMM_WORLD_SIZE")) {
    out = of_openmpi(variables);
  } else if (variables.has("PMI_RANK") && variables.has("PMI_SIZE")) {
    const auto rank = variables.number("SLURM_PROCID"), size = variables.number("SLURM_NTASKS");
    // srun speaks PMI too, and its own variables say more.
    const bool is_srun = variables.has("SLURM_STEP_ID") && rank == variables.number("PMI_RANK") && size == variables.number("PMI_SIZE");
    out = is_srun ? slurm() : of_mpich(variables);
  } else {
    out = slurm();
  }
  if (out) {
    check_agrees(variables, *out);
    return *out;
  }
  if (variables.has("RANK") || variables.has("WORLD_SIZE")) return of_torchrun(variables);  // says what is missing
  return {};
}

}  // namespace launch_environment

RankEnvironment read_launch_environment(const GetVariable& get) {
  const launch_environment::Variables variables(get);
  RankEnvironment out = launch_environment::of_any(variables);
  out.silence_seconds = variables.number("VLM_SILENCE_SECONDS", 1).value_or(out.silence_seconds);
  return out;
}

RankEnvironment read_launch_environment() {
  return read_launch_environment([](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace vlm
