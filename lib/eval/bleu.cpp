#include "vlm/eval/bleu.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "vlm/core/error.h"
#include "vlm/eval/ngrams.h"

namespace vlm {

namespace bleu_counts {

constexpr double kSmall = 1e-9, kTiny = 1e-15;

struct Counts {
  std::vector<double> guess, correct;
  double length = 0, reference_length = 0;

  explicit Counts(int64_t n) : guess(static_cast<size_t>(n)), correct(static_cast<size_t>(n)) {}

  void add(const Counts& other) {
    for (size_t k = 0; k < guess.size(); ++k) {
      guess[k] += other.guess[k];
      correct[k] += other.correct[k];
    }
    length += other.length;
    reference_length += other.reference_length;
  }

  std::vector<double> scores() const {
    std::vector<double> out;
    double product = 1;
    for (size_t k = 0; k < guess.size(); ++k) {
      product *= (correct[k] + kTiny) / (guess[k] + kSmall);
      out.push_back(std::pow(product, 1.0 / static_cast<double>(k + 1)));
    }
    const double ratio = (length + kTiny) / (reference_length + kSmall);
    if (ratio < 1) {
      for (double& score : out) score *= std::exp(1 - 1 / ratio);
    }
    return out;
  }
};

double reference_length(const std::vector<int64_t>& lengths, int64_t candidate, BleuLength rule) {
  if (rule == BleuLength::shortest) return static_cast<double>(*std::min_element(lengths.begin(), lengths.end()));
  if (rule == BleuLength::average) {
    double sum = 0;
    for (const int64_t length : lengths) sum += static_cast<double>(length);
    return sum / static_cast<double>(lengths.size());
  }
  return static_cast<double>(*std::min_element(lengths.begin(), lengths.end(), [&](int64_t a, int64_t b) {
    return std::pair(std::abs(a - candidate), a) < std::pair(std::abs(b - candidate), b);
  }));
}

Counts count(const CaptionItem& item, const BleuOptions& options) {
  Counts out(options.n);
  const Ngrams candidate = count_ngrams(item.candidate, options.n);
  std::vector<std::unordered_map<std::string, int64_t>> most(candidate.counts.size());
  std::vector<int64_t> lengths;
  for (const auto& reference : item.references) {
    const Ngrams ngrams = count_ngrams(reference, options.n);
    lengths.push_back(ngrams.words);
    for (size_t k = 0; k < most.size(); ++k) {
      for (const auto& [gram, times] : ngrams.counts[k]) most[k][gram] = std::max(most[k][gram], times);
    }
  }
  for (size_t k = 0; k < most.size(); ++k) {
    out.guess[k] = static_cast<double>(std::max<int64_t>(0, candidate.words - static_cast<int64_t>(k)));
    for (const auto& [gram, times] : candidate.counts[k]) {
      const auto it = most[k].find(gram);
      if (it != most[k].end()) out.correct[k] += static_cast<double>(std::min(times, it->second));
    }
  }
  out.length = static_cast<double>(candidate.words);
  out.reference_length = reference_length(lengths, candidate.words, options.length);
  return out;
}

}  // namespace bleu_counts

Bleu bleu(const std::vector<CaptionItem>& items, const BleuOptions& options) {
  check_captions(items, "BLEU");
  bleu_counts::Counts total(options.n);
  Bleu out;
  for (const auto& item : items) {
    const auto counts = bleu_counts::count(item, options);
    total.add(counts);
    out.per_item.push_back(counts.scores());
  }
  out.corpus = total.scores();
  return out;
}

BleuLength bleu_length_named(const std::string& name) {
  if (name == "closest") return BleuLength::closest;
  if (name == "shortest") return BleuLength::shortest;
  if (name == "average") return BleuLength::average;
  fail_usage("unknown reference length of BLEU '", name, "'; there are closest, shortest and average");
}

}  // namespace vlm
