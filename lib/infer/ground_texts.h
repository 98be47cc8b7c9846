#pragma once
/// Where in pictures something is, by whatever the model can: an instruction (OFA), or boxes as words (mPLUG).

#include "vlm/infer/instruction_tasks.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm {

/// [CLS] pieces [SEP], cut and filled up to `length` ids: [B, length].
Tensor expression_rows(const Tokenizer& tokenizer, const std::vector<std::string>& texts, int64_t length);

/// Throws an Error that says what the model lacks.
void must_ground(const TextPipeline& pipeline);

/// A box for each pair. pixels: [B, 3, H, W]; placements: where the pictures lie in these; texts: one for each picture. Boxes are in
/// pixels of the pictures as they were, and may reach outside. `options` are for models that take instructions.
std::vector<instruct::GroundedBox> ground_texts(const TextPipeline& pipeline, const Tensor& pixels, const std::vector<PicturePlacement>& placements,
                                                const std::vector<std::string>& texts, const instruct::GroundOptions& options = {});

}  // namespace vlm
