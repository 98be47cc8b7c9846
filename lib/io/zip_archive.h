#pragma once
/// ZIP archives whose entries lie in the file as they are (method "stored"), as PyTorch's checkpoints do (specs: clip, 9.2).
/// Sizes and places come from the central directory, with or without its 64-bit records, and are checked against the file
/// before anything is read. Nothing is ever unpacked.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace vlm {

class StoredZip {
 public:
  /// `bytes` is the whole archive and must outlive this object. Throws an Error for an archive that is cut short or
  /// contradicts itself, for encrypted entries, for a name that stands twice, and for a name with "..", a backslash or a
  /// leading slash.
  explicit StoredZip(std::string_view bytes);

  struct Entry {
    uint64_t header = 0;  ///< place of the local header
    uint64_t size = 0;    ///< bytes as they lie in the file
    uint16_t method = 0;  ///< 0: stored
  };
  const std::map<std::string, Entry, std::less<>>& entries() const { return entries_; }
  bool contains(std::string_view name) const { return entries_.find(name) != entries_.end(); }
  /// The bytes of an entry. Throws if there is none of that name, if it is compressed, or if it reaches past the file.
  std::string_view read(std::string_view name) const;

 private:
  void read_directory(uint64_t begin, uint64_t size, uint64_t count);

  std::string_view bytes_;
  uint64_t directory_ = 0;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace vlm
