#pragma once
/// Small trees of made-up pictures for the tests of imports, and a reader for what imports write.

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "temporary_folder.h"
#include "vlm/data/image_encode.h"
#include "vlm/io/atomic_file.h"

namespace vlm::testing_pictures {

namespace fs = std::filesystem;

using testing::TemporaryFolder;

/// A PNG of two colors that depend on `seed`, so that pictures of different seeds differ.
inline std::string made_up_png(int height, int width, int seed, int channels = 4) {
  Image image(height, width, channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      uint8_t* pixel = image.row(y) + x * channels;
      for (int c = 0; c < channels; ++c) pixel[c] = static_cast<uint8_t>(c == 3 ? 255 : (x < width / 2 ? 10 + seed : 200 - seed) + 7 * c);
    }
  }
  return encode_png(image);
}

inline void put(const fs::path& file, const std::string& content) { write_file_atomically(file, content); }

/// An SVG that says this of itself.
inline std::string made_up_svg(const std::string& title, const std::string& keywords = "", const std::string& description = "",
                               const std::string& language = "en") {
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\"><metadata>"
         "<rdf:RDF xmlns:cc=\"http://web.resource.org/cc/\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" "
         "xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\"><cc:Work><dc:title>" + title + "</dc:title><dc:description>" +
         description + "</dc:description><dc:subject><rdf:Bag>" + keywords + "</rdf:Bag></dc:subject><dc:language>" + language +
         "</dc:language></cc:Work></rdf:RDF></metadata></svg>\n";
}

/// Members of all tar files in a folder by name ("key.ext"), in the order of their shards.
inline std::map<std::string, std::string> read_shards(const fs::path& folder) {
  std::map<std::string, std::string> members;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".tar") continue;
    const std::string tar = read_file(entry.path());
    for (size_t at = 0; at + 512 <= tar.size() && tar[at];) {
      const size_t size = std::strtoull(tar.substr(at + 124, 12).c_str(), nullptr, 8);
      members[std::string(tar.c_str() + at)] = tar.substr(at + 512, size);
      at += 512 + (size + 511) / 512 * 512;
    }
  }
  return members;
}

inline nlohmann::json read_json(const fs::path& file) { return nlohmann::json::parse(read_file(file)); }

/// Every file below a folder with its content: two sets are equal if these are.
inline std::map<std::string, std::string> read_tree(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder).string()] = read_file(entry.path());
  }
  return files;
}

}  // namespace vlm::testing_pictures
