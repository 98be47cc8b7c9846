#pragma once
/// What a model wrote.

#include <cstdint>
#include <string>
#include <vector>

namespace vlm {

struct GeneratedText {
  std::string text;
  std::vector<int64_t> ids;  ///< without start, end and padding
  double score = 0;          ///< larger is better; see the search that wrote it
};

}  // namespace vlm
