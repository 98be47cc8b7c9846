#include "vlm/infer/coca_search.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/infer/beam_search.h"

namespace vlm {

namespace coca_search_parts {

/// Least length first, then repetition, on raw logits.
void process(float* scores, const TokenRow& row, const GenerationTokens& tokens, const CocaSearchOptions& options) {
  if (static_cast<int64_t>(row.size()) < options.min_seq_len) scores[tokens.end] = -std::numeric_limits<float>::infinity();
  if (options.repetition_penalty != 1.0) penalize_repetition(scores, row, options.repetition_penalty);
}

Tensor sample(DecoderState& state, const Tensor& prompt, const GenerationTokens& tokens, const CocaSearchOptions& options) {
  auto rows = rows_of(prompt);
  std::vector<SplitMix64> random;
  for (size_t row = 0; row < rows.size(); ++row) random.emplace_back(mix({static_cast<uint64_t>(options.seed), row}));
  const auto done = [&](const TokenRow& row) { return row.back() == tokens.end || row.back() == tokens.pad; };
  Tensor next = prompt;
  for (int64_t length = prompt.size(1); length < options.seq_len; ++length) {
    if (!options.fixed_output_length && std::all_of(rows.begin(), rows.end(), done)) break;
    Tensor scores = state.step(next).to(at::kFloat).contiguous();
    const int64_t vocabulary = scores.size(1);
    next = at::full({static_cast<int64_t>(rows.size()), 1}, tokens.pad, at::kLong);
    for (size_t r = 0; r < rows.size(); ++r) {
      int64_t id = tokens.pad;
      if (!done(rows[r])) {
        float* values = scores.data_ptr<float>() + static_cast<int64_t>(r) * vocabulary;
        process(values, rows[r], tokens, options);
        if (options.type == "top_k") {
          keep_top_k(values, vocabulary, options.top_k);
        } else {
          keep_top_p(values, vocabulary, options.top_p);
        }
        id = draw_id(values, vocabulary, options.temperature, random[r].uniform());
        if (length + 1 == options.seq_len) id = tokens.end;
      }
      rows[r].push_back(id);
      next.data_ptr<int64_t>()[r] = id;
    }
  }
  return padded(rows, tokens.pad);
}

struct Hypothesis {
  TokenRow ids;
  double score;
};

struct Item {
  std::vector<TokenRow> rows;
  std::vector<float> sums;
  std::vector<Hypothesis> hypotheses;
  bool done = false;

  /// Keeps the `limit` best, in place of the worst.
  void add(TokenRow ids, double score, size_t limit) {
    const auto better = [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; };
    if (hypotheses.size() >= limit && score <= hypotheses.back().score) return;
    hypotheses.push_back({std::move(ids), score});
    std::stable_sort(hypotheses.begin(), hypotheses.end(), better);
    if (hypotheses.size() > limit) hypotheses.pop_back();
  }
};

/// All groups see the same logits and are not told apart, so one group of beams / groups gives the result of all.
Tensor beam_search(DecoderState& state, const Tensor& prompt, const GenerationTokens& tokens, const CocaSearchOptions& options) {
  const int64_t pictures = prompt.size(0), beams = options.beams / options.beam_groups;
  std::vector<Item> items(static_cast<size_t>(pictures));
  const auto prompts = rows_of(prompt);
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].rows.assign(static_cast<size_t>(beams), prompts[i]);
    items[i].sums.assign(static_cast<size_t>(beams), -1.0e9F);
    items[i].sums.front() = 0;
  }
  Tensor logits = state.step(prompt);
  const int64_t vocabulary = logits.size(1);
  if (2 * beams > vocabulary) fail_usage("generate.beams (", beams, ") is too large for a vocabulary of ", vocabulary);
  Tensor rows = at::empty({pictures * beams}, at::kLong), next = at::empty({pictures * beams, 1}, at::kLong);
  for (int64_t i = 0; i < pictures * beams; ++i) rows.data_ptr<int64_t>()[i] = i / beams;
  state.select(rows);
  logits = logits.index_select(0, rows);

