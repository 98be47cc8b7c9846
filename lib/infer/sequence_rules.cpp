#include "vlm/infer/sequence_rules.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/log_softmax.h>

#include <algorithm>
#include <charconv>

#include "vlm/core/error.h"
#include "vlm/infer/logits.h"

namespace vlm {

namespace sequence_rules {

constexpr int64_t special_ids = 4;  // begin, pad, end, unknown
/// Where the reference takes the ids of boxes to end, whatever the vocabulary.
constexpr int64_t end_of_boxes = 59457;

std::pair<int64_t, int64_t> parse_range(const std::string& text) {
  int64_t from = -1, to = -1;
  const char *begin = text.data(), *end = begin + text.size();
  const auto first = std::from_chars(begin, end, from);
  if (first.ec == std::errc() && first.ptr != end && *first.ptr == ',') {
    const auto second = std::from_chars(first.ptr + 1, end, to);
    if (second.ec == std::errc() && second.ptr == end && from >= 0 && to > from) return {from, to};
  }
  fail_usage("constraint_range must be two ids 'a,b' with a < b, of which b is the first that is not allowed any more; '", text, "' is not");
}

}  // namespace sequence_rules

void check(const SequenceSearchOptions& o) {
  if (o.beam < 1) fail_usage("beam must be at least 1, not ", o.beam);
  if (o.n_best < 1 || o.n_best > o.beam) fail_usage("n_best must lie between 1 and beam (", o.beam, "), not be ", o.n_best);
  if (!(o.temperature > 0)) fail_usage("temperature must be positive, not ", o.temperature);
  if (o.no_repeat_ngram < 0) fail_usage("no_repeat_ngram must not be negative, but is ", o.no_repeat_ngram);
  if (!(o.top_p > 0)) fail_usage("top_p must be positive, not ", o.top_p);
  if (o.top_k < 0) fail_usage("top_k must not be negative, but is ", o.top_k);
  if (o.top_k > 0 && o.top_p < 1) fail_usage("top_k and top_p exclude each other: leave one of them out");
  if (!o.sample && (o.top_k > 0 || o.top_p < 1)) fail_usage("top_k and top_p belong to sampling: set sample, or leave them out");
  if (!o.constraint_range.empty()) {
    sequence_rules::parse_range(o.constraint_range);
    if (o.trie) fail_usage("constraint_range and a closed set of answers exclude each other: leave one of them out");
  }
}

ForcedPrefix::ForcedPrefix(const Tensor& prefix, int64_t pad, int64_t max_len) : pad_(pad) {
  if (!prefix.defined()) return;
  const Tensor plain = prefix.to(at::kLong).contiguous();
  const int64_t columns = plain.size(1);
  for (int64_t row = 0; row < plain.size(0); ++row) {
    const int64_t* begin = plain.const_data_ptr<int64_t>() + row * columns;
    ids_.emplace_back(begin, begin + columns);
    lengths_.push_back(columns - std::count(begin, begin + columns, pad));
  }
  columns_ = std::min(columns, max_len);
}

int64_t ForcedPrefix::at(int64_t row, int64_t t) const {
  if (!covers(t)) return -1;
  const int64_t id = ids_[static_cast<size_t>(row)][static_cast<size_t>(t)];
  return id == pad_ ? -1 : id;
}

SequenceRules::SequenceRules(const SequenceSearchOptions& options, const GenerationTokens& tokens, const InstructionVocabulary& vocabulary,
                             const ForcedPrefix& prefix, int64_t max_len)
    : options_(options), tokens_(tokens), unknown_(vocabulary.unknown), prefix_(prefix), max_len_(max_len), ranged_(!options.constraint_range.empty()) {
  if (ranged_) std::tie(from_, to_) = sequence_rules::parse_range(options.constraint_range);
}

bool SequenceRules::follows_trie(int64_t instruction, int64_t t) const {
  return options_.trie && !options_.zero_shot && t >= prefix_.length(instruction);
}

void SequenceRules::begin(const Tensor& logits, int64_t t, bool trie_only) {
  t_ = t;
  logits_ = logits.to(at::kFloat).contiguous();
  if (options_.temperature != 1) logits_ = logits_.div(options_.temperature);
  vocabulary_ = logits_.size(1);
  whole_ = Tensor();
  in_range_.clear();
  if (trie_only) return;
  if (!ranged_ || options_.zero_shot) {
    whole_ = at::log_softmax(logits_, 1);
    return;
  }
  // What the range rules out takes no part in the softmax, so only the rest is looked at.
  const int64_t to = std::min(to_, vocabulary_), from = std::min(std::max(from_, sequence_rules::special_ids), to);
  const int64_t special = std::min(sequence_rules::special_ids, to);
  for (int64_t id = 0; id < special; ++id) in_range_.push_back(id);
  for (int64_t id = from; id < to; ++id) in_range_.push_back(id);
  whole_ = at::log_softmax(at::cat({logits_.slice(1, 0, special), logits_.slice(1, from, to)}, 1), 1);
}

NextScores& SequenceRules::listed(int64_t row, int64_t trie_node) {
  const std::span<const int64_t> allowed = options_.trie->next(trie_node);
  const float* logits = logits_.const_data_ptr<float>() + row * vocabulary_;
  few_.clear();
  for (const int64_t id : allowed) few_.push_back(logits[id]);
  log_softmax_of_few(few_);
  view_ = std::make_unique<NextScores>(allowed, few_.data());
  return *view_;
}

NextScores& SequenceRules::unlisted(int64_t row, int64_t trie_node) {
  float* values = whole_.data_ptr<float>() + row * whole_.size(1);
  if (options_.trie && options_.zero_shot) {
    const std::span<const int64_t> allowed = options_.trie->next(trie_node);
    few_.clear();
    for (const int64_t id : allowed) few_.push_back(values[id]);
    view_ = std::make_unique<NextScores>(allowed, few_.data());
  } else if (!in_range_.empty()) {
    view_ = std::make_unique<NextScores>(in_range_, values);
  } else {
    view_ = std::make_unique<NextScores>(values, vocabulary_);
    if (ranged_) {
      view_->rule_out(sequence_rules::special_ids, from_);
      view_->rule_out(to_, vocabulary_);
    }
  }
  return *view_;
}

const NextScores& SequenceRules::scores(int64_t row, int64_t instruction, const std::vector<int64_t>& ids, int64_t trie_node) {
  NextScores& s = follows_trie(instruction, t_) ? listed(row, trie_node) : unlisted(row, trie_node);
  // The order is the reference's: a forced id is subject to all that follows.
  const int64_t forced = prefix_.at(instruction, t_);
  if (forced >= 0) {
    s.keep_only(forced, s.of(forced));
  } else if (!prefix_.covers(t_) && t_ < options_.min_len) {
    s.rule_out(tokens_.end);
  }
  s.rule_out_nan();
  s.rule_out(tokens_.pad);
  if (unknown_ >= 0 && options_.unk_penalty != 0) s.add(unknown_, -static_cast<float>(options_.unk_penalty));
  if ((options_.gen_code || options_.gen_box) && t_ < max_len_) s.rule_out(0, sequence_rules::special_ids);
  if (options_.gen_box) {
    s.rule_out(vocabulary_ - 1);
    if ((t_ + 1) % 5 == 0) {
      s.rule_out(from_, sequence_rules::end_of_boxes);
    } else {
      s.rule_out(sequence_rules::end_of_boxes, vocabulary_);
    }
  }
  if (t_ >= max_len_) s.keep_only(tokens_.end, options_.ignore_eos ? 1.0F : s.of(tokens_.end));
  if (options_.no_repeat_ngram > 0) {
    for (const int64_t id : ngram_completions(ids, options_.no_repeat_ngram)) s.rule_out(id);
  }
  return s;
}

}  // namespace vlm
