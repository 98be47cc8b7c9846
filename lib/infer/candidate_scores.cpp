#include "vlm/infer/candidate_scores.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>
#include <map>
#include <numeric>

#include "vlm/core/error.h"
#include "vlm/infer/next_scores.h"

namespace vlm {

void CandidateOptions::fields(Fields& f) {
  f.field("share_beginnings", share_beginnings, "answers that begin alike share the work on their beginning");
  f.field("max_megabytes", max_megabytes, "of logits at a time");
}

namespace candidate_scores {

using Ids = std::vector<int64_t>;

/// Log-probabilities of what may follow a node of the trie.
class Allowed {
 public:
  Allowed(const TokenTrie& trie, int64_t node, const float* logits) : ids_(trie.next(node)) {
    for (const int64_t id : ids_) values_.push_back(logits[id]);
    log_softmax_of_few(values_);
  }
  float of(int64_t id) { return NextScores(ids_, values_.data()).of(id); }

 private:
  std::span<const int64_t> ids_;
  std::vector<float> values_;
};

class Scorer {
 public:
  Scorer(Instructed& model, std::shared_ptr<const EncodedInstruction> encoded, const std::vector<Ids>& prompts, const std::vector<Ids>& answers, double max_bytes)
      : model_(model), encoded_(std::move(encoded)), tokens_(model.generation_tokens()), vocabulary_(model.instruction_vocabulary().size), prompts_(prompts),
        answers_(answers), trie_(answers, tokens_.end), max_bytes_(max_bytes), order_(answers.size()) {
    scores_ = at::zeros({static_cast<int64_t>(prompts.size()), static_cast<int64_t>(answers.size())}, at::kFloat);
    std::iota(order_.begin(), order_.end(), 0);
  }

  /// Every answer in a row of its own.
  Tensor apart() {
    // Answers of one length stand together, so that little is padded.
    std::stable_sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return answers_[a].size() < answers_[b].size(); });
    size_t longest_prompt = 0;
    for (const Ids& prompt : prompts_) longest_prompt = std::max(longest_prompt, prompt.size());
    for (size_t from = 0; from < order_.size();) {
      size_t to = from + 1;
      const auto bytes = [&](size_t end) {
        return static_cast<double>(prompts_.size() * (end - from) * (longest_prompt + answers_[order_[end - 1]].size()) * 4) * static_cast<double>(vocabulary_);
      };
      while (to < order_.size() && bytes(to + 1) <= max_bytes_) ++to;
      apart(from, to, static_cast<int64_t>(longest_prompt + answers_[order_[to - 1]].size()));
      from = to;
    }
    return scores_;
  }

