#pragma once
/// A file's bytes in memory, read when they are touched. The mapping is private: changing a byte never changes the file.

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace vlm {

class MappedFile {
 public:
  /// Throws an Error if it cannot be opened or is no regular file. An empty file has no bytes.
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  char* data() const { return data_; }
  uint64_t size() const { return size_; }
  std::string_view bytes() const { return {data_, size_}; }

 private:
  char* data_ = nullptr;
  uint64_t size_ = 0;
};

/// Throws an Error that says what the bytes are, if they are none of the containers of tensors: a pointer of Git LFS, a web
/// page, an archive of NumPy. Does nothing for bytes that it does not recognise.
void refuse_foreign_content(std::string_view bytes);

}  // namespace vlm
