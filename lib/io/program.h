#pragma once
/// Other programs, started without a shell, whose output is read.

#include <optional>
#include <string>
#include <vector>

namespace vlm {

struct ProgramOutput {
  int code = 0;      ///< exit code; 128 + the signal of a program that was killed
  std::string out;   ///< all that it printed
  std::string err;   ///< the end of its standard error, some kilobytes
  /// The last line of `err` that is not empty.
  std::string complaint() const;
};

/// Runs words[0], which is looked for on PATH, with the other words as arguments and nothing to read. Nothing if there is no such
/// program. Throws an Error if it prints more than `limit` bytes (it is killed then) or cannot be started.
std::optional<ProgramOutput> run_program(const std::vector<std::string>& words, size_t limit = size_t{1} << 31);

}  // namespace vlm
