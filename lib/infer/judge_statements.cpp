#include "vlm/infer/judge_statements.h"

#include <ATen/ops/log_softmax.h>
#include <c10/core/InferenceMode.h>

#include "vlm/core/error.h"
#include "vlm/infer/text_ids.h"
#include "vlm/text/caption_cleaning.h"

namespace vlm {

namespace statements {

const PairClassifier& classifier(const TextPipeline& pipeline, const char* task, int64_t pictures, int64_t classes) {
  const auto& model = require<PairClassifier>(pipeline.model(), task, "it neither takes instructions nor has a head with classes for a picture and a sentence; OFA, and "
                                                                      "ALBEF's and mPLUG's models for entailment and NLVR2 do");
  if (model.pictures() != pictures || model.classes() != classes) {
    fail("this ", pipeline.model().family(), " model cannot ", task, ": it tells ", model.classes(), " classes of a sentence and ", model.pictures(),
         model.pictures() == 1 ? " picture" : " pictures", " apart, not ", classes, " of ", pictures);
  }
  return model;
}

}  // namespace statements

void must_judge(const TextPipeline& pipeline) {
  if (!pipeline.takes_instructions()) statements::classifier(pipeline, "judge statements", 1, 3);
}

const PairClassifier& must_compare(const TextPipeline& pipeline) { return statements::classifier(pipeline, "judge statements about two pictures", 2, 2); }

Tensor judge_statements(const TextPipeline& pipeline, const Tensor& pixels, const std::vector<std::string>& hypotheses, const std::vector<std::string>& premises,
                        ofa_instruction::Prompt prompt) {
  if (pipeline.takes_instructions()) return instruct::entail(pipeline.instructions("judge statements"), pixels, hypotheses, premises, prompt);
  const auto& model = statements::classifier(pipeline, "judge statements", 1, 3);
  if (!premises.empty()) fail_usage("this ", pipeline.model().family(), " model reads a picture and a statement; captions as premises are for models that take instructions");
  return classify_sentences(model, pipeline.tokenizer(), pixels, hypotheses);
}

Tensor classify_sentences(const PairClassifier& model, const Tokenizer& tokenizer, const Tensor& pixels, const std::vector<std::string>& sentences) {
  if (static_cast<int64_t>(sentences.size()) * model.pictures() != pixels.size(0)) fail("there are ", sentences.size(), " sentences for ", pixels.size(0), " pictures");
  const c10::InferenceMode inference;
  std::vector<std::string> cleaned;
  for (const auto& sentence : sentences) cleaned.push_back(clean_caption(model.sentence_rules(), sentence));
  const TextRows rows = special_rows(tokenizer, cleaned, model.longest_sentence(), pixels.device());
  return at::log_softmax(model.logits(pixels, rows.ids, rows.mask).to(at::kFloat), 1).contiguous();
}

}  // namespace vlm
