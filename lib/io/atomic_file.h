#pragma once
/// Files are written beside their place, flushed to disk and renamed: a reader sees the old file or the new one, never half.

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>

namespace vlm {

/// Calls `write` with a stream to a temporary file in the same folder, then puts it in `file`'s place. Makes the folder
/// if needed. On any error the temporary file is removed and an Error names file and reason (disk full, no permission).
void write_file_atomically(const std::filesystem::path& file, const std::function<void(std::ostream&)>& write);
void write_file_atomically(const std::filesystem::path& file, std::string_view content);

/// The whole file as bytes; an Error if it cannot be read or is larger than `limit`.
std::string read_file(const std::filesystem::path& file, uintmax_t limit = uintmax_t(1) << 32);

}  // namespace vlm
