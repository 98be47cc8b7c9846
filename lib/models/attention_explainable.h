#pragma once
/// A matcher that can say what of the picture its text looks at (infer/grad_cam.h): layers in which words attend to patches, and a matching
/// head on top of them.

#include <string>
#include <vector>

#include "vlm/models/reranker.h"

namespace vlm {

struct AttentionTrace;

class AttentionExplainable : public Reranker {
 public:
  /// The numbers of the layers whose words attend to the picture, rising: those that `trace.layer` may name.
  virtual std::vector<int64_t> looking_layers() const = 0;
  /// As match_logits(), with the attention of layer `trace.layer` in trace.probabilities: [B, H, L, 1 + N], the class token before the patches.
  /// With gradients on, the logits depend on that very tensor.
  virtual Tensor traced_match_logits(const Tensor& pictures, const Tensor& texts, const Tensor& mask, AttentionTrace& trace) = 0;
  /// What is done to texts before they are read: the name of rules of text/caption_cleaning.h.
  virtual std::string caption_rules() const { return "none"; }
};

}  // namespace vlm
