#pragma once
/// A model as it was at one moment: its weights as copies, to be written while training goes on.

#include <memory>

#include "vlm/io/tensor_map.h"
#include "vlm/models/interfaces.h"

namespace vlm {

/// Has the family, the configuration and copies of the weights of `model` (those of `instead` where that has the name), on
/// the CPU. It can be written, and nothing else.
std::unique_ptr<Model> snapshot_of(const Model& model, const TensorMap& instead = {});

}  // namespace vlm
