#pragma once
/// Retrieval in two stages, as ALBEF and mPLUG are measured (arXiv 2107.07651; specs: alignment, 3.5): cosines choose k texts for each
/// picture and k pictures for each text, the matching head orders these.

#include "vlm/eval/protocols.h"

namespace vlm {

struct TwoStageReport {
  RetrievalReport again;  ///< of the order that the matching head gives
  RetrievalRecall first;  ///< of cosines alone
};

/// Pictures are read a second time, so that no more than a batch of them is held in the form that the matching head looks at; each pair
/// is looked at once, whichever directions want it. The logit of "match" alone counts. `options.each` hears of the last ranks.
/// Throws if the model has no matching head that a Reranker has.
TwoStageReport evaluate_two_stage(const DualEncoderPipeline& pipeline, const Source& source, const RetrievalOptions& options, int64_t k,
                                  bool strict = false);

}  // namespace vlm
