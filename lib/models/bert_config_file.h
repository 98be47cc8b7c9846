#pragma once
/// Configurations of public projects (ALBEF, TCL, mPLUG) give their BERT as the name of a file, by its place in their repository.

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

namespace vlm {

/// Where `config` has a file's name as bert_config, puts the contents in its place: the file of that path from `folder` or from the folder
/// above, or of that name in `folder`. Leaves the name where there is no such file. Throws an Error that names a file which is no JSON object.
void read_named_bert_config(nlohmann::ordered_json& config, const std::filesystem::path& folder);

}  // namespace vlm
