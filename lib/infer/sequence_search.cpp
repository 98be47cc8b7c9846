#include "vlm/infer/sequence_search.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/infer/best_candidates.h"
#include "vlm/infer/sequence_rules.h"
#include "vlm/infer/sequence_sampling.h"

namespace vlm {

void SequenceSearchOptions::fields(Fields& f) {
  f.field("beam", beam, "hypotheses kept side by side; 1: greedy");
  f.field("n_best", n_best, "hypotheses returned, at most beam");
  f.field("max_len_a", max_len_a, "longest reply without its end: a * source length + b ids");
  f.field("max_len_b", max_len_b, "see max_len_a");
  f.field("min_len", min_len, "ids before the end may come");
  f.field("normalize_scores", normalize_scores, "hypotheses compete by sum / length^len_penalty, otherwise by their sums");
  f.field("len_penalty", len_penalty, "above 1 prefers longer replies");
  f.field("unk_penalty", unk_penalty, "taken from the score of the unknown id");
  f.field("temperature", temperature, "divides the logits");
  f.field("no_repeat_ngram", no_repeat_ngram, "no n ids come twice in the same order; 0: off");
  f.field("sample", sample, "draws rows of their own in place of the best");
  f.field("top_k", top_k, "draws among the k best; 0: all");
  f.field("top_p", top_p, "draws among the smallest set of this probability");
  f.field("seed", seed, "of sampling");
  f.field("zero_shot", zero_shot, "answers and range rule ids out after the softmax instead of before it");
  f.field("gen_code", gen_code, "codes of a picture: no special ids before the last step");
  f.field("gen_box", gen_box, "boxes and labels in turns of five");
  f.field("ignore_eos", ignore_eos, "the end, where it comes last, adds 1 to the sum in place of its log-probability");
  f.field("constraint_range", constraint_range, "'a,b': only special ids (below 4) and a .. b-1");
}

namespace sequence {

constexpr float impossible = -std::numeric_limits<float>::infinity();

/// A hypothesis that may go on.
struct Slot {
  std::vector<int64_t> ids;  ///< begin included
  std::vector<float> sums;   ///< of log-probabilities, after each id but begin
  int64_t node = TokenTrie::root;
  int64_t row = 0;       ///< of its instruction's rows in the decoder's state
  bool dead = false;     ///< has the score -inf, and so has all that follows
  bool ignored = false;  ///< has no place among those that may end (see choose())
  float score() const { return sums.empty() ? 0.0F : sums.back(); }
};

/// One instruction's share of the search.
struct Item {
  int64_t instruction;
  std::vector<Slot> slots;
  std::vector<SequenceHypothesis> finished;
  std::vector<SplitMix64> random;  ///< a stream a slot
  bool done = false;
};

class Search {
 public:
  Search(DecoderState& state, int64_t rows, const GenerationTokens& tokens, const InstructionVocabulary& vocabulary, const ForcedPrefix& prefix,
         const SequenceSearchOptions& options, int64_t max_len)
      : state_(state), tokens_(tokens), prefix_(prefix), options_(options), max_len_(max_len), rules_(options, tokens, vocabulary, prefix, max_len) {
    for (int64_t i = 0; i < rows; ++i) {
      items_.push_back({i, {Slot{{tokens.begin}, {}}}, {}, {}});
      present_.push_back(static_cast<size_t>(i));
    }
  }

