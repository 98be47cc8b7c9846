#pragma once
/// Checkpoints of a run: folders that are model folders too, with what training needs beside the weights.
///
///   RUN/checkpoints/step-00000450/   the model (open_clip_config.json, open_clip_model.safetensors, tokenizer.model, …),
///                                    optimizer-00000-of-00001.safetensors (one for each rank that holds a share of it),
///                                    ema.safetensors, cursor.json, trainer.json
///   RUN/checkpoints/latest, best     links to the newest one and the one with the best evaluation
///
/// trainer.json is written last and holds size and CRC-32 of all other files, so that a checkpoint is whole or is not used.

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "vlm/io/tensor_map.h"
#include "vlm/models/interfaces.h"
#include "vlm/train/communicator.h"

namespace vlm {

/// All that a checkpoint holds, as copies that training does not change any more.
struct CheckpointContent {
  int64_t step = 0;
  std::function<void(const std::filesystem::path& folder)> write_model;  ///< first rank
  TensorMap optimizer;              ///< this rank's share
  bool sharded = false;             ///< every rank has a share; otherwise the first one has all
  TensorMap ema;                    ///< first rank; empty: there is none
  nlohmann::ordered_json trainer, cursor;  ///< first rank
  bool best = false;                ///< the best evaluation so far
};

/// Writes the checkpoints of a run, if wanted while training goes on. All ranks make the same calls.
class CheckpointWriter {
 public:
  /// Keeps the `keep_last` newest and the best.
  CheckpointWriter(std::filesystem::path run, int64_t keep_last, Communicator& communicator);
  ~CheckpointWriter();

  /// Writes now, or begins to and returns (after the one before is done). A checkpoint that cannot be written (disk full)
  /// leaves those before it as they were and is a warning if it was written in the background, an Error otherwise. If one rank
  /// cannot write its share, the others learn of it.
  void write(CheckpointContent content, bool in_background);
  /// Waits for what is being written. True if the last checkpoint that was asked for is there.
  bool wait();

 private:
  void write_now(const CheckpointContent& content);

  std::filesystem::path run_;
  int64_t keep_last_;
  Communicator& communicator_;
  std::future<void> writing_;
  std::atomic<bool> abandoned_{false};  ///< the run has failed: other ranks are not waited for
  bool last_written_ = true;
};

/// The newest checkpoint of a run that has all its files in their full size, or an empty path. Those that were passed over are
/// warned about.
std::filesystem::path latest_checkpoint(const std::filesystem::path& run);

/// What is wrong with a checkpoint ("optimizer-00000-of-00001.safetensors has 100 bytes, 2000 were written"); empty: nothing.
/// With `contents`, the files' checksums are held against what was written, too.
std::string checkpoint_damage(const std::filesystem::path& checkpoint, bool contents);

/// The folder that `--resume` names: "auto" (the newest that is whole; throws if there are some and none is), "none" (an empty path), or a path,
/// which must be a checkpoint or a run with one.
std::filesystem::path checkpoint_to_resume(const std::filesystem::path& run, const std::string& resume);

/// The optimiser's state out of all its files, tensors that were written in shares put together (flat).
TensorMap read_optimizer_state(const std::filesystem::path& checkpoint);

}  // namespace vlm
