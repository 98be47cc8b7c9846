#include "vlm/data/tar_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "vlm/core/error.h"

namespace vlm {

namespace tar_reader {

constexpr uint64_t block = 512;
constexpr uint64_t largest_extension = 16 << 20;  ///< long names and pax records are small; a larger one is damage

class FileBytes : public RandomBytes {
 public:
  explicit FileBytes(const std::filesystem::path& file)
      : file_(file.string()), fd_(::open(file.c_str(), O_RDONLY | O_CLOEXEC)) {
    struct stat status {};
    if (fd_ < 0 || ::fstat(fd_, &status) != 0 || !S_ISREG(status.st_mode)) {
      const int error = fd_ < 0 ? errno : EISDIR;
      if (fd_ >= 0) ::close(fd_);
      fail("cannot open ", file_, ": ", error == EISDIR ? "not a regular file" : std::strerror(error));
    }
    size_ = static_cast<uint64_t>(status.st_size);
  }
  ~FileBytes() override { ::close(fd_); }
  FileBytes(const FileBytes&) = delete;
  FileBytes& operator=(const FileBytes&) = delete;

  uint64_t size() const override { return size_; }
  size_t read_at(uint64_t offset, char* out, size_t count) const override {
    size_t done = 0;
    while (done < count) {
      const ssize_t got = ::pread(fd_, out + done, count - done, static_cast<off_t>(offset + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail("cannot read ", file_, ": ", std::strerror(errno));
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

 private:
  std::string file_;
  int fd_;
  uint64_t size_ = 0;
};

class MemoryBytes : public RandomBytes {
 public:
  explicit MemoryBytes(std::string bytes) : bytes_(std::move(bytes)) {}
  uint64_t size() const override { return bytes_.size(); }
  size_t read_at(uint64_t offset, char* out, size_t count) const override {
    if (offset >= bytes_.size()) return 0;
    const size_t got = std::min<uint64_t>(count, bytes_.size() - offset);
    std::memcpy(out, bytes_.data() + offset, got);
    return got;
  }
  uint64_t memory() const override { return bytes_.size(); }

 private:
  std::string bytes_;
};

/// A field up to its first NUL.
std::string_view text(const char* field, size_t width) { return {field, ::strnlen(field, width)}; }

/// An octal number between spaces, or a binary one if the first byte has its highest bit set (GNU); none if it is neither.
std::optional<uint64_t> number(const char* field, size_t width) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(field);
  uint64_t value = 0;
  if (bytes[0] == 0x80) {
    for (size_t i = 1; i < width; ++i) {
      if (value >> 55) return std::nullopt;
      value = value << 8 | bytes[i];
    }
    return value;
  }
  std::string_view digits = text(field, width);
  while (!digits.empty() && digits.front() == ' ') digits.remove_prefix(1);
  while (!digits.empty() && digits.back() == ' ') digits.remove_suffix(1);
  for (const char c : digits) {
    if (c < '0' || c > '7') return std::nullopt;
    value = value << 3 | static_cast<uint64_t>(c - '0');
  }
  return value;
}

bool checksum_holds(const char* header) {
  const auto stored = number(header + 148, 8);
  // Some old writers summed signed bytes.
  int64_t unsigned_sum = 0, signed_sum = 0;
  for (size_t i = 0; i < block; ++i) {
    const bool own = i >= 148 && i < 156;
    unsigned_sum += own ? ' ' : static_cast<unsigned char>(header[i]);
    signed_sum += own ? ' ' : static_cast<signed char>(header[i]);
  }
  return stored && (static_cast<int64_t>(*stored) == unsigned_sum || static_cast<int64_t>(*stored) == signed_sum);
}

/// What extension headers said about the member that follows them; of several the first counts.
struct Overrides {
  std::optional<std::string> path;
  std::optional<uint64_t> size;

  /// False if the records are not "LENGTH key=value\n" one after the other.
  bool read_pax(std::string_view records) {
    while (!records.empty() && records[0] != '\0') {
      size_t digits = 0, length = 0;
      while (digits < records.size() && digits < 9 && records[digits] >= '0' && records[digits] <= '9') {
        length = length * 10 + static_cast<size_t>(records[digits++] - '0');
      }
      if (digits == 0 || digits >= records.size() || records[digits] != ' ' || length > records.size() ||
          length < digits + 3 || records[length - 1] != '\n') {
        return false;
      }
      const std::string_view record = records.substr(digits + 1, length - digits - 2);
      const size_t equals = record.find('=');
      if (equals == std::string_view::npos) return false;
      const std::string_view key = record.substr(0, equals), value = record.substr(equals + 1);
      if (key == "path" && !path) path = std::string(value);
      if (key == "size" && !size) {
        if (value.empty() || value.size() > 18 || value.find_first_not_of("0123456789") != std::string_view::npos)
          return false;
        size = std::stoull(std::string(value));
      }
      records.remove_prefix(length);
    }
    return true;
  }
};

}  // namespace tar_reader

std::unique_ptr<RandomBytes> open_file_bytes(const std::filesystem::path& file) {
  return std::make_unique<tar_reader::FileBytes>(file);
}

std::unique_ptr<RandomBytes> memory_bytes(std::string bytes) {
  return std::make_unique<tar_reader::MemoryBytes>(std::move(bytes));
}

std::unique_ptr<RandomBytes> unpack_gzip_bytes(const std::filesystem::path& file, uint64_t limit, bool& cut) {
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(::gzopen(file.c_str(), "rb"), ::gzclose);
  if (!in) fail("cannot open ", file.string(), ": ", std::strerror(errno ? errno : ENOMEM));
  ::gzbuffer(in.get(), 1 << 18);
  std::string bytes, chunk(1 << 20, '\0');
  for (;;) {
    const int got = ::gzread(in.get(), chunk.data(), static_cast<unsigned>(chunk.size()));
    if (got > 0) bytes.append(chunk.data(), static_cast<size_t>(got));
    if (bytes.size() > limit)
      fail(file.string(), " unpacks to more than ", limit, " bytes; unpack it on disk and name the .tar");
    if (got < static_cast<int>(chunk.size())) break;
  }
  int code = Z_OK;
  ::gzerror(in.get(), &code);
  cut = code != Z_OK && code != Z_STREAM_END;
  return memory_bytes(std::move(bytes));
}

TarContents read_tar(const RandomBytes& bytes) {
  using namespace tar_reader;
  TarContents contents;
  Overrides overrides;
  const uint64_t total = bytes.size();
  const auto cut = [&]() -> TarContents& {
    contents.truncated = true;
    return contents;
  };
  for (uint64_t at = 0;;) {
    char header[block];
    const size_t got = bytes.read_at(at, header, block);
    if (got == 0) return overrides.path || overrides.size ? cut() : contents;
    if (got < block) return cut();
    if (std::all_of(header, header + block, [](char c) { return c == '\0'; })) return contents;
    const auto declared = number(header + 124, 12);
    if (!checksum_holds(header) || !declared) return cut();
    const uint64_t begin = at + block;
    const char type = header[156];
    const bool extension = type == 'L' || type == 'K' || type == 'x' || type == 'g';
    uint64_t size = extension ? *declared : overrides.size.value_or(*declared);
    // Links, devices and folders have no data, whatever their headers say.
    if (type >= '1' && type <= '6') size = 0;
    if (size > total - std::min(begin, total)) return cut();
    if (type == 'L' || type == 'x') {
      if (size > largest_extension) return cut();
      std::string data(size, '\0');
      if (bytes.read_at(begin, data.data(), size) != size) return cut();
      if (type == 'x' && !overrides.read_pax(data)) return cut();
      if (type == 'L' && !overrides.path) overrides.path = std::string(text(data.data(), data.size()));
    } else if (!extension) {
      std::string path(text(header, 100));
      const std::string_view prefix = text(header + 345, 155);
      if (std::memcmp(header + 257, "ustar\0", 6) == 0 && !prefix.empty()) path = std::string(prefix) + "/" + path;
      if (overrides.path) path = *overrides.path;
      const bool regular = type == '0' || type == '\0' || type == '7';
      if (regular && !path.empty() && path.back() != '/') contents.members.push_back({std::move(path), begin, size});
      overrides = {};
    }
    const uint64_t padded = (size + block - 1) / block * block;
    if (padded > total - begin) return cut();
    at = begin + padded;
    if (type == 'S' && header[482] != 0) {
      // The map of an old GNU sparse file goes on in further blocks before its data.
      char more[block];
      uint64_t map = begin;
      do {
        if (bytes.read_at(map, more, block) != block) return cut();
        map += block;
      } while (more[504] != 0);
      at += map - begin;
      if (at > total) return cut();
    }
  }
}

}  // namespace vlm