  std::vector<std::vector<SequenceHypothesis>> run() {
    Tensor next = at::full({static_cast<int64_t>(items_.size()), 1}, tokens_.begin, at::kLong);
    for (int64_t t = 0; t <= max_len_ && !present_.empty(); ++t) {
      const Tensor logits = state_.step(next);
      if (t == 0) start(logits.size(1));
      rules_.begin(logits, t, std::all_of(present_.begin(), present_.end(), [&](size_t i) { return items_[i].done || rules_.follows_trie(items_[i].instruction, t); }));
      for (size_t at = 0; at < present_.size(); ++at) {
        Item& item = items_[present_[at]];
        if (item.done) continue;
        choose(item, candidates(item, static_cast<int64_t>(at) * width_, t), t);
        item.done = t == max_len_ || settled(item, t);
      }
      if (std::all_of(present_.begin(), present_.end(), [&](size_t i) { return items_[i].done; })) break;
      next = go_on();
    }
    std::vector<std::vector<SequenceHypothesis>> out;
    for (Item& item : items_) {
      sort(item);
      if (static_cast<int64_t>(item.finished.size()) > options_.n_best) item.finished.resize(static_cast<size_t>(options_.n_best));
      out.push_back(std::move(item.finished));
    }
    return out;
  }

 private:
  void start(int64_t vocabulary) {
    vocabulary_ = vocabulary;
    beam_ = std::min(options_.beam, vocabulary - 1);  // the padding is never chosen
    if (options_.trie && options_.trie->largest() >= vocabulary) {
      fail_usage("an answer holds the id ", options_.trie->largest(), ", but the model's vocabulary ends at ", vocabulary - 1, ": was it encoded for another model?");
    }
    for (Item& item : items_) {
      for (int64_t k = 0; options_.sample && k < beam_; ++k) {
        item.random.emplace_back(mix({static_cast<uint64_t>(options_.seed), static_cast<uint64_t>(item.instruction), static_cast<uint64_t>(k)}));
      }
    }
  }

  /// What can follow, best first when searching and slot by slot when sampling; where there is too little, with impossible ones.
  std::vector<Candidate> candidates(Item& item, int64_t first_row, int64_t t) {
    const auto scores_of = [&](const Slot& slot) -> const NextScores& { return rules_.scores(first_row + slot.row, item.instruction, slot.ids, slot.node); };
    std::vector<Candidate> out;
    const auto draw = [&](const NextScores& scores, int64_t source, size_t k) {
      const auto drawn = draw_next(scores, options_.top_k, options_.top_p, item.random[k].uniform());
      out.push_back(drawn ? Candidate{drawn->second + item.slots[static_cast<size_t>(source)].score(), source, drawn->first} : Candidate{impossible, source, tokens_.pad});
    };
    if (options_.sample && t == 0) {
      const NextScores& scores = scores_of(item.slots.front());
      for (int64_t k = 0; k < beam_; ++k) draw(scores, 0, static_cast<size_t>(k));
      return out;
    }
    const int64_t total = std::min(2 * beam_, (t == 0 ? 1 : beam_) * vocabulary_ - 1);
    BestCandidates best(total, true);
    // A prefix that ends makes all beams equal to the first.
    const bool all_as_first = t > 0 && prefix_.at(item.instruction, t) == tokens_.end;
    if (all_as_first) {
      for (Slot& slot : item.slots) slot = Slot(item.slots.front());
    }
    const NextScores* scores = nullptr;
    for (size_t k = 0; k < item.slots.size(); ++k) {
      const Slot& slot = item.slots[k];
      const auto beam = static_cast<int64_t>(k);
      if (slot.dead) {
        if (options_.sample) out.push_back({impossible, beam, tokens_.pad});
        continue;
      }
      if (k == 0 || !all_as_first) scores = &scores_of(slot);
      if (options_.sample) {
        draw(*scores, beam, k);
      } else {
        best.offer(beam, scores->values(), scores->ids(), scores->count(), slot.score());
      }
    }
    if (options_.sample) return out;
    out = best.take();
    out.resize(static_cast<size_t>(total), {impossible, 0, tokens_.pad});
    return out;
  }

