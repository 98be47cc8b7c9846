#include "generate_flags.h"

namespace vlm::apps {

void add_generate_flags(CLI::App& command, GenerateOptions& options) {
  const std::string group = "Search";
  command.add_option("--beam", options.beams, "Beams; 1: greedy")->capture_default_str()->check(at_least_one)->group(group);
  command.add_option("--max-new-tokens", options.max_new_tokens, "Longest text, in tokens")->capture_default_str()->check(at_least_one)->group(group);
  command.add_option("--min-new-tokens", options.min_new_tokens, "Shortest text, in tokens")->capture_default_str()->check(not_negative)->group(group);
  command.add_option("--length-penalty", options.length_penalty, "Above 1 prefers longer texts")->capture_default_str()->group(group);
  command.add_option("--repetition-penalty", options.repetition_penalty, "Above 1 discourages words that came already")->capture_default_str()->group(group);
  command.add_option("--no-repeat-ngram", options.no_repeat_ngram, "No N tokens come twice in the same order; 0: off")->capture_default_str()->group(group);
  auto* sample = command.add_flag("--sample", options.sample, "Draw tokens instead of searching for the best text")->group(group);
  command.add_option("--temperature", options.temperature, "Of --sample")->capture_default_str()->needs(sample)->group(group);
  command.add_option("--top-k", options.top_k, "Draw among the K best tokens; 0: all")->capture_default_str()->needs(sample)->group(group);
  command.add_option("--top-p", options.top_p, "Draw among the smallest set of this probability (nucleus sampling)")->capture_default_str()->needs(sample)->group(group);
  command.add_option("--seed", options.seed, "Of --sample")->capture_default_str()->needs(sample)->group(group);
  sample->each([&options](const std::string&) { options.beams = 1; });
}

}  // namespace vlm::apps
