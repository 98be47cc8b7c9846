#pragma once
/// What statements have to do with pictures, by whatever the model can: an instruction (OFA), or a head with classes (ALBEF, mPLUG).

#include "vlm/infer/instruction_tasks.h"
#include "vlm/infer/text_pipeline.h"
#include "vlm/models/pair_classifier.h"

namespace vlm {

/// Throws an Error that says what the model lacks to tell contradiction, neutral and entailment apart.
void must_judge(const TextPipeline& pipeline);
/// The same for statements about two pictures. Returns the model.
const PairClassifier& must_compare(const TextPipeline& pipeline);

/// Log-probabilities of contradiction, neutral and entailment, [B, 3]. premises, which only models that take instructions read: empty,
/// or one for each; `prompt` is for them, too.
Tensor judge_statements(const TextPipeline& pipeline, const Tensor& pixels, const std::vector<std::string>& hypotheses,
                        const std::vector<std::string>& premises = {}, ofa_instruction::Prompt prompt = ofa_instruction::Prompt::prev_output);

/// Log-probabilities of a model with such a head, [B, classes]: sentences are cleaned as its family wants. pixels: [n B, 3, S, S], all
/// first pictures before all second ones.
Tensor classify_sentences(const PairClassifier& model, const Tokenizer& tokenizer, const Tensor& pixels, const std::vector<std::string>& sentences);

}  // namespace vlm
