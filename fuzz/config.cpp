// Any text as a recipe, its first line as an override: taken, or refused with an Error.

#include "vlm/core/config.h"

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"

namespace vlm::fuzz {

struct InnerOptions {
  std::vector<int64_t> sizes;
  std::vector<std::string> words;
  void fields(Fields& f) {
    f.field("sizes", sizes, "whole numbers");
    f.field("words", words, "texts");
  }
};

struct OuterOptions {
  bool flag = false;
  int64_t count = 0;
  double rate = 0;
  std::string name;
  InnerOptions inner;
  void fields(Fields& f) {
    f.field("flag", flag, "yes or no");
    f.field("count", count, "a whole number");
    f.field("rate", rate, "a number");
    f.field("name", name, "a text");
    f.field("inner", inner, "a section");
  }
};

}  // namespace vlm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    vlm::Config config = vlm::Config::parse(text, "recipe");
    (void)config.to_json();
    config.override_with({text.substr(0, text.find('\n'))});
    vlm::fuzz::OuterOptions options;
    config.read(options);
  } catch (const vlm::Error&) {
  }
  return 0;
}
