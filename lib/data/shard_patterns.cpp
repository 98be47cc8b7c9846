#include "vlm/data/shard_patterns.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <regex>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace fs = std::filesystem;

namespace shard_patterns {

using Names = std::vector<std::string>;
constexpr size_t most_names = 10'000'000;

[[noreturn]] void refuse(const std::string& pattern, const std::string& why) {
  fail_usage("the pattern '", pattern, "' ", why);
}

/// Every name of `left` followed by every name of `right`, the right one changing fastest.
Names product(const std::string& whole, const Names& left, const Names& right) {
  if (left.size() * right.size() > most_names) refuse(whole, concat("stands for more than ", most_names, " names"));
  Names out;
  out.reserve(left.size() * right.size());
  for (const auto& l : left) {
    for (const auto& r : right) out.push_back(l + r);
  }
  return out;
}

int64_t to_number(const std::string& whole, const std::string& digits) {
  if (digits.size() > 18) refuse(whole, "has a number that is too large: " + digits);
  return std::stoll(digits);
}

/// `from`, then on towards `to` by `step`, as long as it is not passed.
std::vector<int64_t> steps(const std::string& whole, int64_t from, int64_t to, int64_t step) {
  step = std::max<int64_t>(std::abs(step), 1);
  const int64_t count = std::abs(to - from) / step + 1;
  if (count > static_cast<int64_t>(most_names)) refuse(whole, concat("stands for more than ", most_names, " names"));
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(from < to ? from + i * step : from - i * step);
  return out;
}

bool has_leading_zero(const std::string& number) {
  const std::string digits = number[0] == '-' ? number.substr(1) : number;
  return digits.size() > 1 && digits[0] == '0';
}

std::string padded(int64_t number, size_t width) {
  std::string digits = std::to_string(std::abs(number));
  const size_t sign = number < 0 ? 1 : 0;
  if (digits.size() + sign < width) digits.insert(0, width - sign - digits.size(), '0');
  return (sign ? "-" : "") + digits;
}

/// What stands between two braces, if it is a range.
std::optional<Names> range(const std::string& whole, const std::string& content) {
  static const std::regex numbers(R"((-?[0-9]+)\.\.(-?[0-9]+)(?:\.\.(-?[0-9]+))?)");
  static const std::regex letters(R"(([A-Za-z])\.\.([A-Za-z])(?:\.\.(-?[0-9]+))?)");
  // A regular expression on a long text would recurse deeply, and no range is that long.
  if (content.size() > 80) return std::nullopt;
  std::smatch match;
  Names out;
  if (std::regex_match(content, match, numbers)) {
    const std::string from = match[1], to = match[2];
    const size_t width = has_leading_zero(from) || has_leading_zero(to) ? std::max(from.size(), to.size()) : 0;
    const int64_t step = match[3].matched ? to_number(whole, match[3]) : 1;
    for (const int64_t n : steps(whole, to_number(whole, from), to_number(whole, to), step)) out.push_back(padded(n, width));
    return out;
  }
  if (std::regex_match(content, match, letters)) {
    static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const int64_t step = match[3].matched ? to_number(whole, match[3]) : 1;
    const auto place = [](const std::string& letter) { return static_cast<int64_t>(alphabet.find(letter)); };
    for (const int64_t n : steps(whole, place(match[1]), place(match[2]), step))
      out.emplace_back(1, alphabet[static_cast<size_t>(n)]);
    return out;
  }
  return std::nullopt;
}

/// Index of the brace that closes the one at `open`; fills the places of the commas in between that belong to it.
size_t closing(const std::string& whole, const std::string& text, size_t open, std::vector<size_t>& commas) {
  int depth = 0;
  for (size_t i = open; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '{') {
      ++depth;
    } else if (text[i] == '}') {
      if (--depth == 0) return i;
    } else if (text[i] == ',' && depth == 1) {
      commas.push_back(i);
    }
  }
  refuse(whole, "has a '{' without its '}'");
}