  /// Answers as a tree, level by level.
  Tensor together() {
    std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return answers_[a] < answers_[b]; });
    std::map<size_t, std::vector<int64_t>> by_length;  // of prompts: a step feeds every row as many ids
    for (size_t row = 0; row < prompts_.size(); ++row) by_length[prompts_[row].size()].push_back(static_cast<int64_t>(row));
    for (const auto& [length, rows] : by_length) {
      const double each = static_cast<double>(rows.size()) * static_cast<double>(vocabulary_) * 4;
      const auto most = static_cast<size_t>(std::max(1.0, max_bytes_ / each));  // nodes of a level are at most as many as answers
      for (size_t from = 0; from < order_.size(); from += most) together(rows, from, std::min(from + most, order_.size()));
    }
    return scores_;
  }

 private:
  float& score(int64_t row, size_t answer) { return scores_.data_ptr<float>()[static_cast<size_t>(row) * answers_.size() + answer]; }

  void apart(size_t from, size_t to, int64_t length) {
    const auto rows = static_cast<int64_t>(prompts_.size()), count = static_cast<int64_t>(to - from);
    Tensor previous = at::full({rows * count, length}, tokens_.pad, at::kLong);
    int64_t* at = previous.data_ptr<int64_t>();
    for (const Ids& prompt : prompts_) {
      for (size_t i = from; i < to; ++i, at += length) {
        const Ids& answer = answers_[order_[i]];
        std::copy(answer.begin(), answer.end(), std::copy(prompt.begin(), prompt.end(), at));
      }
    }
    const Tensor logits = model_.reply_logits(*encoded_, previous).to(at::kFloat).contiguous();  // [B K, T, V]
    const float* values = logits.const_data_ptr<float>();
    for (int64_t row = 0; row < rows; ++row) {
      for (size_t i = from; i < to; ++i, values += length * vocabulary_) {
        const Ids& answer = answers_[order_[i]];
        const float* position = values + static_cast<int64_t>(prompts_[static_cast<size_t>(row)].size() - 1) * vocabulary_;
        int64_t node = TokenTrie::root;
        for (size_t k = 0; k <= answer.size(); ++k, position += vocabulary_) {
          const int64_t id = k < answer.size() ? answer[k] : tokens_.end;
          score(row, order_[i]) += Allowed(trie_, node, position).of(id);
          node = trie_.child(node, id);
        }
      }
    }
  }

  /// Answers from .. to - 1 of the sorted order, for instructions whose prompts are equally long.
  void together(const std::vector<int64_t>& wanted, size_t from, size_t to) {
    const auto state = model_.begin_reply(encoded_);
    std::vector<int64_t> rows = wanted;
    if (rows.size() < prompts_.size() && !state->keep_pictures(at::tensor(rows, at::kLong))) {
      rows.resize(prompts_.size());  // others must be fed on; what comes of it is not looked at
      std::iota(rows.begin(), rows.end(), 0);
    }
    const size_t length = prompts_[static_cast<size_t>(wanted.front())].size();
    std::vector<int64_t> fed;
    for (const int64_t row : rows) {
      Ids prompt = prompts_[static_cast<size_t>(row)];
      prompt.resize(length, tokens_.begin);
      fed.insert(fed.end(), prompt.begin(), prompt.end());
    }
    const auto pictures = static_cast<int64_t>(rows.size());
    Tensor logits = state->step(at::tensor(fed, at::kLong).view({pictures, static_cast<int64_t>(length)}));
    // Where each answer stands: a node of the trie, and the row of it. Answers are sorted, so those at one node are neighbours.
    std::vector<int64_t> node(to - from, TokenTrie::root), place(to - from, 0);
    int64_t width = 1;
    for (size_t depth = 0;; ++depth) {
      logits = logits.to(at::kFloat).contiguous();  // [pictures * width, V]
      for (int64_t picture = 0; picture < pictures; ++picture) {
        if (!std::binary_search(wanted.begin(), wanted.end(), rows[static_cast<size_t>(picture)])) continue;
        std::unique_ptr<Allowed> allowed;
        int64_t of = -1;
        for (size_t i = from; i < to; ++i) {
          const Ids& answer = answers_[order_[i]];
          if (depth > answer.size()) continue;
          if (node[i - from] != of) {
            of = node[i - from];
            allowed = std::make_unique<Allowed>(trie_, of, logits.const_data_ptr<float>() + (picture * width + place[i - from]) * vocabulary_);
          }
          score(rows[static_cast<size_t>(picture)], order_[i]) += allowed->of(depth < answer.size() ? answer[depth] : tokens_.end);
        }
      }
      std::vector<int64_t> parents, ids;
      int64_t last = TokenTrie::nowhere;
      for (size_t i = from; i < to; ++i) {
        const Ids& answer = answers_[order_[i]];
        if (depth >= answer.size()) continue;
        const int64_t parent = place[i - from];
        node[i - from] = trie_.child(node[i - from], answer[depth]);
        if (node[i - from] != last) {
          last = node[i - from];
          parents.push_back(parent);
          ids.push_back(answer[depth]);
        }
        place[i - from] = static_cast<int64_t>(parents.size()) - 1;
      }
      if (parents.empty()) return;
      std::vector<int64_t> selected, next;
      for (int64_t picture = 0; picture < pictures; ++picture) {
        for (const int64_t parent : parents) selected.push_back(picture * width + parent);
        next.insert(next.end(), ids.begin(), ids.end());
      }
      width = static_cast<int64_t>(parents.size());
      state->select(at::tensor(selected, at::kLong));
      logits = state->step(at::tensor(next, at::kLong).unsqueeze(1));
    }
  }

  Instructed& model_;
  std::shared_ptr<const EncodedInstruction> encoded_;
  GenerationTokens tokens_;
  int64_t vocabulary_;
  const std::vector<Ids>&prompts_, &answers_;
  TokenTrie trie_;
  double max_bytes_;
  std::vector<size_t> order_;  // of answers
  Tensor scores_;
};

void check(const std::vector<Ids>& lists, int64_t vocabulary, const char* what) {
  for (const Ids& list : lists) {
    for (const int64_t id : list) {
      if (id < 0 || id >= vocabulary) fail_usage(what, " holds the id ", id, ", but the model's vocabulary ends at ", vocabulary - 1, ": was it encoded for another model?");
    }
  }
}

}  // namespace candidate_scores

CandidateScores score_candidates(Instructed& model, const std::shared_ptr<const EncodedInstruction>& encoded, const std::vector<std::vector<int64_t>>& prompts,
                                 const std::vector<std::vector<int64_t>>& answers, const CandidateOptions& options) {
  if (answers.empty()) fail_usage("the set of answers is empty: there is nothing to choose from");
  if (static_cast<int64_t>(prompts.size()) != encoded->rows()) fail("score_candidates needs a prompt for each of ", encoded->rows(), " instructions, not ", prompts.size());
  for (const auto& prompt : prompts) {
    if (prompt.empty()) fail("a decoder prompt needs at least the id that replies begin with");
  }
  const int64_t vocabulary = model.instruction_vocabulary().size;
  candidate_scores::check(prompts, vocabulary, "a prompt");
  candidate_scores::check(answers, vocabulary, "an answer");
  const GenerationTokens tokens = model.generation_tokens();
  for (const auto& prompt : prompts) {
    for (const auto& answer : answers) {
      if (tokens.max_length > 0 && static_cast<int64_t>(prompt.size() + answer.size()) > tokens.max_length) {
        fail_usage("a prompt of ", prompt.size(), " ids and an answer of ", answer.size(), " are more than the ", tokens.max_length, " that the model can hold");
      }
    }
  }
  const c10::InferenceMode inference;
  candidate_scores::Scorer scorer(model, encoded, prompts, answers, options.max_megabytes * 1e6);
  CandidateScores out;
  out.scores = options.share_beginnings ? scorer.together() : scorer.apart();
  out.best = at::zeros({out.scores.size(0)}, at::kLong);
  for (int64_t row = 0; row < out.scores.size(0); ++row) {
    const float* values = out.scores.const_data_ptr<float>() + row * out.scores.size(1);
    out.best.data_ptr<int64_t>()[row] = std::max_element(values, values + out.scores.size(1)) - values;  // the first one on ties
  }
  return out;
}

}  // namespace vlm
