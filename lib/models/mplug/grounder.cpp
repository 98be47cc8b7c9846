#include "vlm/models/mplug/grounder.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/stack.h>

#include "vlm/core/error.h"

namespace vlm {

MplugGrounder::MplugGrounder(const MplugConfig& config) : MplugModel(config, MplugTask::grounding) {
  const int64_t first = config.box_first, last = first + config.box_bins;
  if (first < 0 || last >= config.vocab_size || config.box_prefix < 0 || config.box_prefix >= config.vocab_size) {
    fail("mPLUG: the words of boxes (prefix ", config.box_prefix, ", bins ", first, " to ", last, ") are not all in the vocabulary of ", config.vocab_size);
  }
  outside_bins_ = at::full({config.vocab_size}, -10000.0F);
  outside_bins_.slice(0, first, last + 1).zero_();
}

Tensor MplugGrounder::box_ids(const Tensor& boxes) const {
  if (boxes.dim() != 2 || boxes.size(1) != 4) fail("boxes must be [B, 4] (cx, cy, w, h), not ", boxes.sizes());
  const Tensor bins = (boxes.clamp(0, 1) * config_.box_bins).floor().to(at::kLong) + config_.box_first;
  return at::cat({at::full({boxes.size(0), 1}, config_.box_prefix, bins.options()), bins}, 1);
}

Tensor MplugGrounder::boxes_of(const Tensor& ids) const { return (ids - config_.box_first).to(at::kFloat) / config_.box_bins; }

Tensor MplugGrounder::box_logits(const Tensor& pixels, const Tensor& expression, const Tensor& mask, const Tensor& box) const {
  const BertContext context = read(encode_image(pixels), expression, mask);
  return networks.text_decoder->forward(box, {}, context.states, context.mask) + outside_bins_.to(pixels.device());
}

GroundedShares MplugGrounder::ground(const Tensor& pixels, const Tensor& ids, const Tensor& mask) {
  const BertContext context = read(encode_image(pixels), ids, mask);
  const auto state = networks.text_decoder->begin(context.states, context.mask);
  Tensor next = at::full({pixels.size(0), 1}, config_.box_prefix, ids.options());
  std::vector<Tensor> bins, scores;
  for (int i = 0; i < 4; ++i) {
    const auto [score, bin] = at::log_softmax(state->step(next) + outside_bins_.to(pixels.device()), 1).max(1);  // [B]
    bins.push_back(bin);
    scores.push_back(score);
    next = bin.unsqueeze(1);
  }
  return {boxes_of(at::stack(bins, 1)), at::stack(scores, 1).sum(1)};
}

}  // namespace vlm