Names expand(const std::string& whole, const std::string& text, int depth) {
  if (depth > 100) refuse(whole, "nests its braces too deeply");
  Names names = {""};
  std::string plain;
  const auto flush = [&] {
    for (auto& name : names) name += plain;
    plain.clear();
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      plain += text[++i];
    } else if (text[i] == '}') {
      refuse(whole, "has a '}' without its '{'");
    } else if (text[i] != '{') {
      plain += text[i];
    } else {
      flush();
      std::vector<size_t> commas;
      const size_t close = closing(whole, text, i, commas);
      const std::string content = text.substr(i + 1, close - i - 1);
      if (!commas.empty()) {
        Names alternatives;
        size_t begin = i + 1;
        commas.push_back(close);
        for (const size_t end : commas) {
          const Names part = expand(whole, text.substr(begin, end - begin), depth + 1);
          alternatives.insert(alternatives.end(), part.begin(), part.end());
          begin = end + 1;
        }
        names = product(whole, names, alternatives);
      } else if (const auto numbers = range(whole, content)) {
        names = product(whole, names, *numbers);
      } else {
        Names inner = expand(whole, content, depth + 1);
        for (auto& name : inner) name = "{" + name + "}";
        names = product(whole, names, inner);
      }
      i = close;
    }
  }
  flush();
  return names;
}

std::string replace_variables(const std::string& pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size();) {
    size_t end = i + 2;
    while (end < pattern.size() && (std::isalnum(static_cast<unsigned char>(pattern[end])) || pattern[end] == '_')) ++end;
    if (pattern.compare(i, 2, "${") != 0 || end == i + 2 || end >= pattern.size() || pattern[end] != '}') {
      out += pattern[i++];
      continue;
    }
    const std::string variable = "WDS_" + pattern.substr(i + 2, end - i - 2);
    const char* value = std::getenv(variable.c_str());
    if (!value) fail_usage("'", pattern, "' needs the environment variable ", variable, ", which is not set");
    out += value;
    i = end + 1;
  }
  return out;
}

void add_list(std::vector<ShardFile>& shards, const fs::path& list, int64_t part) {
  std::string content;
  try {
    content = read_file(list);
  } catch (const Error& error) {
    fail_usage("the list of shards: ", error.what());
  }
  for (const auto& line : split(content, "\n")) {
    const std::string path(strip(line));
    if (!path.empty() && path[0] != '#') shards.push_back({list.parent_path() / path, part});
  }
}

void add_folder(std::vector<ShardFile>& shards, const fs::path& folder, int64_t part) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink)) {
    if (entry.path().extension() == ".tar" && entry.is_regular_file())
      names.push_back(entry.path().lexically_relative(folder).generic_string());
  }
  if (names.empty()) fail_usage("there is no *.tar in the folder ", folder.string());
  std::sort(names.begin(), names.end());
  for (const auto& name : names) shards.push_back({folder / name, part});
}

}  // namespace shard_patterns

std::vector<std::string> expand_braces(const std::string& pattern) { return shard_patterns::expand(pattern, pattern, 0); }

std::vector<ShardFile> list_shards(const std::string& pattern) {
  std::vector<ShardFile> shards;
  int64_t part = 0;
  for (const auto& piece : split(pattern, "::")) {
    if (piece.empty()) fail_usage("'", pattern, "' has an empty part; parts are joined by '::'");
    for (const auto& name : expand_braces(shard_patterns::replace_variables(piece))) {
      if (fs::is_directory(name)) {
        shard_patterns::add_folder(shards, name, part);
      } else if (ends_with(name, ".txt")) {
        shard_patterns::add_list(shards, name, part);
      } else {
        shards.push_back({name, part});
      }
    }
    ++part;
  }
  if (shards.empty()) fail_usage("'", pattern, "' names no shards");
  return shards;
}

}  // namespace vlm
