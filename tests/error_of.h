#pragma once
/// What an error says.

#include <functional>
#include <string>

#include "vlm/core/error.h"

namespace vlm::testing {

/// The message of the vlm::Error that `body` throws; "" if it throws none.
inline std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace vlm::testing
