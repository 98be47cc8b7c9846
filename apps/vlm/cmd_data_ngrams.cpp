#include <cstdio>
#include <filesystem>

#include "command.h"
#include "data_command.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/eval/caption_frequency.h"

namespace vlm::apps {

namespace data_ngrams {

struct Options {
  DataFlags data;
  std::string out, objective = "caption_scst";
};

/// Each set of captions with the flags and overrides of all.
std::vector<std::unique_ptr<Source>> open_all(DataFlags flags) {
  std::vector<std::string> paths = {flags.path}, overrides;
  for (auto& argument : flags.overrides) {
    const bool is_override = starts_with(argument, "data.") && argument.find('=') != std::string::npos;
    (is_override ? overrides : paths).push_back(std::move(argument));
  }
  flags.overrides = std::move(overrides);
  std::vector<std::unique_ptr<Source>> out;
  for (const auto& path : paths) {
    flags.path = path;
    out.push_back(flags.open());
  }
  return out;
}

void run(const Options& options) {
  std::error_code error;
  if (std::filesystem::is_directory(options.out, error)) fail_usage("--out ", options.out, " is a folder; name a file");
  CaptionFrequencyOptions how;
  how.sentences = caption_sentences_of(options.objective);
  how.strict = options.data.strict;
  how.threads = options.data.threads;
  const CaptionFrequency counted = count_caption_frequency(open_all(options.data), how);
  const auto pictures = static_cast<int64_t>(counted.frequency.items);
  // A hundred, as where CIDEr is measured: a word that all of few pictures share weighs nothing.
  if (pictures < 100) {
    log_warning("only ", pictures, pictures == 1 ? " picture" : " pictures", ": rare and common words are hardly told apart");
  }
  write_document_frequency(options.out, counted.frequency);
  if (options.data.json) {
    auto json = counted.to_json();
    json["objective"] = options.objective;
    json["out"] = options.out;
    return print_json(json);
  }
  std::vector<std::vector<std::string>> table = {{"", "count"}};
  table.push_back({"pictures", std::to_string(pictures)});
  table.push_back({"captions", std::to_string(counted.captions)});
  const auto lengths = counted.lengths();
  for (size_t n = 0; n < lengths.size(); ++n) table.push_back({concat(n + 1, n == 0 ? " word" : " words"), std::to_string(lengths[n])});
  if (counted.skipped > 0) table.push_back({"skipped", std::to_string(counted.skipped)});
  for (const auto& [reason, count] : counted.reasons) table.push_back({"  " + reason, std::to_string(count)});
  print_table(table);
  std::printf("\n%s: for objective.options.document_frequency of %s\n", options.out.c_str(), options.objective.c_str());
}

}  // namespace data_ngrams

void add_data_ngrams(CLI::App& data) {
  auto options = std::make_shared<data_ngrams::Options>();
  CLI::App* command =
      add_command(data, "ngrams", "Count in how many pictures each n-gram of captions stands: self-critical training weighs words by that",
                  "vlm data ngrams dataset_coco.json --split train --out coco-train-df.json", [options] { data_ngrams::run(*options); });
  options->data.add_to(*command);
  command->get_option("overrides")
      ->description("More captions, of other pictures; and how to read all of them, as data.caption_key=json.title");
  command->add_option("--out", options->out, "File to write")->required();
  command
      ->add_option("--for", options->objective,
                   "Objective that reads it: caption_scst counts words as CIDEr does (vlm eval caption, too), ofa_scst as OFA does, with "
                   "an end of sentence")
      ->capture_default_str()
      ->check(CLI::IsMember({"caption_scst", "ofa_scst"}));
}

}  // namespace vlm::apps
