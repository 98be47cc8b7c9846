#pragma once
/// Lines of a text file of any size by number: one pass finds where each begins, and then any thread reads any line
/// (specs: data, section 3).

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "vlm/data/tar_reader.h"

namespace vlm {

class LineFile {
 public:
  /// Lines end at "\n"; the end of the file without one is a line's end, too. With `keep_index` the offsets are kept in
  /// `<file>.idx` (little-endian u64 count, then as many u64 offsets) if that can be written, and taken from there if it is
  /// not older than the file and fits it. Throws an Error if the file cannot be opened or read.
  explicit LineFile(const std::filesystem::path& file, bool keep_index = false);

  int64_t size() const { return static_cast<int64_t>(starts_.size()); }
  /// Without its end ("\n" or "\r\n"). Throws an Error for a line above 512 MiB, and if the file has become shorter.
  std::string line(int64_t number) const;

 private:
  bool take_index(const std::filesystem::path& index);
  void make_index();

  std::filesystem::path file_;
  std::unique_ptr<RandomBytes> bytes_;
  std::vector<uint64_t> starts_;
};

}  // namespace vlm
