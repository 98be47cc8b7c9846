#include "vlm/io/zip_archive.h"

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace zip_archive {

constexpr uint64_t end_size = 22, end64_size = 56, locator_size = 20, central_size = 46, local_size = 30;
constexpr uint32_t end_mark = 0x06054b50, end64_mark = 0x06064b50, locator_mark = 0x07064b50, central_mark = 0x02014b50,
                   local_mark = 0x04034b50;
constexpr uint32_t full32 = 0xFFFFFFFF;
constexpr uint16_t full16 = 0xFFFF;

/// Little-endian; the caller has made sure that the bytes are there.
template <class T>
T number(std::string_view bytes, uint64_t at) {
  T value = 0;
  for (size_t i = sizeof(T); i-- > 0;) value = static_cast<T>(value << 8 | static_cast<unsigned char>(bytes[at + i]));
  return value;
}
template <>
uint8_t number<uint8_t>(std::string_view bytes, uint64_t at) {
  return static_cast<uint8_t>(bytes[at]);
}

/// The end record: the one whose comment ends with the file.
uint64_t find_end(std::string_view bytes) {
  if (bytes.size() < end_size) fail("not a whole ZIP archive: only ", bytes.size(), " bytes (an interrupted download?)");
  for (uint64_t comment = 0; comment <= full16 && comment + end_size <= bytes.size(); ++comment) {
    const uint64_t at = bytes.size() - end_size - comment;
    if (number<uint32_t>(bytes, at) == end_mark && number<uint16_t>(bytes, at + 20) == comment) return at;
  }
  fail("the ZIP archive has no end record (an interrupted download?)");
}

/// Fields that are full in the 32-bit record stand in the extra field 1, in this order, and only those.
struct Extra64 {
  std::string_view bytes;
  uint64_t at = 0;
  uint64_t take(const std::string& name) {
    if (at + 8 > bytes.size()) fail("the archive's entry '", name, "' lacks its 64-bit size or place");
    at += 8;
    return number<uint64_t>(bytes, at - 8);
  }
};

std::string_view find_extra64(std::string_view extra, const std::string& name) {
  for (uint64_t at = 0; at + 4 <= extra.size();) {
    const uint64_t size = number<uint16_t>(extra, at + 2);
    if (at + 4 + size > extra.size()) fail("the archive's entry '", name, "' has an extra field that is cut short");
    if (number<uint16_t>(extra, at) == 1) return extra.substr(at + 4, size);
    at += 4 + size;
  }
  return {};
}

void check_name(const std::string& name) {
  if (name.empty() || name[0] == '/' || name.find('\\') != std::string::npos || name.find("..") != std::string::npos ||
      name.find('\0') != std::string::npos) {
    fail("the archive has an entry with the forbidden name '", name.substr(0, 200), "'");
  }
}

}  // namespace zip_archive

StoredZip::StoredZip(std::string_view bytes) : bytes_(bytes) {
  using namespace zip_archive;
  const uint64_t end = find_end(bytes);
  const auto disk = number<uint16_t>(bytes, end + 4);
  uint64_t count = number<uint16_t>(bytes, end + 10), size = number<uint32_t>(bytes, end + 12),
           begin = number<uint32_t>(bytes, end + 16);
  uint64_t limit = end;
  if (end >= locator_size && number<uint32_t>(bytes, end - locator_size) == locator_mark) {
    const uint64_t at = number<uint64_t>(bytes, end - locator_size + 8);
    if (at > end - locator_size || end - locator_size - at < end64_size || number<uint32_t>(bytes, at) != end64_mark) {
      fail("the ZIP archive's 64-bit end record is not where it should be");
    }
    const uint64_t count64 = number<uint64_t>(bytes, at + 32), size64 = number<uint64_t>(bytes, at + 40),
                   begin64 = number<uint64_t>(bytes, at + 48);
    if ((count != full16 && count != count64) || (size != full32 && size != size64) ||
        (begin != full32 && begin != begin64)) {
      fail("the ZIP archive's two end records contradict each other");
    }
    count = count64, size = size64, begin = begin64, limit = at;
  } else if (disk != 0) {
    fail("the ZIP archive is one part of several");
  }
  if (begin > limit || size > limit - begin)
    fail("the ZIP archive's directory reaches past its end record (an interrupted download?)");
  read_directory(begin, size, count);
}

