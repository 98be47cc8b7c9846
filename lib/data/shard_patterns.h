#pragma once
/// How shards are named (specs: data, 2.1).

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vlm {

/// Brace expansion as shells do it: {a..b}, {a..b..step}, {x,y,z}, nested, several groups multiply; a backslash makes the
/// next character plain. Throws a usage error on unbalanced braces and on more than ten million names.
std::vector<std::string> expand_braces(const std::string& pattern);

struct ShardFile {
  std::filesystem::path path;
  int64_t part = 0;  ///< which of the parts between '::' it comes from
};

/// All shards in the order written: parts joined by "::", each with ${NAME} replaced by the environment variable WDS_NAME
/// and braces expanded, then a tar, a .txt list (a path a line, '#' comments, relative to the list) or a folder (every *.tar
/// below it, by byte order of the relative path). Throws a usage error for an unset variable, a list that cannot be read or a
/// folder without shards; whether a tar is there shows when it is opened.
std::vector<ShardFile> list_shards(const std::string& pattern);

}  // namespace vlm