  /// Ends hypotheses, and goes on with the best that do not end. What ends has a place only among the first `beam`. Where too few
  /// do not end (always, in the end, when sampling), their slots are filled with what ended and ignored from then on; like the
  /// reference, we look for them by their rank.
  void choose(Item& item, const std::vector<Candidate>& candidates, int64_t t) {
    std::vector<size_t> order, ended;
    for (size_t rank = 0; rank < candidates.size(); ++rank) {
      const Candidate& candidate = candidates[rank];
      const bool among_first = static_cast<int64_t>(rank) < beam_;
      const bool ignored = among_first && rank < item.slots.size() && item.slots[rank].ignored;
      const bool ends = candidate.token == tokens_.end && candidate.score > impossible;
      if (ends && among_first && !ignored) finish(item, candidate, t);
      (ends || ignored ? ended : order).push_back(rank);
    }
    const size_t going_on = order.size();
    order.insert(order.end(), ended.begin(), ended.end());
    order.resize(static_cast<size_t>(beam_));
    std::vector<Slot> slots;
    for (size_t i = 0; i < order.size(); ++i) {
      const Candidate& candidate = candidates[order[i]];
      const bool ignored = i >= going_on;
      if (candidate.score == impossible || (ignored && options_.sample)) {
        slots.emplace_back().dead = true;
        slots.back().ignored = ignored;
        continue;
      }
      Slot slot = item.slots[static_cast<size_t>(candidate.beam)];
      slot.ids.push_back(candidate.token);
      slot.sums.push_back(candidate.score);
      slot.ignored = ignored;
      if (options_.trie && (options_.zero_shot || t >= prefix_.length(item.instruction))) slot.node = options_.trie->child(slot.node, candidate.token);
      slots.push_back(std::move(slot));
    }
    item.slots = std::move(slots);
  }

  void finish(Item& item, const Candidate& candidate, int64_t t) {
    if (static_cast<int64_t>(item.finished.size()) >= beam_) return;
    const Slot& slot = item.slots[static_cast<size_t>(candidate.beam)];
    SequenceHypothesis hypothesis;
    hypothesis.ids.assign(slot.ids.begin() + 1, slot.ids.end());
    hypothesis.ids.push_back(tokens_.end);
    hypothesis.score = normalized(candidate.score, t + 1);
    float before = 0;
    for (const float sum : slot.sums) hypothesis.positional_scores.push_back(sum - std::exchange(before, sum));
    hypothesis.positional_scores.push_back(candidate.score - before);
    item.finished.push_back(std::move(hypothesis));
  }

  float normalized(float sum, int64_t length) const {
    return options_.normalize_scores ? sum / static_cast<float>(std::pow(static_cast<double>(length), options_.len_penalty)) : sum;
  }

