#pragma once
/// Cross entropy of sequences with everything that OFA's recipes put into it: smoothed labels, weights, answers from a closed
/// set, the worst tokens left out, R-Drop (arXiv 2106.14448). Specs: ofa, 6.1 and 6.2; objectives, 3.2 and 3.3.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "vlm/core/config.h"

namespace vlm {

using at::Tensor;

struct LabelSmoothedCrossEntropyOptions {
  double label_smoothing = 0;
  bool uniform = false;                   ///< the share goes to all allowed tokens alike, as in fairseq's own; false: to the wrong ones
  std::vector<int64_t> constraint_range = {};  ///< [a, b): only these ids and 0 .. 3 can be written; empty: all
  int64_t ignore_prefix_size = 0;
  bool ignore_eos = false;
  double drop_worst_ratio = 0;
  int64_t drop_worst_after = 0;
  bool use_rdrop = false;
  double reg_alpha = 1;
  bool sentence_avg = false;
  int64_t pad_id = 1, eos_id = 2;         ///< the vocabulary's; not read from recipes

  void fields(Fields& f) {
    f.field("label_smoothing", label_smoothing, "share of the target that is spread over the other tokens");
    f.field("constraint_range", constraint_range, "first and end of the ids that can be written, beside 0 to 3; empty: all can");
    f.field("ignore_prefix_size", ignore_prefix_size, "so many first tokens of each row do not count");
    f.field("ignore_eos", ignore_eos, "the end does not count");
    f.field("drop_worst_ratio", drop_worst_ratio, "share of the tokens, those of the largest loss, that does not count");
    f.field("drop_worst_after", drop_worst_after, "updates before tokens are dropped");
    f.field("use_rdrop", use_rdrop, "R-Drop: each example twice in a batch, and the two told to agree");
    f.field("reg_alpha", reg_alpha, "R-Drop: weight of their divergence");
    f.field("sentence_avg", sentence_avg, "the loss is divided by the number of rows, not of tokens");
  }
};

/// What is to be written, a row an example.
struct SequenceTargets {
  Tensor ids;               ///< [B, T], int64, padded
  Tensor conf;              ///< [B]: log-probabilities are multiplied by it; undefined: 1
  Tensor constraint_masks;  ///< [B, T, V], bool (or 0 and 1): the tokens that can be written at each place; undefined: all

  /// The batch twice, one after the other, as R-Drop takes it.
  SequenceTargets doubled() const;
};

struct SequenceLoss {
  Tensor loss;              ///< scalar: sum over the tokens that count; can be differentiated
  Tensor nll;               ///< scalar: the same without smoothing and R-Drop
  Tensor kl;                ///< scalar: R-Drop's divergence without its weight; undefined without R-Drop
  Tensor kept;              ///< [n], int64: numbers (b T + t) of the tokens that count
  int64_t ntokens = 0;      ///< n
  int64_t sample_size = 0;  ///< what the sum over all batches and ranks is to be divided by
};

/// logits: [B, T, V]. Of token t of row b, with l = conf_b log softmax(logits), n allowed tokens and e = label_smoothing:
///
///   (1 - e - e') (-l_right) + e' sum_allowed (-l),   e' = e / (n - 1)       or, if `uniform`,   (1 - e) (-l_right) + e / n sum …
///
/// summed over all tokens that are no padding. The worst are dropped when update_num > drop_worst_after; int(n (1 - ratio)) stay.
/// With R-Drop the batch must be doubled: first and second half are two passes of the same examples; the tokens to drop are
/// chosen in the first, and reg_alpha (KL(p, q) + KL(q, p)) / 2, summed over tokens, is added.
SequenceLoss label_smoothed_cross_entropy(const Tensor& logits, const SequenceTargets& targets,
                                          const LabelSmoothedCrossEntropyOptions& options = {}, int64_t update_num = 0);

/// Two batches of one step, as OFA's pretraining takes them: loss / sample_size of each, added; the new sample_size is 1.
SequenceLoss sum_of_means(const SequenceLoss& first, const SequenceLoss& second);

/// Which tokens the options allow: [V] for a range, [B T, V] for masks, undefined where all are.
Tensor allowed_tokens(const SequenceTargets& targets, const LabelSmoothedCrossEntropyOptions& options, int64_t vocabulary);

/// l of the tokens `kept`, [n, V]; -infinity where something is not allowed.
Tensor log_probabilities_of(const Tensor& kept, const Tensor& logits, const SequenceTargets& targets,
                            const LabelSmoothedCrossEntropyOptions& options);

}  // namespace vlm
