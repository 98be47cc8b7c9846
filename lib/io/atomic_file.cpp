#include "vlm/io/atomic_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "vlm/core/error.h"

namespace vlm {

namespace atomic_file {

void sync_path(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  const int rc = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (rc != 0 && error != EINVAL) fail("cannot flush ", path.string(), " to disk: ", std::strerror(error));
}

}  // namespace atomic_file

void write_file_atomically(const std::filesystem::path& file, const std::function<void(std::ostream&)>& write) {
  static std::atomic<int> counter{0};
  const auto folder = file.parent_path().empty() ? std::filesystem::path(".") : file.parent_path();
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail("cannot make the folder ", folder.string(), ": ", error.message());
  const auto temporary = folder / concat(".", file.filename().string(), ".", ::getpid(), ".", counter++, ".part");
  try {
    std::ofstream out(temporary, std::ios::binary | std::ios::trunc);
    if (!out) fail("cannot write in ", folder.string(), ": ", std::strerror(errno));
    write(out);
    out.flush();
    if (!out) fail("cannot write ", file.string(), ": ", std::strerror(errno ? errno : EIO));
    out.close();
    atomic_file::sync_path(temporary);
    std::filesystem::rename(temporary, file, error);
    if (error) fail("cannot put ", file.string(), " in its place: ", error.message());
  } catch (...) {
    std::filesystem::remove(temporary, error);
    throw;
  }
  atomic_file::sync_path(folder);
}

void write_file_atomically(const std::filesystem::path& file, std::string_view content) {
  write_file_atomically(file, [&](std::ostream& out) { out.write(content.data(), static_cast<std::streamsize>(content.size())); });
}

std::string read_file(const std::filesystem::path& file, uintmax_t limit) {
  std::error_code error;
  if (std::filesystem::is_directory(file, error)) fail(file.string(), " is a folder, a file is needed");
  std::ifstream in(file, std::ios::binary);
  if (!in) fail("cannot open ", file.string(), ": ", std::strerror(errno));
  in.seekg(0, std::ios::end);
  const std::streamoff end = in.tellg();
  if (!in || end < 0) fail(file.string(), " is no plain file (a pipe or a device has no size); save it to a file first");
  const auto size = static_cast<uintmax_t>(end);
  if (size > limit) fail(file.string(), " is ", size, " bytes large; at most ", limit, " are read");
  std::string content(size, '\0');
  in.seekg(0);
  in.read(content.data(), static_cast<std::streamsize>(size));
  if (!in) fail("cannot read ", file.string(), ": it ended early");
  return content;
}

}  // namespace vlm
