#pragma once
/// mPLUG with a classifier on the fused text's first token (specs: mplug, 3.5): visual entailment (contradiction, neutral, entailment),
/// and NLVR2, where the text is read beside each of two pictures. The release has no such models; the heads are this project's design.

#include "vlm/models/mplug/mplug.h"

namespace vlm {

class MplugClassifier : public MplugModel {
 public:
  /// config.task: entailment or nlvr2.
  explicit MplugClassifier(const MplugConfig& config);
  int64_t pictures() const { return config_.task == MplugTask::nlvr2 ? 2 : 1; }
  int64_t classes() const { return config_.task == MplugTask::nlvr2 ? 2 : 3; }
  /// pixels: [B, 3, S, S], or [B, 2, 3, S, S] of NLVR2; ids, mask: [B, L]. Returns logits [B, classes].
  Tensor logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const;

 private:
  class Head;
  std::shared_ptr<Head> cls_head_;
};

}  // namespace vlm
