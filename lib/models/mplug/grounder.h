#pragma once
/// mPLUG tuned to find what an expression speaks of (specs: mplug, 3.4). A box is written as four words of the vocabulary, one for
/// each of centre x, centre y, width and height in shares of the picture: token = first + floor(share * bins).

#include "vlm/models/mplug/mplug.h"

namespace vlm {

class MplugGrounder : public MplugModel, public Grounder {
 public:
  explicit MplugGrounder(const MplugConfig& config);
  /// boxes: [B, 4], cx cy w h. Returns what the decoder is to write, [B, 5], int64: the prefix, then the bins of shares clamped to 0 … 1.
  Tensor box_ids(const Tensor& boxes) const;
  /// ids: [..., 4], of bins. Returns shares.
  Tensor boxes_of(const Tensor& ids) const;
  /// All positions of given boxes. expression, mask: [B, L]; box: [B, n], of box_ids(). Returns logits [B, n, V], 10000 lower for every
  /// word that is no bin.
  Tensor box_logits(const Tensor& pixels, const Tensor& expression, const Tensor& mask, const Tensor& box) const;
  /// Writes the likeliest bin four times.
  GroundedShares ground(const Tensor& pixels, const Tensor& ids, const Tensor& mask) override;
  int64_t expression_length() const override { return std::min<int64_t>(20, config_.positions); }

 private:
  Tensor outside_bins_;  ///< [V]: what is added to logits
};

}  // namespace vlm
