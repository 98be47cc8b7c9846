#include "generate_flags.h"

#include "vlm/core/error.h"

namespace vlm::apps {

void GenerateFlags::add_to(CLI::App& command, Shown others, Shown instructed) {
  const std::string group = "Search";
  const auto shown = [](int64_t usual, int64_t of_ofa) { return usual == of_ofa ? concat(" (default: ", usual, ")") : concat(" (default: ", usual, "; OFA: ", of_ofa, ")"); };
  command.add_option("--beam", beams_, "Beams; 1: greedy" + shown(others.beams, instructed.beams))->check(at_least_one)->group(group);
  command.add_option("--max-new-tokens", max_new_tokens_, "Longest text, in tokens" + shown(others.max_new_tokens, instructed.max_new_tokens))->check(at_least_one)->group(group);
  command.add_option("--min-new-tokens", min_new_tokens_, "Shortest text, in tokens")->check(not_negative)->group(group);
  command.add_option("--length-penalty", length_penalty_, "Above 1 prefers longer texts (OFA: 0 compares sums of log-probabilities)")->group(group);
  command.add_option("--repetition-penalty", repetition_penalty_, "Above 1 discourages words that came already")->group(group);
  command.add_option("--no-repeat-ngram", no_repeat_ngram_, "No N tokens come twice in the same order; 0: off")->group(group);
  auto* sample = command.add_flag("--sample", sample_, "Draw tokens instead of searching for the best text")->group(group);
  command.add_option("--temperature", temperature_, "Of --sample; OFA: of beams as well")->group(group);
  command.add_option("--top-k", top_k_, "Draw among the K best tokens; 0: all")->needs(sample)->group(group);
  command.add_option("--top-p", top_p_, "Draw among the smallest set of this probability (nucleus sampling)")->needs(sample)->group(group);
  command.add_option("--seed", seed_, "Of --sample")->needs(sample)->group(group);
}

GenerateOptions GenerateFlags::onto(GenerateOptions out) const {
  const auto take = [](const auto& given, auto& field) {
    if (given) field = *given;
  };
  if (sample_) out.sample = true, out.beams = 1;
  take(beams_, out.beams);
  take(max_new_tokens_, out.max_new_tokens);
  take(min_new_tokens_, out.min_new_tokens);
  take(length_penalty_, out.length_penalty);
  take(repetition_penalty_, out.repetition_penalty);
  take(no_repeat_ngram_, out.no_repeat_ngram);
  take(temperature_, out.temperature);
  take(top_k_, out.top_k);
  take(top_p_, out.top_p);
  take(seed_, out.seed);
  return out;
}

}  // namespace vlm::apps