  static void sort(Item& item) {
    std::stable_sort(item.finished.begin(), item.finished.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
  }

  /// Whether nothing that follows step t can change what is returned. The reference goes on until `beam` hypotheses have ended;
  /// we also stop where no further one can be among the n best.
  bool settled(Item& item, int64_t t) const {
    if (static_cast<int64_t>(item.finished.size()) >= beam_) return true;
    float best = impossible;
    for (const Slot& slot : item.slots) {
      if (!slot.dead) best = std::max(best, std::max(normalized(slot.score(), t + 2), normalized(slot.score(), max_len_ + 1)));
    }
    if (best == impossible) return true;
    const bool only_worse = options_.unk_penalty >= 0 && !options_.ignore_eos;  // sums can only fall
    const auto n = static_cast<size_t>(options_.n_best);
    if (!only_worse || item.finished.size() < n) return false;
    std::vector<float> scores;
    for (const auto& hypothesis : item.finished) scores.push_back(hypothesis.score);
    std::nth_element(scores.begin(), scores.begin() + static_cast<std::ptrdiff_t>(n - 1), scores.end(), std::greater<>());
    return scores[n - 1] >= best;  // on ties the earlier one comes first
  }

  /// Brings the state to the hypotheses that go on, and returns the id that each row is fed. Rows are kept for hypotheses that can
  /// still end only: before beams part, behind a forced prefix and in a small trie that is one row or a few.
  Tensor go_on() {
    std::vector<size_t> kept;
    std::vector<int64_t> places;
    for (size_t at = 0; at < present_.size(); ++at) {
      if (items_[present_[at]].done) continue;
      kept.push_back(present_[at]);
      places.push_back(static_cast<int64_t>(at));
    }
    if (kept.size() < present_.size() && can_leave_out_) {
      can_leave_out_ = state_.keep_pictures(at::tensor(places, at::kLong));
      if (can_leave_out_) present_ = kept;
    }
    int64_t width = 1;
    for (const size_t i : present_) {
      if (!items_[i].done) width = std::max<int64_t>(width, std::count_if(items_[i].slots.begin(), items_[i].slots.end(), [](const Slot& s) { return !s.dead; }));
    }
    std::vector<int64_t> rows, next;
    for (size_t at = 0; at < present_.size(); ++at) {
      Item& item = items_[present_[at]];
      const int64_t first = static_cast<int64_t>(at) * width_, begin = static_cast<int64_t>(at) * width;
      for (Slot& slot : item.slots) {
        if (item.done || slot.dead) continue;
        rows.push_back(first + slot.row);
        next.push_back(slot.ids.back());
        slot.row = static_cast<int64_t>(rows.size()) - 1 - begin;
      }
      while (static_cast<int64_t>(rows.size()) < begin + width) {  // what nobody looks at
        const bool empty = static_cast<int64_t>(rows.size()) == begin;
        rows.push_back(empty ? first : rows.back());
        next.push_back(empty ? tokens_.end : next.back());
      }
    }
    bool same = width == width_;
    for (size_t row = 0; same && row < rows.size(); ++row) same = rows[row] == static_cast<int64_t>(row);
    if (!same) state_.select(at::tensor(rows, at::kLong));
    width_ = width;
    return at::tensor(next, at::kLong).unsqueeze(1);
  }

  DecoderState& state_;
  GenerationTokens tokens_;
  const ForcedPrefix& prefix_;
  const SequenceSearchOptions& options_;
  int64_t max_len_, vocabulary_ = 0, beam_ = 0, width_ = 1;
  SequenceRules rules_;
  std::vector<Item> items_;
  std::vector<size_t> present_;  // items whose rows the state holds, in its order
  bool can_leave_out_ = true;
};

}  // namespace sequence

int64_t longest_reply(int64_t source_length, const GenerationTokens& tokens, const SequenceSearchOptions& options) {
  const auto max_len = static_cast<int64_t>(options.max_len_a * static_cast<double>(source_length) + static_cast<double>(options.max_len_b));
  if (max_len < 0) fail_usage("max_len_a and max_len_b leave no room for a reply: ", max_len, " ids");
  // Where codes stand is up to the picture's grid, and not to the places for words.
  return tokens.max_length > 0 && !options.gen_code ? std::min(max_len, tokens.max_length - 1) : max_len;
}

std::vector<std::vector<SequenceHypothesis>> sequence_search(DecoderState& state, int64_t rows, int64_t source_length, const GenerationTokens& tokens,
                                                             const InstructionVocabulary& vocabulary, const Tensor& prefix,
                                                             const SequenceSearchOptions& options) {
  check(options);
  const int64_t max_len = longest_reply(source_length, tokens, options);
  if (options.min_len > max_len) fail_usage("min_len (", options.min_len, ") is larger than the longest reply (", max_len, " ids)");
  if (prefix.defined() && (prefix.dim() != 2 || prefix.size(0) != rows)) fail("sequence_search needs a prefix for each of ", rows, " rows");
  if (options.trie && options.trie->end() != tokens.end) fail_usage("the answers end with the id ", options.trie->end(), ", but the model's end is ", tokens.end);
  const c10::InferenceMode inference;
  const ForcedPrefix forced(prefix, tokens.pad, max_len);
  return sequence::Search(state, rows, tokens, vocabulary, forced, options, max_len).run();
}

}  // namespace vlm
