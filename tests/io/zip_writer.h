#pragma once
/// ZIP archives as torch.save writes them, and pickles by hand, for tests.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace vlm::testing {

inline std::string little(uint64_t value, size_t bytes) {
  std::string out;
  for (size_t i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i));
  return out;
}

struct ZipEntry {
  std::string name, content;
  uint16_t method = 0, flags = 0;
};

inline std::string zip_of(const std::vector<ZipEntry>& entries) {
  std::string out, directory;
  for (const auto& entry : entries) {
    const std::string sizes = little(0, 4) + little(entry.content.size(), 4) + little(entry.content.size(), 4);
    const std::string common =
        little(entry.flags, 2) + little(entry.method, 2) + little(0, 4) + sizes + little(entry.name.size(), 2);
    const size_t header = out.size();
    // An extra field puts the data on a multiple of 64, as PyTorch does.
    const size_t padding = (64 - (out.size() + 34 + entry.name.size()) % 64) % 64;
    out += "PK\x03\x04" + little(20, 2) + common + little(padding + 4, 2) + entry.name + "FB" + little(padding, 2) +
           std::string(padding, 'Z') + entry.content;
    directory += "PK\x01\x02" + little(20, 2) + little(20, 2) + common + little(0, 2) + little(0, 2) + little(0, 2) +
                 little(0, 2) + little(0, 4) + little(header, 4) + entry.name;
  }
  const size_t begin = out.size();
  return out + directory + "PK\x05\x06" + little(0, 4) + little(entries.size(), 2) + little(entries.size(), 2) +
         little(directory.size(), 4) + little(begin, 4) + little(0, 2);
}

inline std::string text(const std::string& value) { return "X" + little(value.size(), 4) + value; }
inline std::string whole(int64_t value) { return "\x8a\x08" + little(static_cast<uint64_t>(value), 8); }
inline std::string whole_list(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += whole(value);
  return out + "t";
}

struct PickledTensor {
  std::string storage = "FloatStorage", key = "0";
  int64_t numel = 0, offset = 0;
  std::vector<int64_t> size, stride;
};

/// The opcodes that leave a tensor on the stack.
inline std::string pickled(const PickledTensor& t) {
  return "ctorch._utils\n_rebuild_tensor_v2\n((" + text("storage") + "ctorch\n" + t.storage + "\n" + text(t.key) +
         text("cpu") + whole(t.numel) + "tQ" + whole(t.offset) + whole_list(t.size) + whole_list(t.stride) + "\x89" +
         "ccollections\nOrderedDict\n)RtR";
}

/// A checkpoint whose object these opcodes leave on the stack.
inline std::string checkpoint_of(const std::string& opcodes,
                                 const std::vector<std::pair<std::string, std::string>>& storages = {}) {
  std::vector<ZipEntry> entries = {
      {"archive/data.pkl", "\x80\x02" + opcodes + "."}, {"archive/byteorder", "little"}, {"archive/version", "3\n"}};
  for (const auto& [key, bytes] : storages) entries.push_back({"archive/data/" + key, bytes});
  return zip_of(entries);
}

}  // namespace vlm::testing
