#include "vlm/io/npy.h"

#include <ATen/ops/empty.h>

#include <cstring>
#include <limits>
#include <ostream>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/mapped_file.h"

namespace vlm {

namespace npy {

constexpr std::string_view magic("\x93NUMPY", 6);
constexpr size_t prefix = 10;  // magic, version, length of the header
constexpr size_t header_limit = 4096;

std::string header(at::IntArrayRef shape) {
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i) text += concat(i ? ", " : "", shape[i]);
  text += shape.size() == 1 ? ",), }" : "), }";
  // The numbers begin at a multiple of 64, and the header ends with a new line.
  text.append(63 - (prefix + text.size()) % 64, ' ');
  return text + '\n';
}

std::vector<int64_t> parse_shape(const std::string& text) {
  std::vector<int64_t> shape;
  for (const auto& part : split(text, ",")) {
    const size_t first = part.find_first_not_of(' ');
    if (first == std::string::npos) continue;
    const std::string digits = part.substr(first);
    if (digits.size() > 18) fail("its shape (", text, ") is too large");
    shape.push_back(std::stoll(digits));
  }
  if (shape.size() > 16) fail("its shape has ", shape.size(), " dimensions");
  return shape;
}

at::Tensor read(std::string_view bytes) {
  if (bytes.size() < prefix || bytes.substr(0, magic.size()) != magic) fail("this is no .npy file");
  if (bytes[6] != 1) fail("version ", int(bytes[6]), " of the format; version 1 is read");
  const size_t length = static_cast<unsigned char>(bytes[8]) | size_t(static_cast<unsigned char>(bytes[9])) << 8;
  if (length > header_limit || length > bytes.size() - prefix) fail("its header of ", length, " bytes does not fit");
  const std::string text(bytes.substr(prefix, length));
  static const std::regex form(
      R"(\{'descr': '([^']*)', 'fortran_order': (True|False), 'shape': \(([0-9, ]*)\),? ?\}\s*)");
  std::smatch match;
  if (!std::regex_match(text, match, form)) fail("its header is not as numpy.save() writes it");
  if (match[1] != "<f4") fail("its numbers are '", match[1], "'; little-endian float32 ('<f4') is read");
  if (match[2] == "True") fail("it is in Fortran order; C order is read");
  const std::vector<int64_t> shape = parse_shape(match[3]);
  const uint64_t available = (bytes.size() - prefix - length) / sizeof(float);
  uint64_t count = 1;
  bool empty = false;
  for (const int64_t size : shape) empty = empty || size == 0;
  for (const int64_t size : shape) {
    if (empty) {
      count = 0;
      break;
    }
    if (static_cast<uint64_t>(size) > available / count) fail("its shape (", match[3], ") needs more numbers than it holds");
    count *= static_cast<uint64_t>(size);
  }
  if (prefix + length + count * sizeof(float) != bytes.size()) fail("it is longer than its shape (", match[3], ") says");
  at::Tensor out = at::empty(shape, at::kFloat);
  if (count > 0) std::memcpy(out.data_ptr<float>(), bytes.data() + prefix + length, count * sizeof(float));
  return out;
}

}  // namespace npy

void write_npy(const std::filesystem::path& file, const at::Tensor& tensor) {
  const at::Tensor values = tensor.detach().to(at::kCPU, at::kFloat).contiguous();
  const std::string header = npy::header(values.sizes());
  if (header.size() > std::numeric_limits<uint16_t>::max()) fail(file.string(), ": too many dimensions for a .npy file");
  write_file_atomically(file, [&](std::ostream& out) {
    out << npy::magic << '\1' << '\0' << static_cast<char>(header.size() & 0xff) << static_cast<char>(header.size() >> 8) << header;
    out.write(static_cast<const char*>(values.data_ptr()), static_cast<std::streamsize>(values.nbytes()));
  });
}

at::Tensor read_npy(const std::filesystem::path& file) {
  const MappedFile mapping(file);
  return with_context(file.string(), [&] { return npy::read(mapping.bytes()); });
}

}  // namespace vlm
