#include "vlm/data/line_index.h"

#include <algorithm>
#include <cstring>

#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace line_index {

constexpr uint64_t longest_line = uint64_t(512) << 20;

uint64_t u64_at(std::string_view bytes, size_t at) {
  uint64_t value = 0;
  for (size_t i = 8; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

void put_u64(std::string& out, uint64_t value) {
  for (int i = 0; i < 8; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

}  // namespace line_index

LineFile::LineFile(const fs::path& file, bool keep_index) : file_(file), bytes_(open_file_bytes(file)) {
  const fs::path index = file.string() + ".idx";
  if (keep_index && take_index(index)) return;
  make_index();
  if (!keep_index) return;
  std::string content;
  content.reserve(8 * (starts_.size() + 1));
  line_index::put_u64(content, starts_.size());
  for (const uint64_t start : starts_) line_index::put_u64(content, start);
  try {
    write_file_atomically(index, content);
  } catch (const Error&) {
    // No permission or no room here: an index only saves time.
  }
}

void LineFile::make_index() {
  std::string chunk(std::min<uint64_t>(4 << 20, bytes_->size()), '\0');
  bool at_start = true;
  for (uint64_t at = 0; at < bytes_->size();) {
    const size_t got = bytes_->read_at(at, chunk.data(), chunk.size());
    if (got == 0) break;
    for (size_t i = 0; i < got;) {
      if (at_start) starts_.push_back(at + i);
      const void* end = std::memchr(chunk.data() + i, '\n', got - i);
      at_start = end != nullptr;
      i = end ? static_cast<size_t>(static_cast<const char*>(end) - chunk.data()) + 1 : got;
    }
    at += got;
  }
}

bool LineFile::take_index(const fs::path& index) {
  std::error_code error;
  if (!fs::is_regular_file(index, error)) return false;
  const auto made = fs::last_write_time(index, error), changed = fs::last_write_time(file_, error);
  if (error || made < changed) return false;
  std::string content;
  try {
    content = read_file(index, 8 * (bytes_->size() + 2));
  } catch (const Error&) {
    return false;
  }
  if (content.size() < 8 || content.size() % 8 != 0 || line_index::u64_at(content, 0) != content.size() / 8 - 1)
    return false;
  std::vector<uint64_t> starts(content.size() / 8 - 1);
  for (size_t i = 0; i < starts.size(); ++i) {
    starts[i] = line_index::u64_at(content, 8 * (i + 1));
    if (i == 0 ? starts[i] != 0 : starts[i] <= starts[i - 1]) return false;
  }
  if (starts.empty() != (bytes_->size() == 0) || (!starts.empty() && starts.back() >= bytes_->size())) return false;
  // An index of another file of the same name rarely fits at both ends and in the middle.
  for (const size_t i : {size_t(1), starts.size() / 2, starts.size() - 1}) {
    char before = '\n';
    if (i > 0 && i < starts.size()) bytes_->read_at(starts[i] - 1, &before, 1);
    if (before != '\n') return false;
  }
  starts_ = std::move(starts);
  if (starts_.empty()) return true;
  try {
    line(size() - 1);
    return true;
  } catch (const Error&) {
    starts_.clear();
    return false;
  }
}

std::string LineFile::line(int64_t number) const {
  const auto i = static_cast<size_t>(number);
  const uint64_t begin = starts_.at(i), end = i + 1 < starts_.size() ? starts_[i + 1] : bytes_->size();
  if (end - begin > line_index::longest_line)
    fail(file_.string(), ": line ", number + 1, " is ", end - begin, " bytes long; at most ", line_index::longest_line,
         " are read");
  std::string text(end - begin, '\0');
  if (bytes_->read_at(begin, text.data(), text.size()) != text.size())
    fail(file_.string(), " has become shorter since it was opened");
  if (!text.empty() && text.back() == '\n') text.pop_back();
  if (text.find('\n') != std::string::npos)
    fail(file_.string(), " has changed since its lines were found; remove ", file_.string(), ".idx if it is there");
  if (!text.empty() && text.back() == '\r') text.pop_back();
  return text;
}

}  // namespace vlm
