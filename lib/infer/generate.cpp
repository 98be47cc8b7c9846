#include "vlm/infer/generate.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/infer/beam_search.h"
#include "vlm/infer/logits.h"
#include "vlm/infer/mplug_search.h"
#include "vlm/infer/token_trie.h"

namespace vlm {

GenerateOptions GenerateOptions::usual(const UsualSearch& search) {
  GenerateOptions out = beam(search.beams, search.max_new_tokens);
  out.rules = search.rules;
  out.min_new_tokens = search.min_new_tokens;
  out.length_penalty = search.length_penalty;
  return out;
}

void GenerateOptions::fields(Fields& f) {
  f.field("rules", rules, "of beam search: transformers, or mplug for mPLUG's own");
  f.field("beams", beams, "hypotheses kept side by side; 1: greedy, or sampling");
  f.field("max_new_tokens", max_new_tokens, "longest text, in ids");
  f.field("max_length", max_length, "longest text with its prompt, in ids; 0: max_new_tokens decides");
  f.field("min_length", min_length, "least length with the prompt, in ids");
  f.field("min_new_tokens", min_new_tokens, "least length without the prompt, in ids");
  f.field("length_penalty", length_penalty, "above 1 prefers longer texts (beam search)");
  f.field("repetition_penalty", repetition_penalty, "above 1 discourages ids that occur already");
  f.field("no_repeat_ngram", no_repeat_ngram, "no n ids come twice in the same order; 0: off");
  f.field("early_stopping", early_stopping, "false, true or never (beam search)");
  f.field("sample", sample, "draw ids instead of taking the best");
  f.field("temperature", temperature, "of sampling");
  f.field("top_k", top_k, "sample among the k best; 0: all");
  f.field("top_p", top_p, "sample among the smallest set of this probability");
  f.field("seed", seed, "of sampling");
}

namespace generation {

void check(const GenerateOptions& o) {
  if (o.rules != "transformers" && o.rules != "mplug") fail_usage("generate.rules must be transformers or mplug, not '", o.rules, "'");
  if (o.beams < 1) fail_usage("generate.beams must be at least 1, not ", o.beams);
  if (o.sample && o.beams > 1) fail_usage("sampling and beam search exclude each other: leave out generate.sample or set generate.beams to 1");
  if (o.max_length <= 0 && o.max_new_tokens <= 0) fail_usage("generate.max_new_tokens must be positive, not ", o.max_new_tokens);
  if (!(o.temperature > 0)) fail_usage("generate.temperature must be positive, not ", o.temperature);
  if (!(o.top_p > 0)) fail_usage("generate.top_p must be positive, not ", o.top_p);
  if (!(o.repetition_penalty > 0)) fail_usage("generate.repetition_penalty must be positive, not ", o.repetition_penalty);
  if (o.early_stopping != "true" && o.early_stopping != "false" && o.early_stopping != "never") {
    fail_usage("generate.early_stopping must be true, false or never, not '", o.early_stopping, "'");
  }
}

/// Greedy search and sampling: one hypothesis a row.
Generated one_by_one(DecoderState& state, const Tensor& prompt, const Tensor& prompt_mask, const GenerationTokens& tokens, const GenerateOptions& options,
                     int64_t longest) {
  const int64_t rows = prompt.size(0), prompt_length = prompt.size(1);
  std::vector<TokenRow> ids = rows_of(prompt);
  std::vector<bool> done(static_cast<size_t>(rows), false);
  std::vector<double> sums(static_cast<size_t>(rows), 0.0), counts(static_cast<size_t>(rows), 0.0);
  std::vector<SplitMix64> random;
  for (int64_t row = 0; row < rows; ++row) random.emplace_back(mix({static_cast<uint64_t>(options.seed), static_cast<uint64_t>(row)}));
  Tensor next = prompt, mask = prompt_mask;
  for (int64_t length = prompt_length; length < longest; ++length) {
    Tensor scores = state.step(next, mask).to(at::kFloat).contiguous();
    mask = Tensor();
    const int64_t vocabulary = scores.size(1);
    const Tensor normalizer = scores.logsumexp(1);
    const Tensor plain = scores.clone();
    next = at::full({rows, 1}, tokens.pad, at::kLong);
    bool open = false;
    for (int64_t row = 0; row < rows; ++row) {
      const auto r = static_cast<size_t>(row);
      int64_t id = tokens.pad;
      if (!done[r]) {
        float* values = scores.data_ptr<float>() + row * vocabulary;
        process_scores(values, vocabulary, ids[r], prompt_length, tokens.end, options);
        if (options.sample) {
          for (int64_t i = 0; i < vocabulary; ++i) values[i] /= static_cast<float>(options.temperature);
          keep_top_k(values, vocabulary, options.top_k);
          keep_top_p(values, vocabulary, options.top_p);
          id = draw_id(values, vocabulary, 1.0, random[r].uniform());
        } else {
          id = best_id(values, vocabulary);
        }
        sums[r] += plain.const_data_ptr<float>()[row * vocabulary + id] - normalizer.const_data_ptr<float>()[row];
        counts[r] += 1;
        done[r] = id == tokens.end;
        open = open || !done[r];
      }
      ids[r].push_back(id);
      next.data_ptr<int64_t>()[row] = id;
    }
    if (!open) break;
  }
  Generated out;
  for (size_t row = 0; row < sums.size(); ++row) out.scores.push_back(counts[row] > 0 ? sums[row] / counts[row] : 0.0);
  out.ids = padded(ids, tokens.pad);
  return out;
}

}  // namespace generation

std::vector<TokenRow> rows_of(const Tensor& ids) {
  const Tensor plain = ids.to(at::kLong).contiguous();
  std::vector<TokenRow> out;
  for (int64_t row = 0; row < plain.size(0); ++row) {
    const int64_t* begin = plain.const_data_ptr<int64_t>() + row * plain.size(1);
    out.emplace_back(begin, begin + plain.size(1));
  }
  return out;
}

Tensor padded(const std::vector<TokenRow>& rows, int64_t fill) {
  size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  Tensor out = at::full({static_cast<int64_t>(rows.size()), static_cast<int64_t>(longest)}, fill, at::kLong);
  for (size_t i = 0; i < rows.size(); ++i) std::copy(rows[i].begin(), rows[i].end(), out.data_ptr<int64_t>() + i * longest);
  return out;
}

Tensor begin_prompt(int64_t rows, const GenerationTokens& tokens) { return at::full({rows, 1}, tokens.begin, at::kLong); }

AllowedIds allow_sequences(const std::vector<std::vector<int64_t>>& sequences, int64_t end) {
  const auto trie = std::make_shared<const TokenTrie>(sequences, end);
  return [trie](const TokenRow& so_far) { return trie->next(trie->find(so_far)); };
}

Generated generate(DecoderState& state, const Tensor& prompt, const Tensor& prompt_mask, const GenerationTokens& tokens, const GenerateOptions& options) {
  generation::check(options);
  const int64_t prompt_length = prompt.size(1);
  if (prompt.size(0) == 0 || prompt_length == 0) fail("generation needs at least one id to start from");
  int64_t longest = options.max_length > 0 ? options.max_length : prompt_length + options.max_new_tokens;
  if (options.max_length > 0 && options.max_length <= prompt_length) {
    fail_usage("generate.max_length (", options.max_length, ") must be larger than the prompt of ", prompt_length, " ids");
  }
  if (tokens.max_length > 0) longest = std::min(longest, tokens.max_length);
  if (longest <= prompt_length) fail("the prompt of ", prompt_length, " ids fills all that the model can hold (", tokens.max_length, ")");
  const c10::InferenceMode inference;
  if (options.rules == "mplug" && !options.sample) {
    const auto found = mplug_search(state, prompt, prompt_mask, tokens, options, longest - prompt_length);
    Generated out;
    std::vector<TokenRow> texts;
    for (const auto& texts_of_picture : found) {
      texts.push_back(texts_of_picture.front().ids);
      out.scores.push_back(texts_of_picture.front().score);
    }
    out.ids = padded(texts, tokens.pad);
    return out;
  }
  return options.beams > 1 ? beam_search(state, prompt, prompt_mask, tokens, options, longest)
                           : generation::one_by_one(state, prompt, prompt_mask, tokens, options, longest);
}

}  // namespace vlm
