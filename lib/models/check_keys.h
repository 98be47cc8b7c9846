#pragma once
/// Keys that people write for a model of a family, held against those that the family knows.

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace vlm {

/// Throws a usage error for the first key of `given` that is neither one of `written`'s, which is a configuration with all
/// keys that can be written, nor in `also`: "an mPLUG has no option 'stride_layers' (did you mean 'stride_layer'?)". what:
/// "an mPLUG".
void check_known_keys(const std::string& what, const nlohmann::ordered_json& given, const nlohmann::ordered_json& written,
                      std::vector<std::string> also = {});

/// The same for the object under `key`, where both have one.
void check_known_keys_under(const char* key, const std::string& what, const nlohmann::ordered_json& given,
                            const nlohmann::ordered_json& written, std::vector<std::string> also = {});

}  // namespace vlm
