#include "vlm/infer/beam_search.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/log_softmax.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vlm/core/error.h"
#include "vlm/infer/best_candidates.h"

namespace vlm {

namespace beam {

/// What the reference adds to what must not win.
constexpr float out_of_the_race = -1.0e9F;

struct Hypothesis {
  TokenRow ids;
  float score = out_of_the_race;
  bool finished = false;
};

/// One picture's share of the search.
struct Item {
  std::vector<Hypothesis> running, finished;
  bool improvable = true;  ///< once a better hypothesis has become impossible, it stays so
};

void keep_best(std::vector<Hypothesis>& list, size_t count) {
  std::stable_sort(list.begin(), list.end(), [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
  if (list.size() > count) list.resize(count);
}

bool all_finished(const Item& item) {
  return std::all_of(item.finished.begin(), item.finished.end(), [](const Hypothesis& h) { return h.finished; });
}

}  // namespace beam

Generated beam_search(DecoderState& state, const Tensor& prompt, const Tensor& prompt_mask, const GenerationTokens& tokens, const GenerateOptions& options,
                      int64_t longest) {
  using beam::Hypothesis;
  const int64_t pictures = prompt.size(0), prompt_length = prompt.size(1), beams = options.beams;
  const bool early = options.early_stopping == "true", never = options.early_stopping == "never";
  const auto penalty = static_cast<float>(options.length_penalty);

  std::vector<beam::Item> items(static_cast<size_t>(pictures));
  const auto prompts = rows_of(prompt);
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].running.assign(static_cast<size_t>(beams), {prompts[i], beam::out_of_the_race, false});
    items[i].running.front().score = 0;
    items[i].finished.assign(static_cast<size_t>(beams), {prompts[i], beam::out_of_the_race, false});
  }

  // The prompt runs once a picture; its state is repeated for the beams afterwards.
  Tensor logits = state.step(prompt, prompt_mask);
  const int64_t vocabulary = logits.size(1);
  if (2 * beams > vocabulary) fail_usage("generate.beams (", beams, ") is too large for a vocabulary of ", vocabulary);
  Tensor rows = at::empty({pictures * beams}, at::kLong);
  for (int64_t i = 0; i < pictures * beams; ++i) rows.data_ptr<int64_t>()[i] = i / beams;
  state.select(rows);
  logits = logits.index_select(0, rows);

  for (int64_t length = prompt_length;;) {
    Tensor scores = at::log_softmax(logits.to(at::kFloat), 1).contiguous();  // [B K, V]
    bool any_improvable = false, all_full = true, all_hit = true;
    Tensor next = at::empty({pictures * beams, 1}, at::kLong);
    for (int64_t picture = 0; picture < pictures; ++picture) {
      beam::Item& item = items[static_cast<size_t>(picture)];
      float* table = scores.data_ptr<float>() + picture * beams * vocabulary;
      BestCandidates best(2 * beams);
      for (int64_t k = 0; k < beams; ++k) {
        const Hypothesis& hypothesis = item.running[static_cast<size_t>(k)];
        float* row = table + k * vocabulary;
        process_scores(row, vocabulary, hypothesis.ids, prompt_length, tokens.end, options);
        best.offer(k, row, nullptr, vocabulary, hypothesis.score);
      }
      const auto candidates = best.take();
      const bool closed = early && beam::all_finished(item);
      std::vector<Hypothesis> running, merged = item.finished;
      std::vector<int64_t> parents;
      std::vector<std::pair<Hypothesis, int64_t>> going_on;
      for (size_t rank = 0; rank < candidates.size(); ++rank) {
        const Candidate& candidate = candidates[rank];
        Hypothesis extended{item.running[static_cast<size_t>(candidate.beam)].ids, candidate.score, false};
        extended.ids.push_back(candidate.token);
        const bool hit = candidate.token == tokens.end || length + 1 >= longest;
        all_hit = all_hit && hit;
        if (hit && static_cast<int64_t>(rank) < beams && !closed && item.improvable) {
          Hypothesis done = extended;
          done.finished = true;
          done.score = candidate.score / std::pow(static_cast<float>(length + 1 - prompt_length), penalty);
          merged.push_back(std::move(done));
        }
        if (hit) extended.score += beam::out_of_the_race;
        going_on.emplace_back(std::move(extended), candidate.beam);
      }
      beam::keep_best(merged, static_cast<size_t>(beams));
      item.finished = std::move(merged);
      std::stable_sort(going_on.begin(), going_on.end(), [](const auto& a, const auto& b) { return a.first.score > b.first.score; });
      for (int64_t k = 0; k < beams; ++k) {
        auto& [hypothesis, parent] = going_on[static_cast<size_t>(k)];
        next.data_ptr<int64_t>()[picture * beams + k] = hypothesis.ids.back();
        rows.data_ptr<int64_t>()[picture * beams + k] = picture * beams + parent;
        running.push_back(std::move(hypothesis));
      }
      item.running = std::move(running);

      const int64_t made = length + 1 - prompt_length;
      const int64_t reach = never && options.length_penalty > 0 ? longest - prompt_length : made;
      const float attainable = item.running.front().score / std::pow(static_cast<float>(reach), penalty);
      float worst = item.finished.front().score;
      for (const auto& hypothesis : item.finished) worst = std::min(worst, hypothesis.finished ? hypothesis.score : beam::out_of_the_race);
      item.improvable = item.improvable && attainable > worst;
      any_improvable = any_improvable || item.improvable;
      all_full = all_full && beam::all_finished(item);
    }
    ++length;
    if (!any_improvable || (early && all_full) || all_hit) break;
    state.select(rows);
    logits = state.step(next);
  }

  Generated out;
  std::vector<TokenRow> texts;
  for (auto& item : items) {
    const Hypothesis& best = item.finished.front().finished ? item.finished.front() : item.running.front();
    texts.push_back(best.ids);
    out.scores.push_back(best.score);
  }
  // The reference fills with the end where the padding is 0.
  out.ids = padded(texts, tokens.pad != 0 ? tokens.pad : tokens.end);
  return out;
}

}  // namespace vlm
