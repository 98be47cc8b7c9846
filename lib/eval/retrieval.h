#pragma once
/// Retrieval recall (specs: eval, 8).

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace vlm {

using at::Tensor;

struct RetrievalRecall {
  std::map<int64_t, double> image_to_text;  ///< K -> share of pictures with one of their texts among the first K
  std::map<int64_t, double> text_to_image;  ///< K -> share of texts whose picture is among the first K
  std::vector<int64_t> image_ranks;         ///< of each picture the best rank of its texts, from 0
  std::vector<int64_t> text_ranks;          ///< of each text the best rank of its pictures, from 0
  double image_to_text_mean = 0, text_to_image_mean = 0, mean = 0;  ///< over the Ks, and of the two
};

/// similarity: [images, texts]; owner: [texts], the picture of each text. Shares in 0 .. 1. Among equal scores the larger
/// index comes first. Throws if a picture has no text or an owner is out of range.
RetrievalRecall retrieval_recall(const Tensor& similarity, const Tensor& owner, const std::vector<int64_t>& ks = {1, 5, 10});

/// The same where several pictures share a text: relevant[i] lists the texts of picture i, and every picture that has a text
/// is right for it.
RetrievalRecall retrieval_recall(const Tensor& similarity, const std::vector<std::vector<int64_t>>& relevant,
                                 const std::vector<int64_t>& ks = {1, 5, 10});

/// The same where each direction has scores of its own, as re-ranking gives them (ALBEF, arXiv 2107.07651; specs: alignment, 3.5):
/// image_scores: [images, texts], text_scores: [texts, images].
RetrievalRecall retrieval_recall(const Tensor& image_scores, const Tensor& text_scores, const std::vector<std::vector<int64_t>>& relevant,
                                 const std::vector<int64_t>& ks = {1, 5, 10});

/// relevant of the function above out of owners [texts], the picture of each text.
std::vector<std::vector<int64_t>> texts_of_pictures(const Tensor& owner, int64_t images);

/// Median of ranks from 0, plus 1; of an even number the mean of the middle two.
double median_rank(std::vector<int64_t> ranks);

/// What open_clip reports of N pairs while it trains (specs: clip, 13).
struct PairMetrics {
  double mean_rank = 0;    ///< from 1
  double median_rank = 0;  ///< from 1; of an even number of pairs the lower whole number
  std::map<int64_t, double> recall;
};

/// similarity: [N, N], row i belongs to column i. Columns are ranked for each row; transpose for the other direction.
PairMetrics pair_metrics(const Tensor& similarity, const std::vector<int64_t>& ks = {1, 5, 10});

}  // namespace vlm
