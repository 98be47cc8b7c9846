#pragma once
/// Samples as OFA learns them, task by task (arXiv 2202.03052; specs: ofa, 5).

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/rng.h"
#include "vlm/data/sample.h"
#include "vlm/infer/token_trie.h"
#include "vlm/text/ofa_instructions.h"
#include "vlm/train/ofa_rows.h"
#include "vlm/train/ofa_vocabulary.h"

namespace vlm {

/// What is done with the samples of a task.
struct OfaTaskOptions {
  std::string task = "caption";
  int64_t max_src_length = 80;   ///< words
  int64_t max_tgt_length = 30;   ///< captions, articles: words; answers: ids
  std::string prompt_type = "none";
  std::string taught_answers = "best";
  bool add_object = false, add_caption = false;
  int64_t max_image_size = 512;  ///< pixels that the last bin stands for
  double decoder_input_noise = 0;
  std::string answers;           ///< file of the closed set

  void fields(Fields& f);
};

class OfaTask {
 public:
  /// Throws a usage error for an unknown task, or an option that the task does not have. `vocabulary` outlives it.
  OfaTask(const OfaVocabulary& vocabulary, const OfaTaskOptions& options);

  /// `text`: the caption that was drawn; the sample's box is in pixels of the picture as the model sees it. Randomness (noise, the
  /// answer that is drawn) comes out of `random`.
  OfaExample example(const Sample& sample, const std::string& text, SplitMix64& random) const;
  /// Throws a SampleError if a sample lacks what the task needs, or its answer lies outside the closed set.
  void check(const Sample& sample, const std::string& text) const;
  /// Whether there is a picture to look at.
  bool pictured() const;
  /// The closed set that replies come from; null: any text.
  const TokenTrie* trie() const { return trie_.get(); }
  const OfaTaskOptions& options() const { return options_; }

 private:
  std::vector<int64_t> instruction(const Sample& sample, const std::string& text) const;
  std::vector<std::pair<std::vector<int64_t>, double>> answers(const Sample& sample, const std::string& text, SplitMix64* random) const;
  bool in_set(const std::vector<int64_t>& ids) const;
  bool ends() const { return !glue_; }

  const OfaVocabulary& vocabulary_;
  OfaTaskOptions options_;
  ofa_instruction::Prompt prompt_ = ofa_instruction::Prompt::none;
  const ofa_instruction::GlueTask* glue_ = nullptr;
  std::vector<std::string> set_;  ///< lines of the file of answers
  std::unique_ptr<TokenTrie> trie_;
};

/// The tasks by name.
const std::vector<std::string>& ofa_task_names();
/// The evaluation that measures it: "caption", "vqa", "entail", "ground", or "".
std::string ofa_task_evaluation(const std::string& task);

}  // namespace vlm
