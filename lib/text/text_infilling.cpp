#include "vlm/text/text_infilling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace text_infilling {

void check(const TextInfillingOptions& o) {
  if (!(o.mask_ratio >= 0 && o.mask_ratio <= 1)) fail_usage("mask_ratio is ", o.mask_ratio, "; it must be from 0 to 1");
  if (!(o.random_ratio >= 0 && o.random_ratio <= 1)) fail_usage("random_ratio is ", o.random_ratio, "; it must be from 0 to 1");
  if (o.replace_length < -1 || o.replace_length > 1) fail_usage("replace_length is ", o.replace_length, "; it must be -1, 0 or 1");
  const std::vector<std::string> lengths = {"span-poisson", "word", "subword"};
  if (std::find(lengths.begin(), lengths.end(), o.mask_length) == lengths.end()) {
    fail_usage("mask_length is '", o.mask_length, "'", did_you_mean(o.mask_length, lengths), "; there are: ", join(lengths, ", "));
  }
}

/// Lengths whose sum is `budget`, the last one cut to fit.
std::vector<int64_t> draw_lengths(int64_t budget, InfillingDraws& draws) {
  std::vector<int64_t> lengths;
  for (int64_t sum = 0; sum < budget; sum += lengths.back()) lengths.push_back(std::min(draws.span_length(), budget - sum));
  return lengths;
}

class Noise {
 public:
  Noise(const TextInfillingOptions& options, const InfillingIds& special, InfillingDraws& draws)
      : options_(options), special_(special), draws_(draws) {}

  std::vector<int64_t> operator()(std::vector<int64_t> ids, const std::vector<bool>& word_start) {
    std::vector<size_t> starts;
    for (size_t i = 1; i + 1 < ids.size(); ++i) {
      if (word_start[i]) starts.push_back(i);
    }
    // In float32, as the reference multiplies: a product just above a whole number there may be just below it in double.
    const auto budget = static_cast<int64_t>(std::ceil(static_cast<float>(starts.size()) * static_cast<float>(options_.mask_ratio)));
    if (budget == 0) return ids;
    std::vector<int64_t> lengths(static_cast<size_t>(budget), 1);
    if (options_.mask_length == "span-poisson") lengths = draw_lengths(budget, draws_);
    const auto inserts = std::count(lengths.begin(), lengths.end(), 0);
    lengths.erase(std::remove(lengths.begin(), lengths.end(), 0), lengths.end());
    if (!lengths.empty()) hide(ids, word_start, starts, lengths);
    return inserts > 0 ? insert(ids, static_cast<double>(inserts) / static_cast<double>(ids.size())) : ids;
  }

 private:
  struct Span {
    size_t at;
    int64_t words;  ///< that it covers after the present one
    bool random;
  };

  /// Span k begins at the k-th start of a permutation. All spans grow by a token at a time, as those of the reference do, so
  /// that random ids are drawn in the same order.
  void hide(std::vector<int64_t>& ids, const std::vector<bool>& word_start, const std::vector<size_t>& starts, const std::vector<int64_t>& lengths) {
    const auto order = draws_.permutation(static_cast<int64_t>(starts.size()));
    std::vector<Span> spans;
    for (size_t k = 0; k < lengths.size(); ++k) spans.push_back({starts.at(static_cast<size_t>(order.at(k))), lengths[k] - 1, false});
    for (auto& span : spans) span.random = options_.random_ratio > 0 && draws_.uniform() < static_cast<float>(options_.random_ratio);
    std::vector<bool> kept(ids.size(), true);
    cover(spans, options_.replace_length == 0, ids, kept);
    while (!spans.empty()) {
      std::vector<Span> going_on;
      for (const Span& span : spans) {
        const size_t next = span.at + 1;
        if (next + 1 == ids.size()) continue;  // the end is a wall
        const int64_t words = span.words - (word_start[next] ? 1 : 0);
        if (words >= 0) going_on.push_back({next, words, span.random});
      }
      cover(going_on, options_.replace_length != -1, ids, kept);
      spans = std::move(going_on);
    }
    size_t to = 0;
    for (size_t from = 0; from < ids.size(); ++from) {
      if (kept[from]) ids[to++] = ids[from];
    }
    ids.resize(to);
  }

  void cover(const std::vector<Span>& spans, bool remove, std::vector<int64_t>& ids, std::vector<bool>& kept) {
    for (const Span& span : spans) {
      if (remove) kept[span.at] = false;
      if (!remove) ids[span.at] = special_.mask;
    }
    if (remove) return;
    for (const Span& span : spans) {
      if (span.random) ids[span.at] = draws_.random_id(special_.random_low, special_.random_high);
    }
  }

