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
/// One JSON value on standard output, indented.
void print_json(const nlohmann::ordered_json& value);
/// Lines of a text file without empty ones; throws if it cannot be read.
std::vector<std::string> read_lines(const std::string& file);

}  // namespace vlm::apps
