#pragma once
/// Tokens that a tokenizer cuts out of a text before anything is done to it: specials, and pieces added to a vocabulary.

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vlm {

struct AddedToken {
  std::string content;
  int64_t id = -1;
  bool special = true;  ///< left out of captions
  bool lstrip = false;  ///< takes the white space before it along
  bool rstrip = false;  ///< takes the white space behind it along
};

class AddedTokens {
 public:
  /// A token that is there already is replaced.
  void add(const AddedToken& token);
  const AddedToken* by_id(int64_t id) const;
  const AddedToken* by_content(std::string_view content) const;
  bool empty() const { return tokens_.empty(); }
  /// The largest id; -1 if there is none.
  int64_t largest_id() const { return by_id_.empty() ? -1 : by_id_.rbegin()->first; }

  /// A stretch of ordinary text (id -1), or one token.
  struct Segment {
    std::string_view text;
    int64_t id = -1;
  };
  /// From the left, the longest token first; segments of ordinary text are not empty.
  std::vector<Segment> split(std::string_view text) const;

 private:
  std::vector<AddedToken> tokens_;
  std::unordered_map<std::string, size_t> by_content_;
  std::map<int64_t, size_t> by_id_;
  std::set<size_t> lengths_;
  bool first_bytes_[256] = {};
};

/// What a model folder says about added tokens: "added_tokens_decoder" of tokenizer_config.json, else added_tokens.json. A
/// file that is not there says nothing. Throws if one is malformed.
std::vector<AddedToken> read_added_tokens(const std::filesystem::path& folder);

/// The token that tokenizer_config.json or special_tokens_map.json names for a role ("pad_token"); "" if none does.
std::string named_special(const std::filesystem::path& folder, const std::string& role);

}  // namespace vlm
