#pragma once
/// What subcommands print: tables for people, JSON for machines.

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace vlm::apps {

/// Columns lined up; the first row is the heading. Numbers are set to the right.
void print_table(const std::vector<std::vector<std::string>>& rows);
/// "12.3 %" of a share.
std::string percent(double share);
/// Text of strangers (names out of files) for a terminal: control characters become '?'.
std::string printable(std::string_view text);
/// One JSON value on standard output, indented.
void print_json(const nlohmann::ordered_json& value);
/// Lines of a text file without empty ones; throws if it cannot be read.
std::vector<std::string> read_lines(const std::string& file);

/// Results per sample, one JSON value a line, in a file that appears whole when it is closed. No file for an empty name.
class JsonLines {
 public:
  explicit JsonLines(std::string file) : file_(std::move(file)) {}
  void write(const nlohmann::ordered_json& value);
  void close();

 private:
  std::string file_, text_;
};

}  // namespace vlm::apps