  /// So many masks that they are `share` of what was there, between the first and the last id.
  std::vector<int64_t> insert(const std::vector<int64_t>& ids, double share) {
    const auto before = static_cast<int64_t>(ids.size());
    const auto count = static_cast<int64_t>(std::ceil(static_cast<double>(before) * share));
    const auto random = static_cast<int64_t>(std::ceil(static_cast<double>(count) * options_.random_ratio));
    const auto order = draws_.permutation(before + count - 2);
    constexpr int64_t none = -1;
    std::vector<int64_t> out(static_cast<size_t>(before + count), none);
    for (int64_t k = 0; k < count; ++k) {
      out.at(static_cast<size_t>(order.at(static_cast<size_t>(k)) + 1)) =
          k < random ? draws_.random_id(special_.random_low, special_.random_high) : special_.mask;
    }
    auto next = ids.begin();
    for (auto& id : out) {
      if (id == none) id = *next++;
    }
    return out;
  }

  const TextInfillingOptions& options_;
  const InfillingIds& special_;
  InfillingDraws& draws_;
};

bool begins_with(const std::string& text, std::string_view prefix) { return text.compare(0, prefix.size(), prefix) == 0; }

}  // namespace text_infilling

std::vector<int64_t> RandomInfillingDraws::permutation(int64_t n) { return vlm::permutation(n, random_.next()); }

int64_t RandomInfillingDraws::random_id(int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random_.below(static_cast<uint64_t>(high - low)));
}

InfillingIds infilling_ids(const Tokenizer& tokenizer) {
  InfillingIds out;
  out.mask = tokenizer.id_of("<mask>");
  // The mask itself closes the text in OFA's vocabulary; a random one of it would do no harm.
  out.random_high = tokenizer.piece_to_id("<code_0>").value_or(tokenizer.vocab_size());
  return out;
}

std::vector<bool> word_start_table(const Tokenizer& tokenizer) {
  using text_infilling::begins_with;
  std::vector<bool> out;
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string piece = tokenizer.id_to_piece(id);
    // U+0120 is the space of byte symbols, U+2581 that of SentencePiece.
    const bool opened = begins_with(piece, "\xc4\xa0") || begins_with(piece, "\xe2\x96\x81");
    const bool no_text = begins_with(piece, "<code_") || begins_with(piece, "<bin_") || begins_with(piece, "madeupword");
    out.push_back(opened || no_text || tokenizer.is_special(id));
  }
  return out;
}

PoissonLengths::PoissonLengths(double lambda) {
  if (!(lambda > 0 && lambda < 64)) fail_usage("poisson_lambda is ", lambda, "; it must be above 0 and below 64");
  double p = std::exp(-lambda);
  std::vector<float> all;
  for (int64_t k = 0; k < 128; ++k) {
    all.push_back(static_cast<float>(p));
    if (p < 1e-7) break;
    p *= lambda / static_cast<double>(k + 1);
  }
  const float sum = std::accumulate(all.begin(), all.end(), 0.0f);
  for (const float each : all) probabilities_.push_back(each / sum);
}

int64_t PoissonLengths::at(double u) const {
  double sum = 0;
  int64_t length = 0;
  for (const float p : probabilities_) {
    sum += static_cast<double>(p);
    if (!(sum <= u)) break;
    ++length;
  }
  return std::min(length, static_cast<int64_t>(probabilities_.size()) - 1);
}

std::vector<int64_t> infill_text(std::vector<int64_t> ids, std::vector<bool> word_start, const TextInfillingOptions& options,
                                 const InfillingIds& special, InfillingDraws& draws) {
  text_infilling::check(options);
  if (ids.size() != word_start.size()) fail("infilling: ", ids.size(), " ids, but word starts of ", word_start.size());
  if (options.mask_length == "subword") word_start.assign(ids.size(), true);
  return text_infilling::Noise(options, special, draws)(std::move(ids), word_start);
}

TextInfilling::TextInfilling(const TextInfillingOptions& options, const Tokenizer& tokenizer)
    : options_(options), ids_(infilling_ids(tokenizer)), word_starts_(word_start_table(tokenizer)), lengths_(options.poisson_lambda) {
  text_infilling::check(options);
}

std::vector<int64_t> TextInfilling::operator()(const std::vector<int64_t>& ids, SplitMix64& random) const {
  std::vector<bool> word_start;
  for (const int64_t id : ids) {
    if (id < 0 || id >= static_cast<int64_t>(word_starts_.size())) fail("infilling: id ", id, " is not in the vocabulary");
    word_start.push_back(word_starts_[static_cast<size_t>(id)]);
  }
  RandomInfillingDraws draws(lengths_, random);
  return infill_text(ids, std::move(word_start), options_, ids_, draws);
}

}  // namespace vlm
