#pragma once
/// Which model made a file of vectors.

#include <string>

#include "vlm/models/interfaces.h"

namespace vlm {

/// 16 hexadecimal digits that follow from names, shapes and a sample of the values of all weights: the same for a folder that
/// has moved, another one after a step of training. It tells models apart and protects nothing: no cryptographic hash.
std::string model_fingerprint(const Model& model);

}  // namespace vlm
