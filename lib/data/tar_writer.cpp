#include "vlm/data/tar_writer.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace tar_writer {

constexpr uint64_t block = 512;

void put_octal(char* field, size_t width, uint64_t value) {
  std::snprintf(field, width, "%0*llo", static_cast<int>(width) - 1, static_cast<unsigned long long>(value));
}

std::string header_block(std::string_view prefix, std::string_view name, uint64_t size, char type) {
  std::string header(block, '\0');
  char* h = header.data();
  std::memcpy(h, name.data(), std::min<size_t>(name.size(), 100));
  put_octal(h + 100, 8, 0644);
  put_octal(h + 108, 8, 0);
  put_octal(h + 116, 8, 0);
  put_octal(h + 124, 12, size);
  put_octal(h + 136, 12, 0);
  h[156] = type;
  std::memcpy(h + 257, "ustar\00000", 8);
  put_octal(h + 329, 8, 0);
  put_octal(h + 337, 8, 0);
  std::memcpy(h + 345, prefix.data(), std::min<size_t>(prefix.size(), 155));
  std::memset(h + 148, ' ', 8);
  unsigned sum = 0;
  for (const unsigned char c : header) sum += c;
  std::snprintf(h + 148, 7, "%06o", sum);
  return header;
}

/// "LENGTH key=value\n", where LENGTH counts the whole record, its own digits included.
std::string pax_record(const std::string& key, const std::string& value) {
  const size_t rest = key.size() + value.size() + 3;
  size_t length = rest + 1;
  while (rest + std::to_string(length).size() != length) length = rest + std::to_string(length).size();
  return std::to_string(length) + " " + key + "=" + value + "\n";
}

int rank(const std::string& ext) {
  static const std::map<std::string, int> order = {{"jpg", 0},  {"jpeg", 0}, {"png", 0}, {"webp", 0},
                                                   {"txt", 1}, {"json", 2}, {"cls", 3}};
  const auto it = order.find(ext);
  return it == order.end() ? 4 : it->second;
}

/// Readers pass over members whose first path component is "__…__".
bool is_metadata(const std::string& key) {
  const size_t slash = key.find('/');
  return slash != std::string::npos && slash >= 4 && starts_with(key, "__") && key.compare(slash - 2, 2, "__") == 0;
}

}  // namespace tar_writer

std::string tar_header(const std::string& path, uint64_t size) {
  using namespace tar_writer;
  constexpr uint64_t largest = 077777777777;
  std::string pax;
  if (size > largest) pax += pax_record("size", std::to_string(size));
  const uint64_t field_size = size > largest ? 0 : size;
  if (path.size() <= 100) {
    if (pax.empty()) return header_block("", path, field_size, '0');
  } else {
    // The split must leave at most 155 bytes before a slash and at most 100, but not none, after it.
    const size_t slash = path.find('/', path.size() - 101);
    if (pax.empty() && slash != std::string::npos && slash > 0 && slash <= 155 && slash + 1 < path.size()) {
      return header_block(std::string_view(path).substr(0, slash), std::string_view(path).substr(slash + 1), field_size, '0');
    }
    pax += pax_record("path", path);
  }
  const std::string base = path.substr(path.find_last_of('/') + 1).substr(0, 80);
  return header_block("", "PaxHeaders/" + base, pax.size(), 'x') + pax + tar_padding(pax.size()) +
         header_block("", path.substr(0, 100), field_size, '0');
}

std::string tar_padding(uint64_t size) {
  return std::string((tar_writer::block - size % tar_writer::block) % tar_writer::block, '\0');
}

std::string tar_end() { return std::string(2 * tar_writer::block, '\0'); }

std::string shard_key(std::string_view key) {
  std::string out(key);
  for (char& c : out) {
    const bool plain =
        (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '/' || c == '-';
    if (!plain) c = '_';
  }
  return out;
}

bool is_shard_name(std::string_view name, std::string_view prefix) {
  const size_t digits = prefix.size() + 1;
  return name.size() >= digits + 10 && starts_with(name, prefix) && name[prefix.size()] == '-' && ends_with(name, ".tar") &&
         name.find_first_not_of("0123456789", digits) == name.size() - 4;
}

ShardWriter::ShardWriter(std::filesystem::path folder, std::string prefix, int64_t samples_per_shard, uint64_t bytes_per_shard)
    : folder_(std::move(folder)), prefix_(std::move(prefix)), samples_per_shard_(samples_per_shard), bytes_per_shard_(bytes_per_shard) {
  if (samples_per_shard_ < 1) fail_usage("samples per shard must be at least 1, not ", samples_per_shard_);
  if (prefix_.empty() || prefix_.find('/') != std::string::npos)
    fail_usage("'", prefix_, "' cannot begin the names of shards");
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) fail("cannot make the folder ", folder_.string(), ": ", error.message());
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (is_shard_name(name, prefix_)) {
      fail_usage(folder_.string(), " already holds shards (", name,
                 "); choose another folder or prefix, or remove them first");
    }
  }
  spool_file_ = folder_ / concat(".", prefix_, ".", ::getpid(), ".spool.part");
  spool_.open(spool_file_, std::ios::binary | std::ios::in | std::ios::out | std::ios::trunc);
  if (!spool_) fail("cannot write in ", folder_.string(), ": ", std::strerror(errno));
}

