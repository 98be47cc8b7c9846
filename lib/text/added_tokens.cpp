#include "vlm/text/added_tokens.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/text/bpe_vocabulary.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace added_token_files {

void check_id(int64_t id, const std::string& content, const std::filesystem::path& file) {
  if (id < 0 || id >= kLargestVocabulary) fail(file.string(), ": '", content, "' has id ", id);
}

/// {"30522": {"content": "[DEC]", "special": true, …}, …}
std::vector<AddedToken> from_decoder(const nlohmann::json& decoder, const std::filesystem::path& file) {
  std::vector<AddedToken> out;
  for (const auto& [key, value] : decoder.items()) {
    AddedToken token;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token.id);
    if (error != std::errc() || end != key.data() + key.size()) fail(file.string(), ": '", key, "' in added_tokens_decoder is not an id");
    token.content = value.at("content").get<std::string>();
    token.special = value.value("special", true);
    token.lstrip = value.value("lstrip", false);
    token.rstrip = value.value("rstrip", false);
    check_id(token.id, token.content, file);
    if (!token.content.empty()) out.push_back(token);
  }
  return out;
}

}  // namespace added_token_files

void AddedTokens::add(const AddedToken& token) {
  if (token.content.empty()) fail("an added token is empty");
  if (const auto old = by_content_.find(token.content); old != by_content_.end()) {
    by_id_.erase(tokens_[old->second].id);
    tokens_[old->second] = token;
    by_id_[token.id] = old->second;
    return;
  }
  by_content_[token.content] = tokens_.size();
  by_id_[token.id] = tokens_.size();
  lengths_.insert(token.content.size());
  first_bytes_[static_cast<unsigned char>(token.content[0])] = true;
  tokens_.push_back(token);
}

const AddedToken* AddedTokens::by_id(int64_t id) const {
  const auto it = by_id_.find(id);
  return it == by_id_.end() ? nullptr : &tokens_[it->second];
}

const AddedToken* AddedTokens::by_content(std::string_view content) const {
  const auto it = by_content_.find(std::string(content));
  return it == by_content_.end() ? nullptr : &tokens_[it->second];
}

std::vector<AddedTokens::Segment> AddedTokens::split(std::string_view text) const {
  std::vector<Segment> out;
  size_t begin = 0;
  const auto flush = [&](size_t end) {
    if (end > begin) out.push_back({text.substr(begin, end - begin), -1});
  };
  for (size_t at = 0; at < text.size();) {
    const AddedToken* found = nullptr;
    if (first_bytes_[static_cast<unsigned char>(text[at])]) {
      for (auto length = lengths_.rbegin(); length != lengths_.rend() && !found; ++length) {
        if (at + *length <= text.size()) found = by_content(text.substr(at, *length));
      }
    }
    if (!found) {
      ++at;
      continue;
    }
    size_t end = at;
    while (found->lstrip && end > begin && static_cast<unsigned char>(text[end - 1]) <= 0x20) --end;
    flush(end);
    out.push_back({text.substr(at, found->content.size()), found->id});
    at += found->content.size();
    while (found->rstrip && at < text.size() && static_cast<unsigned char>(text[at]) <= 0x20) ++at;
    begin = at;
  }
  flush(text.size());
  return out;
}

std::vector<AddedToken> read_added_tokens(const std::filesystem::path& folder) {
  const auto config = folder / "tokenizer_config.json", list = folder / "added_tokens.json";
  std::filesystem::path file = config;
  try {
    if (std::filesystem::exists(config)) {
      const auto json = read_json_object(config);
      if (json.contains("added_tokens_decoder")) return added_token_files::from_decoder(json["added_tokens_decoder"], config);
    }
    file = list;
    std::vector<AddedToken> out;
    if (std::filesystem::exists(list)) {
      const auto json = read_json_object(list);
      for (const auto& [content, id] : json.items()) {
        AddedToken token;
        token.content = content;
        token.id = id.get<int64_t>();
        added_token_files::check_id(token.id, content, list);
        if (!content.empty()) out.push_back(token);
      }
    }
    return out;
  } catch (const nlohmann::json::exception& error) {
    fail(file.string(), ": not the layout of added tokens: ", error.what());
  }
}

std::string named_special(const std::filesystem::path& folder, const std::string& role) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    if (!std::filesystem::exists(folder / name)) continue;
    const auto json = read_json_object(folder / name);
    if (!json.contains(role)) continue;
    const auto& value = json[role];
    if (value.is_string()) return value.get<std::string>();
    if (value.is_object() && value.contains("content") && value["content"].is_string()) return value["content"].get<std::string>();
  }
  return "";
}

}  // namespace vlm
