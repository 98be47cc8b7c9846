#pragma once
/// The exponential moving average of a model's weights: what is evaluated and kept, or the teacher of a momentum method
/// (specs: objectives, 5.7; ofa, EMA).

#include <cstdint>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/io/tensor_map.h"
#include "vlm/models/interfaces.h"

namespace vlm {

struct EmaOptions {
  double decay = 0.9999;              ///< how much of the average an update keeps
  std::string schedule = "constant";
  double final_decay = 1;             ///< cosine: where the decay ends
  int64_t warmup_steps = 0;           ///< cosine: steps over which the decay grows from 0
  int64_t start_step = 0;             ///< before this step the average is the weights themselves
  bool average_buffers = false;       ///< floating-point tensors that are not trained (batch statistics) are averaged, too

  void fields(Fields& f) {
    f.field("decay", decay, "part of the average that an update keeps");
    f.field("schedule", schedule, "constant, or cosine: from decay to final_decay over the run");
    f.field("final_decay", final_decay, "cosine: where the decay ends");
    f.field("warmup_steps", warmup_steps, "cosine: steps over which the decay grows from 0");
    f.field("start_step", start_step, "before this step the average is the weights themselves");
    f.field("average_buffers", average_buffers, "average batch statistics, too, in place of copying them");
  }
};

/// DINO's cosine (arXiv 2104.14294) at `step` of `total_steps`: linear from 0 to `base` over the warm-up steps (both ends
/// are met), then a half wave to `final`, which the last step does not quite reach.
double cosine_with_warmup(double base, double final, int64_t step, int64_t total_steps, int64_t warmup_steps);

/// The decay of the update after step `step` (from 0) of `total_steps`. Throws a usage error for an unknown schedule.
double ema_decay(const EmaOptions& options, int64_t step, int64_t total_steps);

class Ema {
 public:
  /// `state`: the model's parameters and buffers (Model::state()); the average begins as a copy of them, in float32 where
  /// they have fewer bits. Tensors that take no gradient are buffers.
  Ema(std::vector<NamedTensor> state, const EmaOptions& options);

  /// average = decay average + (1 - decay) weights, with the decay of this step; buffers are copied. Call it after the
  /// optimiser's step `step` (from 0).
  void update(int64_t step, int64_t total_steps);

  /// The averages by name; views, not copies.
  TensorMap state() const;
  /// Throws if one is missing or has another number of elements; nothing is changed then.
  void load_state(const TensorMap& state);

  /// While this lives, the model computes with the average; afterwards it has its own weights back, to the last bit.
  class Swap {
   public:
    explicit Swap(Ema& ema);
    ~Swap();
    Swap(const Swap&) = delete;
    Swap& operator=(const Swap&) = delete;

   private:
    Ema& ema_;
    std::vector<Tensor> own_;
  };

 private:
  std::vector<NamedTensor> model_;
  std::vector<Tensor> average_;
  EmaOptions options_;
  bool swapped_ = false;
};

}  // namespace vlm