ShardWriter::~ShardWriter() {
  spool_.close();
  std::error_code error;
  std::filesystem::remove(spool_file_, error);
}

void ShardWriter::add(const std::string& key, const std::vector<std::pair<std::string, std::string>>& members) {
  if (finished_) fail("a sample was added to shards that are finished");
  const std::string name = shard_key(key);
  if (name.empty() || name.back() == '/') fail("the key '", key, "' has no name after its last slash");
  if (tar_writer::is_metadata(name))
    fail("the key '", key, "' would be passed over as metadata; its folder must not be __…__");
  if (members.empty()) fail("the sample '", key, "' has no members");
  if (waiting_.count(name))
    fail("two samples have the key '", name, "'; give them names that differ in letters, digits, '_', '-' or '/'");
  std::set<std::string> seen;
  for (const auto& [ext, bytes] : members) {
    if (ext.empty() || ext.find('/') != std::string::npos || !seen.insert(ext).second)
      fail("the sample '", key, "' has a wrong or repeated member '", ext, "'");
  }
  auto& sample = waiting_[name];
  for (const auto& [ext, bytes] : members) {
    sample.push_back({ext, spool_size_, bytes.size()});
    spool_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    spool_size_ += bytes.size();
  }
  if (!spool_) fail("cannot write in ", folder_.string(), ": ", std::strerror(errno ? errno : EIO));
  ++samples_;
  const bool full = bytes_per_shard_ > 0 && spool_size_ >= bytes_per_shard_;
  if (full || static_cast<int64_t>(waiting_.size()) == samples_per_shard_) write_shard();
}

void ShardWriter::write_shard() {
  char number[32];
  std::snprintf(number, sizeof number, "-%06zu.tar", shards_.size());
  const auto file = folder_ / (prefix_ + number);
  spool_.flush();
  write_file_atomically(file, [&](std::ostream& out) {
    std::string bytes;
    for (auto& [key, members] : waiting_) {
      std::sort(members.begin(), members.end(), [](const Waiting& a, const Waiting& b) {
        return std::pair(tar_writer::rank(a.ext), a.ext) < std::pair(tar_writer::rank(b.ext), b.ext);
      });
      for (const auto& member : members) {
        bytes.resize(member.size);
        spool_.seekg(static_cast<std::streamoff>(member.offset));
        spool_.read(bytes.data(), static_cast<std::streamsize>(member.size));
        if (!spool_) fail("cannot read back ", spool_file_.string());
        out << tar_header(key + "." + member.ext, member.size) << bytes << tar_padding(member.size);
      }
    }
    out << tar_end();
  });
  shards_.push_back(file);
  sizes_.push_back(static_cast<int64_t>(waiting_.size()));
  waiting_.clear();
  spool_.seekp(0);
  spool_size_ = 0;
}

void ShardWriter::finish() {
  if (finished_) return;
  if (!waiting_.empty()) write_shard();
  finished_ = true;
  const auto file = folder_ / "sizes.json";
  auto sizes = nlohmann::json::object();
  if (std::filesystem::exists(file)) {
    const auto there = nlohmann::json::parse(read_file(file), nullptr, false);
    if (!there.is_object()) fail(file.string(), " is there already and is not a list of sizes; remove it first");
    // Entries whose shards are gone would make the sizes lie.
    for (const auto& [name, count] : there.items()) {
      if (std::filesystem::exists(folder_ / name)) sizes[name] = count;
    }
  }
  for (size_t i = 0; i < shards_.size(); ++i) sizes[shards_[i].filename().string()] = sizes_[i];
  write_file_atomically(file, sizes.dump(2) + "\n");
}

}  // namespace vlm
