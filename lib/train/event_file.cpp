#include "vlm/train/event_file.h"

#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/crc32c.h"

namespace vlm {

namespace event_file {

namespace fs = std::filesystem;

constexpr const char* prefix = "events.out.tfevents.";

template <class Integer>
void append_little_endian(std::string& out, Integer value) {
  for (size_t i = 0; i < sizeof(Integer); ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
}

/// Fields of a protocol buffer message, appended to `bytes`.
struct Message {
  std::string bytes;

  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
    bytes += static_cast<char>(value);
  }
  Message& integer(int field, int64_t value) {
    varint(static_cast<uint64_t>(field) << 3);
    varint(static_cast<uint64_t>(value));
    return *this;
  }
  Message& number(int field, double value) {
    varint(static_cast<uint64_t>(field) << 3 | 1);
    append_little_endian(bytes, std::bit_cast<uint64_t>(value));
    return *this;
  }
  Message& single(int field, float value) {
    varint(static_cast<uint64_t>(field) << 3 | 5);
    append_little_endian(bytes, std::bit_cast<uint32_t>(value));
    return *this;
  }
  Message& part(int field, std::string_view value) {
    varint(static_cast<uint64_t>(field) << 3 | 2);
    varint(value.size());
    bytes += value;
    return *this;
  }
};

double now() { return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count(); }

/// Event: wall_time = 1, step = 2.
Message event_at(int64_t step) { return Message().number(1, now()).integer(2, step); }

/// TensorBoard reads a folder's files in the order of their names, which begin with a time in seconds.
int64_t time_of_new_file(const fs::path& folder) {
  auto time = static_cast<int64_t>(now());
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!starts_with(name, prefix)) continue;
    const int64_t other = std::strtoll(name.c_str() + std::strlen(prefix), nullptr, 10);
    // A file far in the future is none of ours.
    if (other >= time && other < time + 1'000'000) time = other + 1;
  }
  return time;
}

}  // namespace event_file

uint32_t masked_crc32c(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

EventFile::EventFile(const std::filesystem::path& folder, int64_t first_step) {
  using namespace event_file;
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) fail("cannot make the folder ", folder.string(), ": ", error.message());
  char host[256] = "localhost", time[32];
  if (::gethostname(host, sizeof host - 1) != 0) std::strcpy(host, "localhost");
  static std::atomic<int> counter{0};
  std::snprintf(time, sizeof time, "%010lld", static_cast<long long>(time_of_new_file(folder)));
  file_ = folder / concat(prefix, time, ".", host, ".", ::getpid(), ".", counter++);
  out_.open(file_, std::ios::binary | std::ios::trunc);
  if (!out_) fail("cannot write ", file_.string(), ": ", std::strerror(errno));
  write(Message().number(1, now()).part(3, "brain.Event:2").bytes);                   // file_version = 3
  write(event_at(first_step).part(7, Message().integer(1, /*START=*/1).bytes).bytes);  // session_log = 7, status = 1
}

void EventFile::scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values) {
  using namespace event_file;
  if (values.empty()) return;
  Message summary;
  for (const auto& [tag, value] : values) summary.part(1, Message().part(1, tag).single(2, static_cast<float>(value)).bytes);
  write(event_at(step).part(5, summary.bytes).bytes);
}

void EventFile::text(int64_t step, const std::string& tag, const std::string& markdown) {
  using namespace event_file;
  // TensorProto: dtype = 1 (7 is DT_STRING), tensor_shape = 2 (empty: a scalar), string_val = 8.
  const Message tensor = Message().integer(1, 7).part(2, "").part(8, markdown);
  // SummaryMetadata: plugin_data = 1 (plugin_name = 1), data_class = 4 (2 is DATA_CLASS_TENSOR).
  const Message metadata = Message().part(1, Message().part(1, "text").bytes).integer(4, 2);
  const Message value = Message().part(1, tag).part(8, tensor.bytes).part(9, metadata.bytes);
  write(event_at(step).part(5, Message().part(1, value.bytes).bytes).bytes);
}

void EventFile::write(const std::string& event) {
  using namespace event_file;
  std::string record;
  append_little_endian(record, static_cast<uint64_t>(event.size()));
  append_little_endian(record, masked_crc32c(record));
  record += event;
  append_little_endian(record, masked_crc32c(event));
  out_.write(record.data(), static_cast<std::streamsize>(record.size()));
  out_.flush();
  if (!out_) fail("cannot write ", file_.string(), ": ", std::strerror(errno ? errno : EIO));
}

}  // namespace vlm
