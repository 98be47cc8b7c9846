#include "vlm/infer/tokenizer_files.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/infer/ofa_tokenizer_files.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/clip_vocabulary.h"

namespace vlm {

namespace fs = std::filesystem;

namespace tokenizer_copy {

constexpr uintmax_t max_file = 256'000'000;
constexpr const char* names[] = {
    "tokenizer.model",   "spiece.model",   "sentencepiece.model",          "vocab.json",
    "merges.txt",        "tokenizer.json", "tokenizer_config.json",        "special_tokens_map.json",
    "added_tokens.json", "vocab.txt",      "bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt"};

constexpr const char* fairseq_names[] = {"encoder.json", "vocab.bpe", "dict.txt"};

/// The folder of a byte-level BPE in fairseq's files, which must be there together; empty if `source` is none.
fs::path fairseq_folder(const fs::path& source) {
  const fs::path folder = fs::is_directory(source) ? source : source.filename() == "encoder.json" ? source.parent_path() : fs::path();
  // A folder that has another tokenizer of higher rank is read by that (text/load_tokenizer.cpp).
  for (const char* name : {"tokenizer.model", "spiece.model", "sentencepiece.model"}) {
    if (fs::is_directory(source) && fs::exists(source / name)) return {};
  }
  for (const char* name : fairseq_names) {
    if (!fs::exists(folder / name)) return {};
  }
  return folder.empty() ? fs::path(".") : folder;
}

bool is_openai(const std::string& name) { return starts_with(name, "bpe_simple_vocab"); }

/// OpenAI's merges as the files of HF's CLIPTokenizer.
std::vector<TokenizerFile> hf_clip(const fs::path& file, int64_t context_length) {
  const ClipVocabulary vocabulary = read_clip_merges(file);
  // HF's files spell the two specials in their own way.
  const std::string sot = "<|startoftext|>", eot = "<|endoftext|>";
  nlohmann::json vocab;
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const auto number = static_cast<int64_t>(id);
    vocab[number == vocabulary.sot ? sot : number == vocabulary.eot ? eot : vocabulary.pieces[id]] = id;
  }
  std::string merges = "#version: 0.2\n";
  for (const auto& [left, right] : vocabulary.merges) merges += left + " " + right + "\n";
  const nlohmann::ordered_json config = {
      {"tokenizer_class", "CLIPTokenizer"}, {"bos_token", sot}, {"eos_token", eot}, {"unk_token", eot}, {"pad_token", eot},
      {"model_max_length", context_length}};
  const nlohmann::ordered_json special = {{"bos_token", sot}, {"eos_token", eot}, {"unk_token", eot}, {"pad_token", eot}};
  return {{"vocab.json", vocab.dump()},
          {"merges.txt", merges},
          {"tokenizer_config.json", config.dump(2) + "\n"},
          {"special_tokens_map.json", special.dump(2) + "\n"}};
}

}  // namespace tokenizer_copy

std::vector<TokenizerFile> tokenizer_files_for(const fs::path& source, const std::string& to, int64_t context_length) {
  using namespace tokenizer_copy;
  if (const fs::path fairseq = fairseq_folder(source); !fairseq.empty()) {
    std::vector<TokenizerFile> out;
    // They say more than HF's, which have no encoding without specials: kept beside them.
    for (const char* name : fairseq_names) out.push_back({name, read_file(fairseq / name, max_file)});
    if (to == "hf") {
      for (auto& file : ofa_tokenizer_to_hf(fairseq)) out.push_back(std::move(file));
    }
    return out;
  }
  if (to == "fairseq" && fs::is_directory(source) && fs::exists(source / "vocab.json") && fs::exists(source / "merges.txt")) {
    if (auto out = ofa_tokenizer_to_fairseq(source); !out.empty()) return out;
  }
  std::vector<fs::path> files;
  if (fs::is_directory(source)) {
    for (const char* name : names) {
      if (fs::exists(source / name)) files.push_back(source / name);
    }
  } else {
    if (!fs::exists(source)) fail_usage("there is no tokenizer ", source.string());
    files.push_back(source);
    if (source.filename() == "vocab.json") files.push_back(source.parent_path() / "merges.txt");
  }
  std::vector<TokenizerFile> out;
  bool other = false;
  for (const auto& file : files) {
    const std::string name = file.filename();
    other = other || (!is_openai(name) && name != "tokenizer_config.json" && name != "special_tokens_map.json" &&
                      name != "added_tokens.json");
  }
  for (const auto& file : files) {
    const std::string name = file.filename();
    if (is_openai(name) && to == "hf") {
      if (!other) return hf_clip(file, context_length);
      continue;
    }
    // A file that was named by hand may have any name; folders are searched for these.
    const bool known = std::find(std::begin(names), std::end(names), name) != std::end(names);
    out.push_back({known ? name : file.extension() == ".model" ? "tokenizer.model" : name, read_file(file, max_file)});
  }
  return out;
}

}  // namespace vlm
