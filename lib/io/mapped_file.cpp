#include "vlm/io/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

MappedFile::MappedFile(const std::filesystem::path& file) {
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail("cannot open: ", std::strerror(errno));
  struct stat status {};
  if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(fd);
    fail("not a file");
  }
  size_ = static_cast<uint64_t>(status.st_size);
  if (size_ > 0) {
    void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
    const int error = errno;
    if (data == MAP_FAILED) {
      ::close(fd);
      fail("cannot map: ", std::strerror(error));
    }
    data_ = static_cast<char*>(data);
  }
  ::close(fd);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(data_, size_);
}

void refuse_foreign_content(std::string_view bytes) {
  if (starts_with(bytes, "version https://git-lfs"))
    fail("this is a Git LFS pointer, not the file itself: fetch it with 'git lfs pull'");
  if (starts_with(bytes, "\x93NUMPY"))
    fail("this is an array of NumPy, which holds no model; weights are read from safetensors and PyTorch files");
  const size_t first = bytes.substr(0, 256).find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && bytes[first] == '<')
    fail("this looks like a web page, not like weights (a download that needs a login?)");
}

}  // namespace vlm
