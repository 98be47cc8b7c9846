#pragma once
/// Options structs as JSON (apart from config.h, so that only those who write JSON pay for its header).

#include <nlohmann/json.hpp>

#include "vlm/core/config.h"

namespace vlm {

template <HasFields S>
nlohmann::ordered_json to_json(const S& options) {
  nlohmann::ordered_json out = nlohmann::ordered_json::object();
  S copy = options;
  copy.fields(*detail::make_json_writer(out));
  return out;
}

}  // namespace vlm
