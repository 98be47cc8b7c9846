#pragma once
/// Closed sets of answers in files.

#include <filesystem>
#include <string>
#include <vector>

namespace vlm {

/// In the order of the file, stripped: the strings of a JSON list, the keys of a JSON object (*.json; "ans2label" of the VQA
/// sets), or the lines of any other file. Throws an Error that names the file if it cannot be read, holds something else, an
/// answer twice, or none.
std::vector<std::string> read_answer_set(const std::filesystem::path& file);

}  // namespace vlm
