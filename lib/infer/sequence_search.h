#pragma once
/// Search for replies with the rules of fairseq's sequence generator as OFA uses it (specs: ofa, 7): beams that go on until enough
/// hypotheses have ended, closed sets of answers, forced prefixes, ranges of ids, sampling. The rules differ from those of
/// infer/generate.h, which are transformers'.

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/infer/token_trie.h"
#include "vlm/models/generator.h"

namespace vlm {

struct SequenceSearchOptions {
  int64_t beam = 5;               ///< hypotheses kept side by side; 1: greedy
  int64_t n_best = 1;             ///< hypotheses returned, at most `beam`
  double max_len_a = 0;           ///< longest reply without its end: a * source length + b ids
  int64_t max_len_b = 200;
  int64_t min_len = 1;            ///< ids before the end may come
  bool normalize_scores = true;   ///< hypotheses compete by sum / length^len_penalty, otherwise by their sums
  double len_penalty = 1;
  double unk_penalty = 0;         ///< taken from the score of the unknown id
  double temperature = 1;
  int64_t no_repeat_ngram = 0;    ///< no n ids come twice in the same order; 0: off
  bool sample = false;            ///< draws `beam` rows of their own in place of the best
  int64_t top_k = 0;              ///< draws among the k best; 0: all
  double top_p = 1;               ///< draws among the smallest set of this probability
  int64_t seed = 0;
  bool zero_shot = false;         ///< trie and range rule ids out after the softmax instead of before it
  bool gen_code = false;          ///< codes of a picture: no special ids before the last step
  bool gen_box = false;           ///< boxes and labels in turns of five
  bool ignore_eos = false;        ///< the end, where it comes last, adds 1 to the sum in place of its log-probability
  std::string constraint_range;   ///< "a,b": only special ids (below 4) and a .. b-1
  std::shared_ptr<const TokenTrie> trie;  ///< only its sequences, after the prefix; its end is that of the model

  void fields(Fields& f);
};

struct SequenceHypothesis {
  std::vector<int64_t> ids;  ///< without begin, with end; a forced prefix is part of it
  float score = 0;
  std::vector<float> positional_scores;  ///< log-probability of each id, float32 differences of sums
};

/// Returns for each of `rows` instructions its n_best hypotheses, best first; fewer, where no more could end (a small trie).
/// `state` has seen nothing and has `rows` rows. source_length: ids of the padded instructions. prefix: [rows, C], int64, ids that
/// follow begin, filled with pad (undefined: none). Throws a usage error for options that contradict each other or the model.
std::vector<std::vector<SequenceHypothesis>> sequence_search(DecoderState& state, int64_t rows, int64_t source_length, const GenerationTokens& tokens,
                                                             const InstructionVocabulary& vocabulary, const Tensor& prefix,
                                                             const SequenceSearchOptions& options);

/// max_len: how many ids a reply can have before its end, by the options and by what the model can hold.
int64_t longest_reply(int64_t source_length, const GenerationTokens& tokens, const SequenceSearchOptions& options);

}  // namespace vlm