  int64_t length = prompt.size(1);
  while (true) {
    Tensor scores = logits.to(at::kFloat).contiguous();
    bool open = false;
    for (int64_t picture = 0; picture < pictures; ++picture) {
      Item& item = items[static_cast<size_t>(picture)];
      float* table = scores.data_ptr<float>() + picture * beams * vocabulary;
      std::vector<std::pair<float, int64_t>> candidates;
      if (!item.done) {
        for (int64_t k = 0; k < beams; ++k) {
          process(table + k * vocabulary, item.rows[static_cast<size_t>(k)], tokens, options);
          for (int64_t id = 0; id < vocabulary; ++id) candidates.emplace_back(table[k * vocabulary + id] + item.sums[static_cast<size_t>(k)], k * vocabulary + id);
        }
        std::partial_sort(candidates.begin(), candidates.begin() + 2 * beams, candidates.end(),
                          [](const auto& a, const auto& b) { return a.first != b.first ? a.first > b.first : a.second < b.second; });
        candidates.resize(static_cast<size_t>(2 * beams));
      }
      std::vector<TokenRow> grown;
      std::vector<float> sums;
      std::vector<int64_t> parents;
      for (size_t rank = 0; rank < candidates.size() && static_cast<int64_t>(grown.size()) < beams; ++rank) {
        const auto [sum, index] = candidates[rank];
        const int64_t parent = index / vocabulary, token = index % vocabulary;
        const TokenRow& before = item.rows[static_cast<size_t>(parent)];
        if (token == tokens.end) {
          if (static_cast<int64_t>(rank) < beams) item.add(before, static_cast<double>(sum) / static_cast<double>(length + 1), static_cast<size_t>(beams));
          continue;
        }
        grown.push_back(before);
        grown.back().push_back(token);
        sums.push_back(sum);
        parents.push_back(parent);
      }
      while (static_cast<int64_t>(grown.size()) < beams) {  // a picture that is done goes along
        grown.push_back(item.rows.front());
        grown.back().push_back(tokens.pad);
        sums.push_back(0);
        parents.push_back(0);
      }
      if (!item.done && static_cast<int64_t>(item.hypotheses.size()) >= beams) {
        item.done = item.hypotheses.back().score >= static_cast<double>(candidates.front().first) / static_cast<double>(length + 1);
      }
      for (int64_t k = 0; k < beams; ++k) {
        next.data_ptr<int64_t>()[picture * beams + k] = grown[static_cast<size_t>(k)].back();
        rows.data_ptr<int64_t>()[picture * beams + k] = picture * beams + parents[static_cast<size_t>(k)];
      }
      item.rows = std::move(grown);
      item.sums = std::move(sums);
      open = open || !item.done;
    }
    ++length;
    if (!open || length >= options.seq_len) break;
    state.select(rows);
    logits = state.step(next);
  }

  std::vector<TokenRow> out;
  size_t longest = 0;
  for (auto& item : items) {
    if (!item.done) {
      for (size_t k = 0; k < item.rows.size(); ++k) {
        item.add(item.rows[k], static_cast<double>(item.sums[k]) / static_cast<double>(item.rows[k].size()), item.rows.size());
      }
    }
    out.push_back(item.hypotheses.front().ids);
    longest = std::max(longest, out.back().size());
  }
  const size_t width = std::min(longest + 1, static_cast<size_t>(options.seq_len));
  for (auto& row : out) {
    if (row.size() < width) row.push_back(tokens.end);
    row.resize(options.fixed_output_length ? static_cast<size_t>(options.seq_len) : width, tokens.pad);
  }
  return padded(out, tokens.pad);
}

}  // namespace coca_search_parts

Tensor coca_search(DecoderState& state, const Tensor& prompt, const GenerationTokens& tokens, const CocaSearchOptions& options) {
  if (options.seq_len <= options.min_seq_len) fail_usage("generate.seq_len (", options.seq_len, ") must be larger than min_seq_len (", options.min_seq_len, ")");
  if (tokens.max_length > 0 && options.seq_len > tokens.max_length) fail_usage("the model holds ", tokens.max_length, " ids, generate.seq_len asks for ", options.seq_len);
  const c10::InferenceMode inference;
  if (options.type == "top_k" || options.type == "top_p") return coca_search_parts::sample(state, prompt, tokens, options);
  if (options.type != "beam_search") fail_usage("generate.type must be beam_search, top_k or top_p, not '", options.type, "'");
  if (options.beams < 1 || options.beam_groups < 1 || options.beams % options.beam_groups != 0) {
    fail_usage("generate.beams (", options.beams, ") must be a multiple of beam_groups (", options.beam_groups, ")");
  }
  return coca_search_parts::beam_search(state, prompt, tokens, options);
}

}  // namespace vlm
