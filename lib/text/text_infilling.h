#pragma once
/// Texts with holes, from which a model learns to write the whole: BART's noise on words (arXiv 1910.13461), as OFA's
/// pretraining uses it (specs: ofa, 5.1; objectives, 3.1).

#include <cstdint>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/rng.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

struct TextInfillingOptions {
  double mask_ratio = 0.3;
  std::string mask_length = "span-poisson";
  double poisson_lambda = 3;
  int64_t replace_length = 1;
  double random_ratio = 0;

  void fields(Fields& f) {
    f.field("mask_ratio", mask_ratio, "share of the words that is hidden");
    f.field("mask_length", mask_length, "span-poisson (stretches of words), word or subword (single ones)");
    f.field("poisson_lambda", poisson_lambda, "mean number of words in a stretch");
    f.field("replace_length", replace_length, "a stretch becomes: 1 one mask, 0 nothing, -1 a mask for each token");
    f.field("random_ratio", random_ratio, "share of the masks that are random tokens instead");
  }
};

/// The ids that noise writes: the mask, and random ones of low .. high - 1.
struct InfillingIds {
  int64_t mask = 0, random_low = 4, random_high = 0;
};
/// "<mask>", and all ids from 4 on that are text ("<code_0>" and what follows is not). Throws if there is no mask.
InfillingIds infilling_ids(const Tokenizer& tokenizer);

/// By id: whether a token begins a word. Specials, codes and bins do; pieces of text if white space opens them.
std::vector<bool> word_start_table(const Tokenizer& tokenizer);

/// How many words a stretch has: Poisson's distribution, cut after the first probability below 1e-7.
class PoissonLengths {
 public:
  explicit PoissonLengths(double lambda);
  const std::vector<float>& probabilities() const { return probabilities_; }
  /// By a number from [0, 1).
  int64_t at(double u) const;

 private:
  std::vector<float> probabilities_;
};

/// Where the noise takes its chances from.
class InfillingDraws {
 public:
  virtual ~InfillingDraws() = default;
  virtual int64_t span_length() = 0;
  /// 0 .. n-1 in some order.
  virtual std::vector<int64_t> permutation(int64_t n) = 0;
  /// From [0, 1): whether a mask becomes a random token. Not asked for where random_ratio is 0.
  virtual double uniform() = 0;
  virtual int64_t random_id(int64_t low, int64_t high) = 0;
};

/// Out of a stream of random numbers. Both outlive it.
class RandomInfillingDraws : public InfillingDraws {
 public:
  RandomInfillingDraws(const PoissonLengths& lengths, SplitMix64& random) : lengths_(lengths), random_(random) {}
  int64_t span_length() override { return lengths_.at(random_.uniform()); }
  std::vector<int64_t> permutation(int64_t n) override;
  double uniform() override { return random_.uniform(); }
  int64_t random_id(int64_t low, int64_t high) override;

 private:
  const PoissonLengths& lengths_;
  SplitMix64& random_;
};

/// ids: begin, text, end; word_start: of each, that of the first and of the last does not matter. These two stay. A share of
/// the words is hidden in stretches that begin at words; a stretch of length 0 puts a mask where nothing was.
std::vector<int64_t> infill_text(std::vector<int64_t> ids, std::vector<bool> word_start, const TextInfillingOptions& options,
                                 const InfillingIds& special, InfillingDraws& draws);

/// The same for texts of one tokenizer. Safe to share between threads.
class TextInfilling {
 public:
  /// Throws a usage error for options that do not exist.
  TextInfilling(const TextInfillingOptions& options, const Tokenizer& tokenizer);
  std::vector<int64_t> operator()(const std::vector<int64_t>& ids, SplitMix64& random) const;

 private:
  TextInfillingOptions options_;
  InfillingIds ids_;
  std::vector<bool> word_starts_;
  PoissonLengths lengths_;
};

}  // namespace vlm
