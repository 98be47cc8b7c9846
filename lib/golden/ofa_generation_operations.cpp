#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/golden/case.h"
#include "vlm/golden/ofa_case.h"
#include "vlm/infer/candidate_scores.h"
#include "vlm/infer/sequence_search.h"

namespace vlm::golden {

namespace ofa_generation {

using Lists = std::vector<std::vector<int64_t>>;

SequenceSearchOptions search_options(const Case& c, int64_t end) {
  SequenceSearchOptions o;
  o.beam = c.param("beam_size", int64_t{1});
  o.n_best = o.beam;
  o.max_len_a = c.param("max_len_a", 0.0);
  o.max_len_b = c.param("max_len_b", int64_t{200});
  o.min_len = c.param("min_len", int64_t{1});
  o.normalize_scores = c.param("normalize_scores", true);
  o.len_penalty = c.param("len_penalty", 1.0);
  o.unk_penalty = c.param("unk_penalty", 0.0);
  o.temperature = c.param("temperature", 1.0);
  o.no_repeat_ngram = c.param("no_repeat_ngram_size", int64_t{0});
  o.zero_shot = c.param("zero_shot", false);
  o.gen_code = c.param("gen_code", false);
  o.gen_box = c.param("gen_box", false);
  o.ignore_eos = c.param("ignore_eos", false);
  o.constraint_range = c.param("constraint_range", std::string());
  const auto answers = c.param("constraint_trie", Lists());
  if (!answers.empty()) o.trie = std::make_shared<const TokenTrie>(answers, end);
  return o;
}

Result generate(const Case& c) {
  const c10::InferenceMode inference;
  const auto model = ofa_model(c);
  const GenerationTokens tokens = model->generation_tokens();
  const SequenceSearchOptions options = search_options(c, tokens.end);
  Instruction instruction = ofa_instruction(c);
  const int64_t rows = instruction.ids.size(0);
  if (options.gen_code) instruction.code_mask = at::ones({rows}, at::kBool);
  const auto state = model->begin_reply(model->encode_instruction(instruction));
  const auto found = sequence_search(*state, rows, instruction.ids.size(1), tokens, model->instruction_vocabulary(),
                                     c.has_in("prefix_tokens") ? c.in("prefix_tokens") : Tensor(), options);
  size_t longest = 0;
  for (const auto& hypotheses : found) {
    for (const auto& hypothesis : hypotheses) longest = std::max(longest, hypothesis.ids.size());
  }
  const auto length = static_cast<int64_t>(longest);
  Tensor ids = at::full({rows, options.n_best, length}, tokens.pad, at::kLong), lengths = at::zeros({rows, options.n_best}, at::kLong);
  Tensor scores = at::zeros({rows, options.n_best}, at::kFloat), positional = at::zeros({rows, options.n_best, length}, at::kFloat);
  for (int64_t row = 0; row < rows; ++row) {
    int64_t at = row * options.n_best;
    for (const auto& hypothesis : found[static_cast<size_t>(row)]) {
      std::copy(hypothesis.ids.begin(), hypothesis.ids.end(), ids.data_ptr<int64_t>() + at * length);
      std::copy(hypothesis.positional_scores.begin(), hypothesis.positional_scores.end(), positional.data_ptr<float>() + at * length);
      lengths.data_ptr<int64_t>()[at] = static_cast<int64_t>(hypothesis.ids.size());
      scores.data_ptr<float>()[at] = hypothesis.score;
      ++at;
    }
  }
  Result result;
  result.set("out.tokens", ids);
  result.set("out.lengths", lengths);
  result.set("out.scores", scores);
  result.set("out.positional_scores", positional);
  return result;
}

Result all_candidates(const Case& c) {
  const c10::InferenceMode inference;
  const auto model = ofa_model(c);
  const auto encoded = model->encode_instruction(ofa_instruction(c));
  const auto answers = c.param("answers", Lists());
  Lists prompts = c.param("decoder_prompts", Lists());
  if (prompts.empty()) prompts.assign(static_cast<size_t>(encoded->rows()), {model->generation_tokens().begin});
  CandidateOptions options;
  const CandidateScores together = score_candidates(*model, encoded, prompts, answers, options);
  options.share_beginnings = false;
  const CandidateScores apart = score_candidates(*model, encoded, prompts, answers, options);
  const double apart_by = (together.scores - apart.scores).abs().max().item<double>();
  if (!(apart_by < 1e-3)) fail("answers scored together and one by one differ by ", apart_by);
  Result result;
  result.set("out.scores", apart.scores);
  result.set("out.predict", together.best);
  return result;
}

}  // namespace ofa_generation

void add_ofa_generation_operations(Operations& operations) {
  operations["ofa.generate"] = ofa_generation::generate;
  operations["ofa.allcand"] = ofa_generation::all_candidates;
}

}  // namespace vlm::golden
