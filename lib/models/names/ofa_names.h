#pragma once
/// Weight names of OFA: those of HF's layout and those of fairseq's checkpoints, both ways (specs: ofa, 2.7).

#include "vlm/io/tensor_map.h"

namespace vlm {

/// Either layout.
bool is_ofa(const TensorMap& weights);
bool is_fairseq_ofa(const TensorMap& weights);

/// fairseq's names to HF's; what only fairseq has (w_resid, adapters, prompts) keeps its name.
TensorMap ofa_to_hf(const TensorMap& weights);
TensorMap ofa_from_hf(const TensorMap& weights);

}  // namespace vlm
