#pragma once
/// The flags of commands that write text.

#include <optional>
#include <string>

#include "command.h"
#include "vlm/infer/generate.h"

namespace vlm::apps {

/// --beam, --max-new-tokens and their like. What is not given is as the model's task has it, so it is known once that is loaded.
class GenerateFlags {
 public:
  /// The numbers that help shows: of most models, and of those that take instructions.
  struct Shown {
    int64_t beams, max_new_tokens;
  };
  void add_to(CLI::App& command, Shown others, Shown instructed);
  /// The same for a command whose models all take instructions.
  void add_to(CLI::App& command, Shown instructed) { add_to(command, instructed, instructed); }
  /// `defaults` with what was given.
  GenerateOptions onto(GenerateOptions defaults) const;

 private:
  std::optional<int64_t> beams_, max_new_tokens_, min_new_tokens_, no_repeat_ngram_, top_k_, seed_;
  std::optional<double> length_penalty_, repetition_penalty_, temperature_, top_p_;
  bool sample_ = false;
};

}  // namespace vlm::apps
