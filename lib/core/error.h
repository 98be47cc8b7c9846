#pragma once
/// The one error type of the project. A message says what was wrong, where (file, line or key), and what would mend it.

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace vlm {

/// Exit codes of the command; `Error` carries the one that it should end with.
enum class ExitCode { done = 0, failed = 1, usage = 2, interrupted = 75 };

class Error : public std::runtime_error {
 public:
  explicit Error(std::string message, ExitCode code = ExitCode::failed)
      : std::runtime_error(message), message_(std::move(message)), code_(code) {}

  /// Puts "where: " before the message; called on the way up.
  void add_context(std::string_view where) { message_ = std::string(where) + ": " + message_; }

  const char* what() const noexcept override { return message_.c_str(); }
  ExitCode code() const noexcept { return code_; }

 private:
  std::string message_;
  ExitCode code_;
};

/// The parts as one string: `concat("line ", 3)`.
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws an Error whose message is the parts put together.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(concat(parts...));
}

/// As fail(), for a wrong use of the command or a wrong configuration (exit code 2).
template <class... Parts>
[[noreturn]] void fail_usage(const Parts&... parts) {
  throw Error(concat(parts...), ExitCode::usage);
}

/// Runs `body`; an Error that leaves it gets "where: " in front.
template <class Body>
decltype(auto) with_context(std::string_view where, Body&& body) {
  try {
    return std::forward<Body>(body)();
  } catch (Error& error) {
    error.add_context(where);
    throw;
  }
}

}  // namespace vlm
