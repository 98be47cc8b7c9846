#pragma once
/// Where the members of a tar lie (specs: data, 2.2 and 2.4): POSIX ustar, GNU long names, pax `path` and `size`.
/// Tars are data from strangers: nothing that a header declares is believed before it is held against the file.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vlm {

/// Bytes that can be read at any place, by any number of threads.
class RandomBytes {
 public:
  virtual ~RandomBytes() = default;
  virtual uint64_t size() const = 0;
  /// Reads up to `count` bytes; fewer at the end. Throws an Error if the disk fails.
  virtual size_t read_at(uint64_t offset, char* out, size_t count) const = 0;
  /// Bytes that this holds in memory.
  virtual uint64_t memory() const { return 0; }
};

/// An open file.
std::unique_ptr<RandomBytes> open_file_bytes(const std::filesystem::path& file);
/// A gzip file, unpacked into memory. `cut`: the compressed data end early or are damaged; what came before is there.
/// Throws an Error if there are more than `limit` bytes.
std::unique_ptr<RandomBytes> unpack_gzip_bytes(const std::filesystem::path& file, uint64_t limit, bool& cut);
/// Bytes in memory.
std::unique_ptr<RandomBytes> memory_bytes(std::string bytes);

struct TarMember {
  std::string path;
  uint64_t offset = 0, size = 0;  ///< of the data
};

struct TarContents {
  std::vector<TarMember> members;  ///< regular files whose data are whole, in order
  bool truncated = false;          ///< it ends inside a member or has a broken header
};

TarContents read_tar(const RandomBytes& bytes);

}  // namespace vlm
