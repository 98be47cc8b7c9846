#include "vlm/text/tokenizer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/text/added_tokens.h"
#include "vlm/text/bpe_vocabulary.h"
#include "vlm/text/byte_bpe_tokenizer.h"
#include "vlm/text/sentencepiece_model.h"
#include "vlm/text/sentencepiece_tokenizer.h"

namespace vlm {

namespace tokenizer_json {

using Json = nlohmann::json;
using Path = std::filesystem::path;

/// A component, or the members of a sequence of them.
void flatten(const Json& component, int depth, std::vector<Json>& out) {
  if (!component.is_object() || depth > 8) return;
  if (component.value("type", "") != "Sequence") return out.push_back(component);
  for (const char* members : {"normalizers", "pretokenizers", "processors", "decoders"}) {
    if (!component.contains(members)) continue;
    for (const auto& member : component[members]) flatten(member, depth + 1, out);
  }
}

std::vector<Json> components(const Json& json, const char* key) {
  std::vector<Json> out;
  if (json.contains(key)) flatten(json[key], 0, out);
  return out;
}

const Json* find(const std::vector<Json>& list, const std::string& type) {
  for (const auto& component : list) {
    if (component.value("type", "") == type) return &component;
  }
  return nullptr;
}

[[noreturn]] void refuse(const Path& file, const char* key, const Json& component) {
  fail(file.string(), ": ", key, " '", component.value("type", "?"), "' ", component.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 200),
       " is not among those that this family of tokenizers has");
}

void only(const std::vector<Json>& list, std::initializer_list<const char*> known, const Path& file, const char* key) {
  for (const auto& component : list) {
    const std::string type = component.value("type", "");
    if (std::none_of(known.begin(), known.end(), [&](const char* name) { return type == name; })) refuse(file, key, component);
  }
}

std::vector<AddedToken> added_tokens(const Json& json, size_t pieces, const Path& file) {
  std::vector<AddedToken> out;
  const Json list = json.value("added_tokens", Json::array());
  for (const auto& item : list) {
    AddedToken token;
    token.content = item.at("content").get<std::string>();
    token.id = item.at("id").get<int64_t>();
    token.special = item.value("special", true);
    token.lstrip = item.value("lstrip", false);
    token.rstrip = item.value("rstrip", false);
    check_piece_id(token.id, token.content, pieces + list.size(), file);
    if (!token.content.empty()) out.push_back(token);
  }
  return out;
}

/// What the post-processor puts before and behind a text.
struct Ends {
  std::string bos, eos;
};

Ends ends_of(const Json& json) {
  Ends ends;
  for (const auto& processor : components(json, "post_processor")) {
    const std::string type = processor.value("type", "");
    if (type == "BertProcessing" || type == "RobertaProcessing") {
      ends = {processor.at("cls").at(0).get<std::string>(), processor.at("sep").at(0).get<std::string>()};
    } else if (type == "TemplateProcessing") {
      bool behind = false;
      for (const auto& part : processor.at("single")) {
        if (part.contains("Sequence")) behind = true;
        if (part.contains("SpecialToken")) (behind ? ends.eos : ends.bos) = part["SpecialToken"].at("id").get<std::string>();
      }
    }
  }
  return ends;
}

std::string pad_of(const Json& json, const Path& file) {
  if (json.contains("padding") && json["padding"].is_object()) return json["padding"].value("pad_token", "");
  return named_special(file.parent_path(), "pad_token");
}

/// Runs `body`; a key that is missing or of another type becomes an Error that names the file.
template <class Body>
auto reading(const Path& file, Body&& body) {
  try {
    return body();
  } catch (const Json::exception& error) {
    fail(file.string(), ": not the layout of a tokenizer: ", error.what());
  }
}

std::string from_base64(const std::string& text, const Path& file) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    if (c == '=') break;
    const int value = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (value < 0) fail(file.string(), ": precompiled_charsmap is not base64");
    bits = (bits << 6) | static_cast<uint32_t>(value);
    if ((count += 6) >= 8) out += static_cast<char>((bits >> (count -= 8)) & 0xFF);
  }
  return out;
}

/// A replacement's pattern, as it is written.
std::string pattern_of(const Json& replace) {
  const auto& pattern = replace.at("pattern");
  return pattern.contains("String") ? pattern["String"].get<std::string>() : pattern.at("Regex").get<std::string>();
}

constexpr char kSpace[] = "\xE2\x96\x81";  // U+2581

