#pragma once
/// ROUGE-L (Lin, 2004) as coco-caption computes it (specs: eval, 4).

#include "vlm/eval/caption_item.h"

namespace vlm {

/// F of the largest precision and the largest recall over the references, (1 + b²) P R / (R + b² P) with b = beta, from the
/// longest common subsequence of words. Words are what single spaces separate. Throws if an item has no reference.
CaptionScores rouge_l(const std::vector<CaptionItem>& items, double beta = 1.2);

}  // namespace vlm
