#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/bert_tokenizer.h"
#include "vlm/text/byte_bpe_tokenizer.h"
#include "vlm/text/clip_tokenizer.h"
#include "vlm/text/ofa_tokenizer.h"
#include "vlm/text/sentencepiece_tokenizer.h"
#include "vlm/text/tokenizer.h"
#include "vlm/text/tokenizer_json.h"

namespace vlm {

namespace tokenizer_files {

namespace fs = std::filesystem;

const std::vector<std::string> kFamilies = {"auto", "clip", "hf_clip", "sentencepiece", "siglip", "siglip2",
                                            "bert", "mplug", "blip", "byte_bpe", "ofa"};

/// What a folder is searched for, in this order.
const std::vector<std::string> kNames = {
    "tokenizer.model", "spiece.model", "sentencepiece.model", "bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt",
    "encoder.json",    "vocab.txt",    "vocab.json",          "tokenizer.json"};

nlohmann::json read_json(const fs::path& file) {
  if (!fs::exists(file)) return nlohmann::json::object();
  auto json = parse_json(read_file(file, uintmax_t(1) << 26));
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
    if (name == "encoder.json" && !(fs::exists(folder / "vocab.bpe") && fs::exists(folder / "dict.txt"))) continue;
    if (fs::exists(folder / name)) return folder / name;
  }
  fail(folder.string(), ": no tokenizer that is known here; looked for ", join(kNames, ", "),
       " (vocab.json with merges.txt, encoder.json with vocab.bpe and dict.txt)");
}

/// BLIP's files are BERT's; its two tokens more may be known to its configuration only. mPLUG's texts have no [SEP]; in its released
/// folders the configuration is YAML that names a tower of CLIP's.
std::string bert_family(const nlohmann::json& hf_config, const fs::path& folder) {
  const std::string type = string_at(hf_config, {"model_type"});
  if (type == "blip" || type == "mplug") return type;
  const fs::path yaml = folder / "config.yaml";
  const bool mplug = type.empty() && (hf_config.empty() ? fs::exists(yaml) && read_file(yaml, uintmax_t(1) << 20).find("clip_name") != std::string::npos
                                                         : hf_config.contains("bert_config") && hf_config.contains("clip_name"));
  return mplug ? "mplug" : "bert";
}

bool lists_bert_specials(const fs::path& file) {
  const std::string text = read_file(file, uintmax_t(1) << 26);
  return text.find("[UNK]") != std::string::npos && text.find("[CLS]") != std::string::npos;
}

std::string vocabulary_family(const fs::path& file) {
  const auto vocabulary = read_json(file);
  return vocabulary.contains("<|startoftext|>") || vocabulary.contains("<start_of_text>") ? "hf_clip" : "byte_bpe";
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
  } else if (ends_with(name, ".gz") || starts_with(name, "bpe_simple_vocab")) {
    found.family = "clip";
  } else if (ends_with(name, ".txt")) {
    found.family = name == "vocab.txt" || lists_bert_specials(file) ? bert_family(hf, file.parent_path()) : "clip";
  } else if (name == "encoder.json") {
    found.family = "ofa";
  } else if (ends_with(name, ".json")) {
    found.family = name == "vocab.json" ? vocabulary_family(file) : tokenizer_json_family(read_json(file), file);
    if (found.family == "hf_clip" && !open_clip.empty()) found.family = "clip";
    if (found.family == "bert") found.family = bert_family(hf, file.parent_path());
  } else {
    fail(file.string(),
         ": not a tokenizer file; known are *.model, bpe_simple_vocab_16e6.txt[.gz], vocab.txt, vocab.json with merges.txt, "
         "tokenizer.json, encoder.json with vocab.bpe and dict.txt");
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

std::shared_ptr<const Tokenizer> load_bert(const Found& found, const TokenizerOptions& options) {
  const fs::path folder = found.file.parent_path();
  std::vector<std::string> pieces;
  BertTokenizerOptions bert;
  if (ends_with(found.file.string(), ".json")) {
    auto file = read_wordpiece_json(read_json(found.file), found.file);
    pieces = std::move(file.pieces);
    bert = std::move(file.options);
  } else {
    pieces = read_bert_vocabulary(found.file);
    const auto lower = value_at(read_json(folder / "tokenizer_config.json"), {"do_lower_case"});
    bert.lower_case = lower.is_boolean() ? lower.get<bool>() : !has_cased_pieces(pieces);
  }
  bert.pad_id = options.pad_id;
  for (const auto& token : read_added_tokens(folder)) bert.added.push_back(token);
  if (found.family == "mplug") bert.layout = BertLayout::cls;
  const auto open_clip = read_json(folder / "open_clip_config.json");
  if (!open_clip.empty()) bert.clean = found.clean.empty() ? TextClean::whitespace : text_clean_named(found.clean);
  if (value_at(open_clip, {"model_cfg", "text_cfg", "tokenizer_kwargs", "strip_sep_token"}) == true) bert.layout = BertLayout::cls_pad;
  if (found.family == "blip") {
    const auto listed = [&](const std::string& piece) {
      return std::find(pieces.begin(), pieces.end(), piece) != pieces.end() ||
             std::any_of(bert.added.begin(), bert.added.end(), [&](const auto& token) { return token.content == piece; });
    };
    auto next = static_cast<int64_t>(pieces.size());
    for (const auto& token : bert.added) next = std::max(next, token.id + 1);
    for (const char* piece : {"[DEC]", "[ENC]"}) {
      if (!listed(piece)) bert.added.push_back({piece, next++});
    }
  }
  return with_context(found.file.string(), [&] { return make_bert_tokenizer(std::move(pieces), bert); });
}

std::shared_ptr<const Tokenizer> load_byte_bpe(const Found& found, const TokenizerOptions& options) {
  const fs::path folder = found.file.parent_path();
  if (found.file.filename() != "vocab.json") return make_byte_bpe_of_json(read_json(found.file), found.file, options.pad_id);
  BpeVocabulary vocabulary;
  vocabulary.read_files(found.file, folder / "merges.txt");
  ByteBpeOptions bpe;
  bpe.added = read_added_tokens(folder);
  bpe.pad_id = options.pad_id;
  const auto listed = [&](const std::string& piece) { return std::find(vocabulary.pieces.begin(), vocabulary.pieces.end(), piece); };
  const auto add = [&](const char* piece, bool lstrip) {
    const auto it = listed(piece);
    const bool known = std::any_of(bpe.added.begin(), bpe.added.end(), [&](const auto& token) { return token.content == piece; });
    if (it != vocabulary.pieces.end() && !known) bpe.added.push_back({piece, it - vocabulary.pieces.begin(), true, lstrip});
    return it != vocabulary.pieces.end() || known;
  };
  // RoBERTa and BART wrap a text in <s> and </s>; GPT-2 wraps it in nothing.
  if (add("<s>", false) && add("</s>", false)) bpe.bos = "<s>", bpe.eos = "</s>";
  if (add("<pad>", false)) bpe.pad = "<pad>";
  if (add("<unk>", false)) bpe.unk = "<unk>";
  add("<mask>", true);
  add("<|endoftext|>", false);
  const auto config = read_json(folder / "tokenizer_config.json");
  bpe.add_prefix_space = value_at(config, {"add_prefix_space"}) == true;
  bpe.clean_up = value_at(config, {"clean_up_tokenization_spaces"}) == true;
  return with_context(found.file.string(), [&] { return make_byte_bpe_tokenizer(std::move(vocabulary), bpe); });
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
  const bool json = ends_with(file.string(), ".json");
  const auto unfit = [&]() { fail_usage(file.string(), ": does not hold a tokenizer of family ", found.family); };
  if (found.family == "clip" || found.family == "hf_clip") {
    if (ends_with(file.string(), ".model")) unfit();
    return tokenizer_files::load_clip(found, options);
  }
  if (found.family == "sentencepiece" || found.family == "siglip" || found.family == "siglip2") {
    if (json && found.family == "sentencepiece") return make_sentencepiece_of_json(tokenizer_files::read_json(file), file, options.pad_id);
    if (!ends_with(file.string(), ".model")) unfit();
    return tokenizer_files::load_model(found, options);
  }
  if (options.clean != "auto") fail_usage("clean '", options.clean, "' is not for family ", found.family, ", which has its own clean-up");
  if (found.family == "ofa") {
    if (file.filename() != "encoder.json") unfit();
    return load_ofa_tokenizer(file.parent_path());
  }
  if (found.family == "byte_bpe") {
    if (!json) unfit();
    return tokenizer_files::load_byte_bpe(found, options);
  }
  if (!json && !ends_with(file.string(), ".txt")) unfit();
  return tokenizer_files::load_bert(found, options);
}

}  // namespace vlm