/// Normalizers and pre-tokenizers in terms of SentencePiece's own normalizer, and what has to be done before it.
void read_normalization(const Json& json, const Path& file, SentencePieceModel& model, SentencePieceOptions& options) {
  const auto normalizers = components(json, "normalizer"), splitters = components(json, "pre_tokenizer");
  only(normalizers, {"Precompiled", "Replace", "Strip", "Lowercase", "Prepend", "NFKC", "NFC"}, file, "normalizer");
  only(splitters, {"Metaspace", "WhitespaceSplit"}, file, "pre_tokenizer");
  bool lower = false;
  for (const auto& normalizer : normalizers) {
    const std::string type = normalizer["type"];
    if (type == "Precompiled") {
      model.charsmap = from_base64(normalizer.at("precompiled_charsmap").get<std::string>(), file);
    } else if (type == "Lowercase") {
      lower = true;
    } else if (type == "Strip") {
      model.remove_extra_white_space = true;
    } else if (type == "Prepend") {
      if (normalizer.at("prepend") != kSpace) refuse(file, "normalizer", normalizer);
      model.add_dummy_prefix = true;
    } else if (type == "Replace") {
      const std::string pattern = pattern_of(normalizer), content = normalizer.at("content");
      const bool runs = (pattern == " {2,}" || pattern == "\\s+" || pattern == " +") && (content == " " || content == kSpace);
      if (runs) model.remove_extra_white_space = true;
      if (!runs && !(pattern == " " && content == kSpace)) refuse(file, "normalizer", normalizer);
    }
  }
  if (lower) options.clean = TextClean::lower_only;
  if (find(splitters, "WhitespaceSplit")) model.remove_extra_white_space = true;
  if (const Json* metaspace = find(splitters, "Metaspace")) {
    if (metaspace->value("replacement", kSpace) != kSpace) refuse(file, "pre_tokenizer", *metaspace);
    model.add_dummy_prefix = metaspace->contains("prepend_scheme") ? (*metaspace)["prepend_scheme"] != "never" : metaspace->value("add_prefix_space", true);
  }
}

}  // namespace tokenizer_json

std::string tokenizer_json_family(const nlohmann::json& json, const std::filesystem::path& file) {
  return tokenizer_json::reading(file, [&]() -> std::string {
    const auto& model = json.at("model");
    // Files of some versions do not name the type; what they hold tells it.
    std::string type = model.value("type", "");
    if (type.empty()) type = model.contains("merges") ? "BPE" : model.contains("unk_id") ? "Unigram" : "WordPiece";
    if (type == "WordPiece") return "bert";
    if (type == "Unigram") return "sentencepiece";
    if (type != "BPE") fail(file.string(), ": a model of type ", type, "; known are BPE, WordPiece and Unigram");
    if (model.contains("end_of_word_suffix") && model["end_of_word_suffix"] == "</w>") return "hf_clip";
    const auto splitters = tokenizer_json::components(json, "pre_tokenizer"), decoders = tokenizer_json::components(json, "decoder");
    return tokenizer_json::find(splitters, "ByteLevel") || tokenizer_json::find(decoders, "ByteLevel") ? "byte_bpe" : "sentencepiece";
  });
}

WordPieceFile read_wordpiece_json(const nlohmann::json& json, const std::filesystem::path& file) {
  return tokenizer_json::reading(file, [&] {
    const auto& model = json.at("model");
    const auto normalizers = tokenizer_json::components(json, "normalizer");
    tokenizer_json::only(normalizers, {"BertNormalizer", "NFD", "Lowercase", "StripAccents"}, file, "normalizer");
    tokenizer_json::only(tokenizer_json::components(json, "pre_tokenizer"), {"BertPreTokenizer"}, file, "pre_tokenizer");
    WordPieceFile out;
    out.options.continuation = model.value("continuing_subword_prefix", "##");
    out.options.longest_word = model.value("max_input_chars_per_word", int64_t(100));
    out.options.lower_case = tokenizer_json::find(normalizers, "Lowercase") != nullptr;
    if (const auto* normalizer = tokenizer_json::find(normalizers, "BertNormalizer")) {
      out.options.lower_case = normalizer->value("lowercase", true);
      out.options.split_cjk = normalizer->value("handle_chinese_chars", true);
      const bool strips = normalizer->contains("strip_accents") && (*normalizer)["strip_accents"].is_boolean()
                              ? (*normalizer)["strip_accents"].get<bool>()
                              : out.options.lower_case;
      if (strips != out.options.lower_case) tokenizer_json::refuse(file, "normalizer", *normalizer);
    }
    BpeVocabulary vocabulary;
    for (const auto& [piece, id] : model.at("vocab").items()) {
      check_piece_id(id.get<int64_t>(), piece, model["vocab"].size(), file);
      vocabulary.add_piece(piece, id.get<int64_t>(), file);
    }
    out.pieces = std::move(vocabulary.pieces);
    out.options.added = tokenizer_json::added_tokens(json, out.pieces.size(), file);
    return out;
  });
}

