#include "vlm/train/contrast_over_ranks.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "vlm/core/error.h"

namespace vlm {

namespace contrast_over_ranks {

/// The texts of all ranks, this one's own where its place is. Ranks with fewer rows than others send rows of nothing along.
std::vector<Tensor> ring(Communicator& communicator, const Tensor& text) {
  const int64_t ranks = communicator.size(), own = communicator.rank();
  std::vector<int64_t> rows;
  for (const double n : communicator.all_gather_number(static_cast<double>(text.size(0)))) rows.push_back(static_cast<int64_t>(n));
  const int64_t most = *std::max_element(rows.begin(), rows.end());
  std::vector<Tensor> texts(rows.size());
  texts[static_cast<size_t>(own)] = text;
  Tensor travelling = text;
  if (text.size(0) < most) travelling = at::cat({text, at::zeros({most - text.size(0), text.size(1)}, text.options())});
  for (int64_t hop = 1; hop < ranks; ++hop) {
    travelling = exchange_with_grad(communicator, travelling, (own + 1) % ranks, (own + ranks - 1) % ranks);
    const auto origin = static_cast<size_t>((own + ranks - hop) % ranks);
    texts[origin] = travelling.narrow(0, 0, rows[origin]);
  }
  return texts;
}

}  // namespace contrast_over_ranks

Tensor equal_row_groups(const Tensor& ids) {
  const Tensor rows = ids.cpu().contiguous();
  const int64_t length = rows.size(1);
  std::map<std::vector<int64_t>, int64_t> seen;
  std::vector<int64_t> groups;
  for (int64_t i = 0; i < rows.size(0); ++i) {
    const int64_t* row = rows.const_data_ptr<int64_t>() + i * length;
    groups.push_back(seen.emplace(std::vector<int64_t>(row, row + length), static_cast<int64_t>(seen.size())).first->second);
  }
  return at::tensor(groups, at::kLong).to(ids.device());
}

Tensor contrastive_over_ranks(Communicator& communicator, const Tensor& image, const Tensor& text, const Tensor& logit_scale,
                              const Tensor& logit_bias, const Tensor& ids, const ContrastiveBlockOptions& options) {
  if (communicator.size() == 1) {
    const Tensor groups = ids.defined() ? equal_row_groups(ids) : Tensor();
    return contrastive_loss_in_blocks(image, text, image, text, logit_scale, logit_bias, 0, options, groups, groups);
  }
  std::vector<int64_t> rows;
  const Tensor all_image = gather_rows_with_grad(communicator, image, &rows);
  const Tensor all_text = gather_rows_with_grad(communicator, text);
  const int64_t first_row = std::accumulate(rows.begin(), rows.begin() + communicator.rank(), int64_t(0));
  const Tensor groups = ids.defined() ? equal_row_groups(communicator.all_gather_rows(ids)) : Tensor();
  const Tensor own = groups.defined() ? groups.narrow(0, first_row, image.size(0)) : Tensor();
  return contrastive_loss_in_blocks(image, text, all_image, all_text, logit_scale, logit_bias, first_row, options, own, groups);
}

Tensor sigmoid_over_ranks(Communicator& communicator, const Tensor& image, const Tensor& text, const Tensor& logit_scale,
                          const Tensor& logit_bias, const std::string& exchange, const SigmoidOptions& options) {
  const bool around = exchange == "ring";
  if (!around && exchange != "gather") fail_usage("exchange is ring or gather, not '", exchange, "'");
  if (communicator.size() == 1) return sigmoid_loss(image, text, logit_scale, logit_bias, options);
  std::vector<Tensor> texts;
  if (around) {
    texts = contrast_over_ranks::ring(communicator, text);
  } else {
    std::vector<int64_t> rows;
    const Tensor all = gather_rows_with_grad(communicator, text, &rows);
    int64_t first = 0;
    for (const int64_t n : rows) texts.push_back(all.narrow(0, first, n)), first += n;
    // A rank's own texts need not go round.
    texts[static_cast<size_t>(communicator.rank())] = text;
  }
  return sigmoid_loss_on_rank(image, texts, logit_scale, logit_bias, communicator.rank(), options);
}

}  // namespace vlm
