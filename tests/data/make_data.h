#pragma once
/// Small data sets for the tests of this room.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "temporary_folder.h"
#include "vlm/data/tar_writer.h"

namespace vlm::test {

using testing::TemporaryFolder;

inline void write_bytes(const std::filesystem::path& file, const std::string& bytes) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << bytes;
}

/// A picture of one colour as a 24-bit BMP, which needs no encoder.
inline std::string bmp(int width, int height, uint8_t red, uint8_t green, uint8_t blue) {
  const int stride = (width * 3 + 3) / 4 * 4;
  std::string out = "BM";
  const auto put = [&out](uint32_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  };
  put(static_cast<uint32_t>(54 + stride * height), 4);
  put(0, 4);
  put(54, 4);
  put(40, 4);
  put(static_cast<uint32_t>(width), 4);
  put(static_cast<uint32_t>(height), 4);
  put(1, 2);
  put(24, 2);
  for (int i = 0; i < 6; ++i) put(i == 1 ? static_cast<uint32_t>(stride * height) : 0, 4);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) out += {static_cast<char>(blue), static_cast<char>(green), static_cast<char>(red)};
    out.append(static_cast<size_t>(stride - width * 3), '\0');
  }
  return out;
}

/// A tar of these members, ended properly.
inline std::string tar_of(const std::vector<std::pair<std::string, std::string>>& members) {
  std::string out;
  for (const auto& [path, bytes] : members) out += tar_header(path, bytes.size()) + bytes + tar_padding(bytes.size());
  return out + tar_end();
}

/// Shards "s-000000.tar" … of so many samples each; sample k has the key "k00012", the caption "caption 12" and a 2x2 picture
/// whose red is 12. Samples whose number is in `broken` have a picture that does not decode.
inline void make_shards(const std::filesystem::path& folder, const std::vector<int>& sizes,
                        const std::vector<int>& broken = {}) {
  int k = 0;
  for (size_t s = 0; s < sizes.size(); ++s) {
    std::vector<std::pair<std::string, std::string>> members;
    for (int i = 0; i < sizes[s]; ++i, ++k) {
      char key[16];
      std::snprintf(key, sizeof key, "k%05d", k);
      const bool bad = std::find(broken.begin(), broken.end(), k) != broken.end();
      members.emplace_back(std::string(key) + ".png", bad ? "no picture" : bmp(2, 2, static_cast<uint8_t>(k), 0, 0));
      members.emplace_back(std::string(key) + ".txt", "caption " + std::to_string(k));
      members.emplace_back(std::string(key) + ".cls", std::to_string(k % 10));
    }
    char name[32];
    std::snprintf(name, sizeof name, "s-%06zu.tar", s);
    write_bytes(folder / name, tar_of(members));
  }
}

}  // namespace vlm::test
