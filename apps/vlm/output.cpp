#include "output.h"

#include <cstdio>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/unicode.h"

namespace vlm::apps {

namespace table {

size_t width_of(const std::string& text) { return decode_utf8(text).size(); }

bool is_number(const std::string& text) { return !text.empty() && text.find_first_not_of("0123456789.,-+% ") == std::string::npos; }

}  // namespace table

void print_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], table::width_of(row[i]));
  }
  for (const auto& row : rows) {
    std::string line;
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string fill(widths[i] - table::width_of(row[i]), ' ');
      const bool right = i > 0 && rows.size() > 1 && table::is_number(rows[1].size() > i ? rows[1][i] : row[i]);
      line += (i ? "  " : "") + (right ? fill + row[i] : row[i] + fill);
    }
    while (!line.empty() && line.back() == ' ') line.pop_back();
    std::puts(line.c_str());
  }
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

std::string printable(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_code_point(text, at);
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
    out += control ? "?" : text.substr(begin, at - begin);
  }
  return out;
}

void print_json(const nlohmann::ordered_json& value) {
  std::puts(value.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

std::vector<std::string> read_lines(const std::string& file) {
  std::vector<std::string> out;
  for (const auto& line : split(read_file(file, 100'000'000), "\n")) {
    const std::string text(strip(line));
    if (!text.empty()) out.push_back(text);
  }
  if (out.empty()) fail_usage(file, " holds no line with text");
  return out;
}

void JsonLines::write(const nlohmann::ordered_json& value) {
  if (!file_.empty()) text_ += value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

void JsonLines::close() {
  if (!file_.empty()) write_file_atomically(file_, text_);
}

}  // namespace vlm::apps
