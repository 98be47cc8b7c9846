#include "vlm/text/sentencepiece_trainer.h"

#include <sentencepiece_trainer.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/text_cleaning.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace sentencepiece_training {

class Captions : public sentencepiece::SentenceIterator {
 public:
  explicit Captions(const std::vector<std::string>& lines) : lines_(lines) {}
  bool done() const override { return at_ >= lines_.size(); }
  void Next() override { ++at_; }
  const std::string& value() const override { return lines_[at_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& lines_;
  size_t at_ = 0;
};

void collect(const nlohmann::json& value, std::vector<std::string>& captions) {
  if (value.is_array()) {
    for (const auto& item : value) collect(item, captions);
  } else if (value.is_object()) {
    for (const auto& [key, item] : value.items()) {
      if (key != "caption" && key != "captions") {
        collect(item, captions);
      } else if (item.is_string()) {
        captions.push_back(item.get<std::string>());
      } else if (item.is_array()) {
        for (const auto& caption : item) {
          if (caption.is_string())
            captions.push_back(caption.get<std::string>());
          else
            collect(caption, captions);
        }
      } else {
        collect(item, captions);
      }
    }
  }
}

void read(const std::filesystem::path& file, std::vector<std::string>& captions) {
  const std::string kind = ascii_lower(file.extension().string());
  const std::string text = read_file(file);
  const auto parse = [&](std::string_view part, size_t line) {
    const auto json = parse_json(part);
    if (json.is_discarded()) fail(file.string(), line ? concat(": line ", line) : "", ": not JSON");
    collect(json, captions);
  };
  if (kind == ".json") return parse(text, 0);
  const auto lines = split(text, "\n");
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto line = strip(lines[i]);
    if (line.empty()) continue;
    if (kind == ".jsonl") {
      parse(line, i + 1);
    } else {
      captions.emplace_back(line);
    }
  }
}

bool is_caption_file(const std::filesystem::path& file) {
  const std::string kind = ascii_lower(file.extension().string());
  return kind == ".txt" || kind == ".json" || kind == ".jsonl";
}

}  // namespace sentencepiece_training

std::vector<std::string> read_captions(const std::filesystem::path& file_or_folder) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  if (fs::is_directory(file_or_folder)) {
    for (const auto& entry : fs::recursive_directory_iterator(file_or_folder)) {
      if (entry.is_regular_file() && sentencepiece_training::is_caption_file(entry.path())) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
  } else if (!fs::exists(file_or_folder)) {
    fail(file_or_folder.string(), ": there is no such file or folder");
  } else if (!sentencepiece_training::is_caption_file(file_or_folder)) {
    fail(file_or_folder.string(), ": captions are read from .txt (one a line), .json and .jsonl files");
  } else {
    files.push_back(file_or_folder);
  }
  std::vector<std::string> captions;
  for (const auto& file : files) sentencepiece_training::read(file, captions);
  if (captions.empty()) {
    fail(file_or_folder.string(),
         ": no captions; a .txt file holds one a line, a .json or .jsonl file has them under \"caption\" or \"captions\"");
  }
  return captions;
}

std::string train_sentencepiece(const std::vector<std::string>& captions, const SentencePieceTrainerOptions& options) {
  if (options.type != "unigram" && options.type != "bpe")
    fail_usage("unknown type of vocabulary '", options.type, "'; there are: unigram, bpe");
  if (options.vocab_size < 8 || options.vocab_size > 1'000'000)
    fail_usage("a vocabulary of ", options.vocab_size, " pieces; give 8 to 1000000");
  if (!(options.character_coverage > 0 && options.character_coverage <= 1)) {
    fail_usage("a character coverage of ", options.character_coverage, "; give a share above 0 and up to 1");
  }
  std::vector<std::string> lines;
  for (const auto& caption : captions) {
    std::string line = clean_text(replace_malformed_utf8(caption), TextClean::squash_lower);
    if (!line.empty()) lines.push_back(std::move(line));
  }
  if (lines.empty()) fail("a vocabulary needs captions to be trained on; all ", captions.size(), " are empty");
  const std::unordered_map<std::string, std::string> arguments = {
      {"model_type", options.type},
      {"vocab_size", std::to_string(options.vocab_size)},
      {"hard_vocab_limit", "false"},
      {"character_coverage", std::to_string(options.character_coverage)},
      {"byte_fallback", options.byte_fallback ? "true" : "false"},
      {"pad_id", "0"},
      {"bos_id", "1"},
      {"eos_id", "2"},
      {"unk_id", "3"},
      {"bos_piece", kStartOfTextPiece},
      {"eos_piece", "<end_of_text>"},
      {"num_threads", "1"},
      {"shuffle_input_sentence", "false"},
      {"max_sentence_length", "65536"},
      {"minloglevel", "3"},
  };
  sentencepiece_training::Captions iterator(lines);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train(arguments, &iterator, &model);
  if (!status.ok()) {
    fail("no vocabulary of ", options.vocab_size, " pieces can be trained on ", lines.size(),
         " captions: ", status.ToString(),
         "; if it is too small for the characters that occur, ask for more pieces or a smaller character coverage");
  }
  return model;
}

}  // namespace vlm
