#pragma once
/// Dotted paths of the values of a checkpoint.

#include <string>

#include "vlm/io/pickle_tree.h"

namespace vlm {

/// The key of a dict as text.
std::string key_text(const PickleTree& tree, uint32_t key);

/// The path of the i-th child of a container: "a" and key "b" give "a.b"; a list's items are numbered, also at the top
/// (".0").
std::string child_path(const std::string& parent, const PickleTree& tree, const PickleNode& container, size_t i);

}  // namespace vlm
