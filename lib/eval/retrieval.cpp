#include "vlm/eval/retrieval.h"

#include <algorithm>

#include "vlm/core/error.h"

namespace vlm {

namespace retrieval {

/// 0-based rank of the best right candidate among `count` scores that are `stride` apart.
int64_t best_rank(const float* scores, int64_t count, int64_t stride, const std::vector<int64_t>& right) {
  int64_t best = right[0];
  for (const int64_t candidate : right) {
    const float score = scores[candidate * stride], top = scores[best * stride];
    if (score > top || (score == top && candidate > best)) best = candidate;
  }
  const float top = scores[best * stride];
  int64_t rank = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float score = scores[i * stride];
    rank += score > top || (score == top && i > best);
  }
  return rank;
}

double share_below(const std::vector<int64_t>& ranks, int64_t k) {
  const auto hits = std::count_if(ranks.begin(), ranks.end(), [k](int64_t rank) { return rank < k; });
  return ranks.empty() ? 0 : static_cast<double>(hits) / static_cast<double>(ranks.size());
}

double mean_of(const std::map<int64_t, double>& shares) {
  double sum = 0;
  for (const auto& [k, share] : shares) sum += share;
  return shares.empty() ? 0 : sum / static_cast<double>(shares.size());
}

}  // namespace retrieval

namespace retrieval {

/// Scores of one direction: that of candidate c for query q stands at data[q * query_stride + c * stride].
struct Scores {
  const float* data;
  int64_t query_stride, stride;

  int64_t best_rank(int64_t query, int64_t count, const std::vector<int64_t>& right) const {
    return retrieval::best_rank(data + query * query_stride, count, stride, right);
  }
};

Tensor plain(const Tensor& scores) { return scores.detach().to(at::kFloat).cpu().contiguous(); }

RetrievalRecall recall(const Scores& of_images, const Scores& of_texts, int64_t texts, const std::vector<std::vector<int64_t>>& relevant,
                       const std::vector<int64_t>& ks) {
  const auto images = static_cast<int64_t>(relevant.size());
  std::vector<std::vector<int64_t>> owners(static_cast<size_t>(texts));
  RetrievalRecall out;
  for (int64_t i = 0; i < images; ++i) {
    const auto& right = relevant[static_cast<size_t>(i)];
    if (right.empty()) fail("retrieval: picture ", i, " has no text");
    for (const int64_t text : right) {
      if (text < 0 || text >= texts) fail("retrieval: picture ", i, " names text ", text, " of ", texts);
      owners[static_cast<size_t>(text)].push_back(i);
    }
    out.image_ranks.push_back(of_images.best_rank(i, texts, right));
  }
  for (int64_t t = 0; t < texts; ++t) {
    const auto& right = owners[static_cast<size_t>(t)];
    if (right.empty()) fail("retrieval: text ", t, " has no picture");
    out.text_ranks.push_back(of_texts.best_rank(t, images, right));
  }
  for (const int64_t k : ks) {
    out.image_to_text[k] = share_below(out.image_ranks, k);
    out.text_to_image[k] = share_below(out.text_ranks, k);
  }
  out.image_to_text_mean = mean_of(out.image_to_text);
  out.text_to_image_mean = mean_of(out.text_to_image);
  out.mean = (out.image_to_text_mean + out.text_to_image_mean) / 2;
  return out;
}

}  // namespace retrieval

RetrievalRecall retrieval_recall(const Tensor& similarity, const std::vector<std::vector<int64_t>>& relevant, const std::vector<int64_t>& ks) {
  if (similarity.dim() != 2 || similarity.size(0) != static_cast<int64_t>(relevant.size())) {
    fail("retrieval: ", relevant.size(), " pictures, but similarities of shape ", similarity.sizes());
  }
  const Tensor scores = retrieval::plain(similarity);
  const float* data = scores.const_data_ptr<float>();
  const int64_t texts = scores.size(1);
  return retrieval::recall({data, texts, 1}, {data, 1, texts}, texts, relevant, ks);
}

RetrievalRecall retrieval_recall(const Tensor& image_scores, const Tensor& text_scores, const std::vector<std::vector<int64_t>>& relevant,
                                 const std::vector<int64_t>& ks) {
  const auto images = static_cast<int64_t>(relevant.size());
  if (image_scores.dim() != 2 || text_scores.dim() != 2 || image_scores.size(0) != images || text_scores.size(1) != images ||
      image_scores.size(1) != text_scores.size(0)) {
    fail("retrieval of ", images, " pictures takes scores [", images, ", texts] and [texts, ", images, "], not ", image_scores.sizes(), " and ",
         text_scores.sizes());
  }
  const Tensor by_image = retrieval::plain(image_scores), by_text = retrieval::plain(text_scores);
  return retrieval::recall({by_image.const_data_ptr<float>(), by_image.size(1), 1}, {by_text.const_data_ptr<float>(), images, 1},
                           by_image.size(1), relevant, ks);
}

RetrievalRecall retrieval_recall(const Tensor& similarity, const Tensor& owner, const std::vector<int64_t>& ks) {
  if (similarity.dim() != 2 || owner.dim() != 1 || owner.size(0) != similarity.size(1)) {
    fail("retrieval: similarities ", similarity.sizes(), " do not fit the owners ", owner.sizes());
  }
  return retrieval_recall(similarity, texts_of_pictures(owner, similarity.size(0)), ks);
}

std::vector<std::vector<int64_t>> texts_of_pictures(const Tensor& owner, int64_t images) {
  std::vector<std::vector<int64_t>> relevant(static_cast<size_t>(images));
  const Tensor owners = owner.to(at::kLong).cpu().contiguous();
  for (int64_t t = 0; t < owners.size(0); ++t) {
    const int64_t image = owners.const_data_ptr<int64_t>()[t];
    if (image < 0 || image >= images) fail("retrieval: text ", t, " belongs to picture ", image, " of ", images);
    relevant[static_cast<size_t>(image)].push_back(t);
  }
  return relevant;
}

double median_rank(std::vector<int64_t> ranks) {
  if (ranks.empty()) fail("retrieval: there are no ranks to take the median of");
  std::sort(ranks.begin(), ranks.end());
  const size_t half = ranks.size() / 2;
  const auto upper = static_cast<double>(ranks[half]);
  return 1 + (ranks.size() % 2 ? upper : (static_cast<double>(ranks[half - 1]) + upper) / 2);
}

PairMetrics pair_metrics(const Tensor& similarity, const std::vector<int64_t>& ks) {
  if (similarity.dim() != 2 || similarity.size(0) != similarity.size(1) || similarity.size(0) == 0) {
    fail("retrieval of pairs needs similarities [N, N]: got ", similarity.sizes());
  }
  std::vector<std::vector<int64_t>> own(static_cast<size_t>(similarity.size(0)));
  for (size_t i = 0; i < own.size(); ++i) own[i] = {static_cast<int64_t>(i)};
  auto ranks = retrieval_recall(similarity, own, ks).image_ranks;
  PairMetrics out;
  for (const int64_t k : ks) out.recall[k] = retrieval::share_below(ranks, k);
  for (const int64_t rank : ranks) out.mean_rank += static_cast<double>(rank) / static_cast<double>(ranks.size());
  out.mean_rank += 1;
  std::sort(ranks.begin(), ranks.end());
  const size_t half = ranks.size() / 2;
  const int64_t median = ranks.size() % 2 ? ranks[half] : (ranks[half - 1] + ranks[half]) / 2;
  out.median_rank = static_cast<double>(median + 1);
  return out;
}

}  // namespace vlm