void StoredZip::read_directory(uint64_t begin, uint64_t size, uint64_t count) {
  using namespace zip_archive;
  directory_ = begin;
  if (count > size / central_size)
    fail("the ZIP archive claims ", count, " entries, its directory has room for ", size / central_size);
  const std::string_view directory = bytes_.substr(begin, size);
  uint64_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    if (size - at < central_size || number<uint32_t>(directory, at) != central_mark)
      fail("the ZIP archive's directory is damaged at entry ", i);
    const auto flags = number<uint16_t>(directory, at + 8);
    const uint64_t name_size = number<uint16_t>(directory, at + 28), extra_size = number<uint16_t>(directory, at + 30);
    const uint64_t comment_size = number<uint16_t>(directory, at + 32);
    if (size - at - central_size < name_size + extra_size + comment_size)
      fail("the ZIP archive's directory is cut short at entry ", i);
    const std::string name(directory.substr(at + central_size, name_size));
    check_name(name);
    if (flags & 1) fail("the archive's entry '", name, "' is encrypted");
    Entry entry;
    entry.method = number<uint16_t>(directory, at + 10);
    uint64_t unpacked = number<uint32_t>(directory, at + 24);
    entry.size = number<uint32_t>(directory, at + 20);
    entry.header = number<uint32_t>(directory, at + 42);
    Extra64 extra{find_extra64(directory.substr(at + central_size + name_size, extra_size), name)};
    if (unpacked == full32) unpacked = extra.take(name);
    if (entry.size == full32) entry.size = extra.take(name);
    if (entry.header == full32) entry.header = extra.take(name);
    if (entry.method == 0 && unpacked != entry.size)
      fail("the archive's entry '", name, "' has two sizes, ", entry.size, " and ", unpacked);
    if (entry.header > directory_ || entry.size > directory_ - entry.header) {
      fail("the archive's entry '", name, "' reaches past the archive's data (an interrupted download?)");
    }
    if (!entries_.emplace(name, entry).second) fail("the archive has two entries named '", name, "'");
    at += central_size + name_size + extra_size + comment_size;
  }
  if (at != size) fail("the ZIP archive's directory has ", size - at, " bytes that belong to no entry");
}

std::string_view StoredZip::read(std::string_view name) const {
  using namespace zip_archive;
  const auto it = entries_.find(name);
  if (it == entries_.end()) fail("the archive has no entry '", name, "'");
  const Entry& entry = it->second;
  if (entry.method != 0)
    fail("the archive's entry '", name, "' is compressed (method ", entry.method,
         "); PyTorch stores its entries as they are");
  if (directory_ - entry.header < local_size || number<uint32_t>(bytes_, entry.header) != local_mark) {
    fail("the archive's entry '", name, "' does not begin where the directory says");
  }
  const uint64_t name_size = number<uint16_t>(bytes_, entry.header + 26),
                 extra_size = number<uint16_t>(bytes_, entry.header + 28);
  const uint64_t begin = entry.header + local_size + name_size + extra_size;
  if (begin > directory_ || entry.size > directory_ - begin)
    fail("the archive's entry '", name, "' reaches past the archive's data");
  if (bytes_.substr(entry.header + local_size, name_size) != name)
    fail("the archive's entry '", name, "' bears another name in its own header");
  if (number<uint16_t>(bytes_, entry.header + 8) != 0)
    fail("the archive's entry '", name, "' is compressed according to its own header");
  return bytes_.substr(begin, entry.size);
}

}  // namespace vlm
