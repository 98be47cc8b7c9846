#include "vlm/train/ofa_rows.h"

#include <ATen/ops/index_select.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "vlm/infer/token_trie.h"
#include "vlm/train/ofa_vocabulary.h"
#include "vlm/train/text_rows.h"

namespace vlm {

namespace ofa_rows {

/// A position that is scored may only be what goes on in the set behind the answer so far.
void allow(const OfaReply& reply, const TokenTrie& trie, int64_t pad, Tensor row) {  // [T, V]
  const int64_t ids = row.size(1);
  bool* allowed = row.mutable_data_ptr<bool>();
  int64_t node = TokenTrie::root;
  for (size_t t = reply.begin; t < reply.target.size() && reply.target[t] != pad; ++t) {
    bool* here = allowed + static_cast<int64_t>(t) * ids;
    std::fill_n(here, ids, false);
    for (const int64_t id : trie.next(node)) here[id] = true;
    node = trie.child(node, reply.target[t]);
  }
}

}  // namespace ofa_rows

OfaRows collate(const std::vector<OfaExample>& examples, const OfaVocabulary& vocabulary, const TokenTrie* trie, const c10::Device& device) {
  const GenerationTokens& tokens = vocabulary.tokens();
  size_t most = 1;
  for (const auto& example : examples) most = std::max(most, example.replies.size());
  // What fills up short lists of replies is never scored, but it is computed: it begins like any other.
  const OfaReply filling{{tokens.begin}, {tokens.pad}};
  std::vector<std::vector<int64_t>> sources, previous, target;
  std::vector<double> weights;
  std::vector<int64_t> pictures, codes, kept;
  std::vector<const OfaReply*> replies;
  bool any_text = false, any_picture = false, any_codes = false;
  for (const auto& example : examples) {
    sources.push_back(example.source);
    pictures.push_back(std::max<int64_t>(example.picture, 0));
    codes.push_back(example.codes ? 1 : 0);
    any_codes = any_codes || example.codes;
    (example.picture < 0 ? any_text : any_picture) = true;
    for (size_t k = 0; k < most; ++k) {
      const bool real = k < example.replies.size();
      if (real) kept.push_back(static_cast<int64_t>(replies.size()));
      replies.push_back(real ? &example.replies[k] : &filling);
      previous.push_back(replies.back()->previous);
      target.push_back(replies.back()->target);
      weights.push_back(replies.back()->weight);
    }
  }
  OfaRows out;
  out.instruction.ids = pad_rows(sources, tokens.pad, device).ids;
  out.previous = pad_rows(previous, tokens.pad, device).ids;
  out.target = pad_rows(target, tokens.pad, device).ids;
  out.weight = at::tensor(weights, at::kFloat).to(device);
  out.picture = at::tensor(pictures, at::kLong).to(device);
  if (any_picture && any_text) {
    std::vector<int64_t> there;
    for (const auto& example : examples) there.push_back(example.picture >= 0 ? 1 : 0);
    out.instruction.picture_mask = at::tensor(there, at::kLong).to(device);
  }
  if (any_codes) out.instruction.code_mask = at::tensor(codes, at::kLong).to(device);
  if (kept.size() < replies.size()) out.kept = at::tensor(kept, at::kLong).to(device);
  if (trie) {
    Tensor allowed = at::ones({out.previous.size(0), out.previous.size(1), vocabulary.ids().size}, at::kBool);
    for (size_t r = 0; r < replies.size(); ++r) ofa_rows::allow(*replies[r], *trie, tokens.pad, allowed[static_cast<int64_t>(r)]);
    out.allowed = allowed.to(device);
  }
  return out;
}

}  // namespace vlm
