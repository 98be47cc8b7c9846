#pragma once
/// Weight names of BLIP: those of the original code's checkpoints and those of HF's Blip models, both ways (specs:
/// clip, 5.3).

#include "vlm/io/tensor_map.h"

namespace vlm {

bool is_hf_blip(const TensorMap& weights);
bool is_original_blip(const TensorMap& weights);

/// The original names to HF's. Momentum towers, queues and the temperature, which only training uses, are dropped.
TensorMap blip_to_hf(const TensorMap& weights);
/// HF's names to the original ones. A tensor without a counterpart keeps its name.
TensorMap blip_from_hf(const TensorMap& weights);

}  // namespace vlm
