#pragma once
/// Messages for people, on standard error: "vlm: message", warnings with "warning: ".

#include <string>

#include "vlm/core/error.h"

namespace vlm {

enum class LogLevel { quiet, info };
void set_log_level(LogLevel level);
void write_log(LogLevel level, const std::string& prefix, const std::string& message);

template <class... Parts>
void log_info(const Parts&... parts) {
  write_log(LogLevel::info, "", concat(parts...));
}
template <class... Parts>
void log_warning(const Parts&... parts) {
  write_log(LogLevel::quiet, "warning: ", concat(parts...));
}

}  // namespace vlm
