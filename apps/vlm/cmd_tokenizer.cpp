#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "command.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/sentencepiece_trainer.h"
#include "vlm/text/tokenizer.h"

namespace vlm::apps {

namespace tokenizer_command {

struct ModelOptions {
  std::string model;
  TokenizerOptions tokenizer;
  bool json = false;
};

void print_json(const nlohmann::ordered_json& json) {
  std::printf("%s\n", json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
}

void add_model_options(CLI::App* command, ModelOptions& options) {
  command->add_option("--model", options.model, "A tokenizer file or a model folder")->required();
  command->add_option("--family", options.tokenizer.family, "auto, clip, hf_clip, sentencepiece, siglip, siglip2, bert, mplug, blip, byte_bpe or ofa");
  command->add_option("--clean", options.tokenizer.clean,
                      "Clean-up in place of the family's own (none, lower, canonicalize ...)");
  command->add_flag("--json", options.json, "Print JSON");
}

void add_train(CLI::App& parent) {
  struct Options {
    std::vector<std::string> data;
    std::string out;
    SentencePieceTrainerOptions trainer;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(
      parent, "train", "Train a vocabulary on captions",
      "vlm tokenizer train --data captions.txt --vocab-size 2000 --out model", [options] {
        std::vector<std::string> captions;
        for (const auto& data : options->data) {
          for (auto& caption : read_captions(data)) captions.push_back(std::move(caption));
        }
        const std::string model = train_sentencepiece(captions, options->trainer);
        std::filesystem::path file = options->out;
        if (file.extension() != ".model") file /= "tokenizer.model";
        write_file_atomically(file, model);
        const auto size = load_tokenizer(file)->vocab_size();
        if (size < options->trainer.vocab_size) {
          log_warning("the captions allow no more than ", size, " pieces (", options->trainer.vocab_size, " asked for)");
        }
        if (options->json) {
          print_json({{"file", file.string()},
                      {"captions", captions.size()},
                      {"vocab_size", size},
                      {"type", options->trainer.type}});
        } else {
          std::printf("%s: %lld pieces (%s) from %zu captions\n", file.c_str(), static_cast<long long>(size),
                      options->trainer.type.c_str(), captions.size());
        }
      });
  command
      ->add_option("--data", options->data,
                   "Captions: .txt (one a line), .json or .jsonl (under \"caption\" or \"captions\"), or folders of these")
      ->required();
  command->add_option("--out", options->out, "Folder for tokenizer.model, or a file *.model")->required();
  command->add_option("--vocab-size", options->trainer.vocab_size, "Number of pieces, specials included")
      ->capture_default_str();
  command->add_option("--type", options->trainer.type, "unigram or bpe")->capture_default_str();
  command
      ->add_option("--character-coverage", options->trainer.character_coverage, "Share of the characters that get a piece")
      ->capture_default_str();
  command->add_flag("--byte-fallback", options->trainer.byte_fallback, "Cut characters without a piece into bytes");
  command->add_flag("--json", options->json, "Print JSON");
}

void add_encode(CLI::App& parent) {
  struct Options : ModelOptions {
    std::vector<std::string> texts;
    int64_t context_length = 0;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      add_command(parent, "encode", "Texts to ids", "vlm tokenizer encode --model model \"a photo of a cat\"", [options] {
        const auto tokenizer = load_tokenizer(options->model, options->tokenizer);
        for (const auto& text : options->texts) {
          const auto ids = options->context_length > 0 ? tokenizer->encode_padded(text, options->context_length)
                                                       : tokenizer->encode(text);
          if (options->json) {
            print_json(
                {{"text", text}, {"cleaned", tokenizer->clean(text)}, {"ids", ids}, {"pieces", tokenizer->pieces(text)}});
            continue;
          }
          for (size_t i = 0; i < ids.size(); ++i) std::printf("%s%lld", i ? " " : "", static_cast<long long>(ids[i]));
          std::printf("\n");
        }
      });
  add_model_options(command, *options);
  command->add_option("text", options->texts, "Texts")->required();
  command
      ->add_option("--context-length", options->context_length,
                   "With specials, cut and filled up to this length, as a model gets them")
      ->check(CLI::Range(int64_t(1), int64_t(1) << 20));
}

void add_decode(CLI::App& parent) {
  struct Options : ModelOptions {
    std::vector<int64_t> ids;
    bool caption = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command =
      add_command(parent, "decode", "Ids to text", "vlm tokenizer decode --model model 320 1125 539", [options] {
        const auto tokenizer = load_tokenizer(options->model, options->tokenizer);
        const std::string text = options->caption ? tokenizer->caption_of(options->ids) : tokenizer->decode(options->ids);
        if (options->json) {
          print_json({{"ids", options->ids}, {"text", text}});
        } else {
          std::printf("%s\n", text.c_str());
        }
      });
  add_model_options(command, *options);
  command->add_option("id", options->ids, "Ids")->required();
  command->add_flag("--caption", options->caption, "As a generated caption is shown: without special tokens, stripped");
}

void add_info(CLI::App& parent) {
  auto options = std::make_shared<ModelOptions>();
  CLI::App* command = add_command(parent, "info", "What a tokenizer is", "vlm tokenizer info --model model", [options] {
    const auto tokenizer = load_tokenizer(options->model, options->tokenizer);
    const SpecialIds& specials = tokenizer->specials();
    const std::pair<const char*, int64_t> ids[] = {
        {"bos", specials.bos}, {"eos", specials.eos}, {"pad", specials.pad}, {"unk", specials.unk}};
    if (options->json) {
      nlohmann::ordered_json json = {{"family", tokenizer->family()}, {"vocab_size", tokenizer->vocab_size()}};
      for (const auto& [name, id] : ids) {
        json[std::string(name) + "_id"] = id;
        json[std::string(name) + "_piece"] =
            id >= 0 ? nlohmann::ordered_json(tokenizer->id_to_piece(id)) : nlohmann::ordered_json();
      }
      return print_json(json);
    }
    std::printf("family      %s\nvocab_size  %lld\n", tokenizer->family().c_str(),
                static_cast<long long>(tokenizer->vocab_size()));
    for (const auto& [name, id] : ids) {
      if (id < 0) {
        std::printf("%-11s -\n", name);
      } else {
        std::printf("%-11s %lld  %s\n", name, static_cast<long long>(id), tokenizer->id_to_piece(id).c_str());
      }
    }
  });
  add_model_options(command, *options);
}

}  // namespace tokenizer_command

void add_tokenizer(CLI::App& app) {
  CLI::App* command = add_command(app, "tokenizer", "Train, look at and try tokenizers",
                                  "vlm tokenizer encode --model model \"a photo of a cat\"", nullptr);
  command->require_subcommand(1);
  tokenizer_command::add_train(*command);
  tokenizer_command::add_encode(*command);
  tokenizer_command::add_decode(*command);
  tokenizer_command::add_info(*command);
}

}  // namespace vlm::apps
