#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/clip_tokenizer.h"
#include "vlm/text/sentencepiece_tokenizer.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

namespace tokenizer_files {

namespace fs = std::filesystem;

const std::vector<std::string> kFamilies = {"auto", "clip", "hf_clip", "sentencepiece", "siglip", "siglip2"};

/// What a folder is searched for, in this order.
const std::vector<std::string> kNames = {
    "tokenizer.model",           "spiece.model", "sentencepiece.model", "bpe_simple_vocab_16e6.txt.gz",
    "bpe_simple_vocab_16e6.txt", "vocab.json",   "tokenizer.json"};

nlohmann::json read_json(const fs::path& file) {
  if (!fs::exists(file)) return nlohmann::json::object();
  auto json = nlohmann::json::parse(read_file(file, uintmax_t(1) << 26), nullptr, false);
  if (!json.is_object()) fail(file.string(), ": not a JSON object");
  return json;
}

/// A value below nested keys, or null.
nlohmann::json value_at(const nlohmann::json& json, std::initializer_list<const char*> keys) {
  const nlohmann::json* at = &json;
  for (const char* key : keys) {
    if (!at->is_object() || !at->contains(key)) return nullptr;
    at = &(*at)[key];
  }
  return *at;
}

std::string string_at(const nlohmann::json& json, std::initializer_list<const char*> keys) {
  const auto value = value_at(json, keys);
  return value.is_string() ? value.get<std::string>() : "";
}

struct Found {
  fs::path file;
  std::string family;
  std::string clean;  ///< as the model's configuration says, or ""
};

fs::path find_file(const fs::path& folder) {
  for (const auto& name : kNames) {
    if (name == "vocab.json" && !fs::exists(folder / "merges.txt")) continue;
    if (fs::exists(folder / name)) return folder / name;
  }
  fail(folder.string(), ": no tokenizer that is known here; looked for ", join(kNames, ", "),
       " (vocab.json with merges.txt)");
}

/// What the configuration beside a file says about it.
Found describe_file(const fs::path& file) {
  Found found{file, "", ""};
  const std::string name = file.filename().string();
  const auto open_clip = read_json(file.parent_path() / "open_clip_config.json");
  const auto hf = read_json(file.parent_path() / "config.json");
  found.clean = string_at(open_clip, {"model_cfg", "text_cfg", "tokenizer_kwargs", "clean"});
  if (ends_with(name, ".model")) {
    const std::string type = string_at(hf, {"model_type"});
    const std::string source = ascii_lower(string_at(open_clip, {"model_cfg", "text_cfg", "hf_tokenizer_name"}));
    if (starts_with(type, "siglip2") || source.find("siglip2") != std::string::npos ||
        source.find("gemma") != std::string::npos) {
      found.family = "siglip2";
    } else if (starts_with(type, "siglip") || source.find("siglip") != std::string::npos) {
      found.family = "siglip";
      if (found.clean.empty() && starts_with(type, "siglip")) found.clean = "punctuation";
    } else {
      found.family = "sentencepiece";
    }
  } else if (ends_with(name, ".txt") || ends_with(name, ".gz")) {
    found.family = "clip";
  } else if (ends_with(name, ".json")) {
    found.family = open_clip.empty() ? "hf_clip" : "clip";
  } else {
    fail(file.string(),
         ": not a tokenizer file; known are *.model, bpe_simple_vocab_16e6.txt[.gz], vocab.json with merges.txt, "
         "tokenizer.json");
  }
  return found;
}

/// The pad piece that tokenizer_config.json or special_tokens_map.json names; -1 if none does.
int64_t hf_pad_id(const fs::path& folder, const ClipVocabulary& vocabulary) {
  for (const char* name : {"tokenizer_config.json", "special_tokens_map.json"}) {
    const auto json = read_json(folder / name);
    std::string piece = string_at(json, {"pad_token"});
    if (piece.empty()) piece = string_at(json, {"pad_token", "content"});
    for (size_t id = 0; !piece.empty() && id < vocabulary.pieces.size(); ++id) {
      if (vocabulary.pieces[id] == piece) return static_cast<int64_t>(id);
    }
  }
  return -1;
}

std::shared_ptr<const Tokenizer> load_clip(const Found& found, const TokenizerOptions& options) {
  const bool json = ends_with(found.file.string(), ".json");
  const ClipVocabulary vocabulary = json ? read_hf_clip_vocabulary(found.file) : read_clip_merges(found.file);
  ClipTokenizerOptions clip;
  clip.pad_id = options.pad_id;
  clip.rules = found.family == "hf_clip" ? ClipRules::hf : ClipRules::open_clip;
  if (clip.rules == ClipRules::hf) {
    if (options.clean != "auto") fail_usage("clean '", options.clean, "' is for family clip; hf_clip has its own clean-up");
    if (json && clip.pad_id < 0) clip.pad_id = hf_pad_id(found.file.parent_path(), vocabulary);
  } else if (!found.clean.empty()) {
    clip.clean = text_clean_named(found.clean);
  }
  return make_clip_tokenizer(vocabulary, clip);
}

std::shared_ptr<const Tokenizer> load_model(const Found& found, const TokenizerOptions& options) {
  SentencePieceOptions model;
  model.pad_id = options.pad_id;
  if (found.family == "siglip") {
    model.layout = SentencePieceLayout::siglip;
    model.clean = TextClean::canonicalize;
  } else if (found.family == "siglip2") {
    model.layout = SentencePieceLayout::siglip2;
    model.clean = TextClean::lower_only;
  }
  model.clean_as_trained = found.family == "sentencepiece" && found.clean.empty();
  if (!found.clean.empty()) model.clean = text_clean_named(found.clean);
  return load_sentencepiece(found.file, model);
}

}  // namespace tokenizer_files

std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& file_or_folder,
                                                const TokenizerOptions& options) {
  namespace fs = std::filesystem;
  if (std::find(tokenizer_files::kFamilies.begin(), tokenizer_files::kFamilies.end(), options.family) ==
      tokenizer_files::kFamilies.end()) {
    fail_usage("unknown family of tokenizers '", options.family, "'",
               did_you_mean(options.family, tokenizer_files::kFamilies),
               "; there are: ", join(tokenizer_files::kFamilies, ", "));
  }
  if (!fs::exists(file_or_folder)) fail(file_or_folder.string(), ": there is no such file or folder");
  const fs::path file = fs::is_directory(file_or_folder) ? tokenizer_files::find_file(file_or_folder) : file_or_folder;
  auto found = tokenizer_files::describe_file(file);
  if (options.family != "auto") found.family = options.family;
  if (options.clean != "auto") found.clean = options.clean;
  const bool clip = found.family == "clip" || found.family == "hf_clip";
  if (clip == ends_with(file.string(), ".model"))
    fail_usage(file.string(), ": does not hold a tokenizer of family ", found.family);
  return clip ? tokenizer_files::load_clip(found, options) : tokenizer_files::load_model(found, options);
}

}  // namespace vlm
