#pragma once
/// mPLUG with a classifier on the fused text's first token (specs: mplug, 3.5): visual entailment (contradiction, neutral, entailment),
/// and NLVR2, where the text is read beside each of two pictures. The release has no such models; the heads are this project's design.

#include "vlm/models/mplug/mplug.h"
#include "vlm/models/pair_classifier.h"

namespace vlm {

class MplugClassifier : public MplugModel, public PairClassifier {
 public:
  /// config.task: entailment or nlvr2.
  explicit MplugClassifier(const MplugConfig& config);
  int64_t pictures() const override { return config_.task == MplugTask::nlvr2 ? 2 : 1; }
  int64_t classes() const override { return config_.task == MplugTask::nlvr2 ? 2 : 3; }
  Tensor logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const override;
  std::string sentence_rules() const override { return "mplug"; }
  int64_t longest_sentence() const override { return config_.positions; }

 private:
  class Head;
  std::shared_ptr<Head> cls_head_;
};

}  // namespace vlm
