#include "vlm/infer/mplug_search.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/log.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/infer/beam_search.h"
#include "vlm/infer/best_candidates.h"

namespace vlm {

namespace mplug_beams {

constexpr float too_early = -1.0e20F;  ///< what the reference gives the end before its time

/// One picture's share.
struct Item {
  std::vector<TokenRow> ids;   ///< of the beams
  std::vector<float> sums;     ///< their log-probabilities
  std::vector<RankedText> kept;
  bool done = false;
};

}  // namespace mplug_beams

std::vector<std::vector<RankedText>> mplug_search(DecoderState& state, const Tensor& prompt, const Tensor& prompt_mask, const GenerationTokens& tokens,
                                                  const GenerateOptions& options, int64_t steps, int64_t n_best) {
  using mplug_beams::Item;
  const int64_t pictures = prompt.size(0), prompt_length = prompt.size(1), beams = options.beams;
  if (n_best < 1 || n_best > beams) fail_usage("a search with ", beams, " beams can give 1 to ", beams, " texts, not ", n_best);
  // The end is handled as the reference does it; the rest is shared with the other rules.
  GenerateOptions common = options;
  common.min_length = common.min_new_tokens = 0;

  std::vector<Item> items(static_cast<size_t>(pictures));
  const auto prompts = rows_of(prompt.cpu());
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].ids.assign(static_cast<size_t>(beams), prompts[i]);
    items[i].sums.assign(static_cast<size_t>(beams), -std::numeric_limits<float>::infinity());
    items[i].sums.front() = 0;
  }
  Tensor logits = state.step(prompt, prompt_mask);
  const int64_t vocabulary = logits.size(1);
  if (beams > vocabulary) fail_usage("generate.beams (", beams, ") is too large for a vocabulary of ", vocabulary);
  Tensor rows = at::empty({pictures * beams}, at::kLong), next = at::empty({pictures * beams, 1}, at::kLong);
  for (int64_t i = 0; i < pictures * beams; ++i) rows.data_ptr<int64_t>()[i] = i / beams;
  // Choices are made on the processor, whatever device the decoder is on.
  const auto device = logits.device();
  state.select(rows.to(device));
  logits = logits.index_select(0, rows.to(device));

  for (int64_t step = 0; step < steps; ++step) {
    Tensor scores = at::softmax(logits.to(at::kFloat), 1).log().cpu().contiguous();  // [B K, V]
    const auto penalty = static_cast<float>(std::pow(static_cast<double>(5 + step + 1) / 6.0, options.length_penalty));
    bool open = false;
    for (int64_t picture = 0; picture < pictures; ++picture) {
      Item& item = items[static_cast<size_t>(picture)];
      int64_t* from = rows.data_ptr<int64_t>() + picture * beams;
      int64_t* id = next.data_ptr<int64_t>() + picture * beams;
      if (item.done) {
        // Fed on for want of a way to leave; what comes of it is not looked at.
        for (int64_t k = 0; k < beams; ++k) from[k] = picture * beams + k, id[k] = tokens.end;
        continue;
      }
      BestCandidates best(beams);
      for (int64_t k = 0; k < beams; ++k) {
        float* row = scores.data_ptr<float>() + (picture * beams + k) * vocabulary;
        process_scores(row, vocabulary, item.ids[static_cast<size_t>(k)], prompt_length, tokens.end, common);
        if (step < options.min_new_tokens) row[tokens.end] = mplug_beams::too_early;
        const float sum = item.sums[static_cast<size_t>(k)];
        for (int64_t v = 0; v < vocabulary; ++v) row[v] = (row[v] + sum) / penalty;
        best.offer(k, row, nullptr, vocabulary, 0);
      }
      const auto chosen = best.take();
      const bool last = step + 1 == steps;
      item.done = last || chosen.front().token == tokens.end;
      std::vector<TokenRow> extended;
      for (int64_t k = 0; k < beams; ++k) {
        const Candidate& candidate = chosen[static_cast<size_t>(k)];
        extended.push_back(item.ids[static_cast<size_t>(candidate.beam)]);
        extended.back().push_back(candidate.token);
        item.sums[static_cast<size_t>(k)] = candidate.score * penalty;
        from[k] = picture * beams + candidate.beam;
        id[k] = candidate.token;
        if (item.done || candidate.token == tokens.end) item.kept.push_back({extended.back(), candidate.score});
      }
      item.ids = std::move(extended);
      open = open || !item.done;
    }
    if (!open) break;
    state.select(rows.to(device));
    logits = state.step(next.to(device));
  }

  std::vector<std::vector<RankedText>> out;
  for (auto& item : items) {
    std::stable_sort(item.kept.begin(), item.kept.end(), [](const RankedText& a, const RankedText& b) { return a.score > b.score; });
    item.kept.resize(static_cast<size_t>(std::min<int64_t>(n_best, static_cast<int64_t>(item.kept.size()))));
    out.push_back(std::move(item.kept));
  }
  return out;
}

}  // namespace vlm
