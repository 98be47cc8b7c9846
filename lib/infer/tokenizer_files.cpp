#include "vlm/infer/tokenizer_files.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
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