std::shared_ptr<const Tokenizer> make_byte_bpe_of_json(const nlohmann::json& json, const std::filesystem::path& file, int64_t pad_id) {
  return tokenizer_json::reading(file, [&] {
    tokenizer_json::only(tokenizer_json::components(json, "normalizer"), {}, file, "normalizer");
    const auto splitters = tokenizer_json::components(json, "pre_tokenizer");
    tokenizer_json::only(splitters, {"ByteLevel"}, file, "pre_tokenizer");
    BpeVocabulary vocabulary;
    vocabulary.read_model(json.at("model"), file);
    ByteBpeOptions options;
    for (const auto& splitter : splitters) {
      options.add_prefix_space = splitter.value("add_prefix_space", true);
      if (!splitter.value("use_regex", true)) tokenizer_json::refuse(file, "pre_tokenizer", splitter);
    }
    const auto ends = tokenizer_json::ends_of(json);
    options.added = tokenizer_json::added_tokens(json, vocabulary.pieces.size(), file);
    options.bos = ends.bos;
    options.eos = ends.eos;
    options.pad = tokenizer_json::pad_of(json, file);
    options.pad_id = pad_id;
    if (json["model"].contains("unk_token") && json["model"]["unk_token"].is_string()) options.unk = json["model"]["unk_token"];
    return with_context(file.string(), [&] { return make_byte_bpe_tokenizer(std::move(vocabulary), options); });
  });
}

std::shared_ptr<const Tokenizer> make_sentencepiece_of_json(const nlohmann::json& json, const std::filesystem::path& file, int64_t pad_id) {
  return tokenizer_json::reading(file, [&] {
    const auto& source = json.at("model");
    SentencePieceModel model;
    SentencePieceOptions options;
    options.clean_as_trained = false;
    tokenizer_json::read_normalization(json, file, model, options);
    const bool unigram = source.value("type", "Unigram") == "Unigram";
    model.byte_fallback = source.value("byte_fallback", false);
    model.bpe = !unigram;
    std::string unknown = "<unk>";
    if (unigram) {
      for (const auto& entry : source.at("vocab")) model.add(entry.at(0).get<std::string>(), entry.at(1).get<float>());
      if (source.contains("unk_id") && source["unk_id"].is_number_integer()) {
        const auto id = source["unk_id"].get<int64_t>();
        if (id < 0 || id >= static_cast<int64_t>(model.pieces.size())) fail(file.string(), ": unk_id ", id, " of ", model.pieces.size(), " pieces");
        unknown = model.pieces[static_cast<size_t>(id)].text;
      }
    } else {
      BpeVocabulary vocabulary;
      vocabulary.read_model(source, file);
      for (const auto& piece : vocabulary.pieces) model.add(piece, 0);
      model.rank_by_merges(vocabulary.merges);
      if (source.contains("unk_token") && source["unk_token"].is_string()) unknown = source["unk_token"];
    }
    const auto ends = tokenizer_json::ends_of(json);
    const std::string pad = tokenizer_json::pad_of(json, file);
    auto added = tokenizer_json::added_tokens(json, model.pieces.size(), file);
    std::sort(added.begin(), added.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    for (const auto& token : added) {
      const auto id = static_cast<size_t>(token.id);
      while (id > model.pieces.size()) model.add("", 0);
      if (id == model.pieces.size()) model.add(token.content, 0);
      if (model.pieces[id].text != token.content) fail(file.string(), ": added token '", token.content, "' has the id of '", model.pieces[id].text, "'");
      model.pieces[id].type = token.special ? SentencePieceModel::Type::control : SentencePieceModel::Type::user_defined;
    }
    model.mark(unknown, SentencePieceModel::Type::unknown);
    for (const auto* special : {&ends.bos, &ends.eos, &pad}) model.mark(*special, SentencePieceModel::Type::control);
    model.bos = ends.bos;
    model.eos = ends.eos;
    model.pad = pad;
    model.unk = unknown;
    options.pad_id = pad_id;
    return with_context(file.string(), [&] { return make_sentencepiece(model.serialized(), options); });
  });
}

}  // namespace vlm
