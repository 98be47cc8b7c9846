#include "vlm/train/coca_objective.h"

#include <ATen/TensorOperators.h>

#include "vlm/losses/coca.h"
#include "vlm/train/contrast_over_ranks.h"

namespace vlm {

CocaObjective::CocaObjective(const ObjectiveContext& context, const CocaObjectiveOptions& options)
    : TwoTowerObjective(context, "coca", TwoTowerOptions{options}),
      writer_(require<PairCaptionTrainable>(context.model, "be trained with the objective 'coca'", "its text tower feeds no decoder")),
      options_(options) {
  const int64_t pad = writer_.generation_tokens().pad;
  if (tokenizer_ && tokenizer_->specials().pad != pad) {
    fail_usage("the tokenizer pads with ", tokenizer_->specials().pad, ", the model takes ", pad, " for padding; set model.config.text_cfg.pad_id");
  }
}

std::vector<LossTerm> CocaObjective::losses(const Batch& batch) {
  const CaptionedPairs out = writer_.captioned_pairs(batch.images, batch.ids);
  std::vector<LossTerm> terms;
  if (options_.contrastive_weight != 0) {
    const Tensor ids = options_.merge_equal_texts ? batch.ids : Tensor();
    const Tensor loss = contrastive_over_ranks(communicator_, out.image, out.text, encoder_.logit_scale(), encoder_.logit_bias(), ids,
                                               {.block_rows = options_.block_rows});
    terms.push_back({"contrastive", loss * options_.contrastive_weight, static_cast<double>(batch.size())});
  }
  const int64_t pad = writer_.generation_tokens().pad;
  const Tensor caption = caption_loss(out.logits, out.labels, pad) * options_.caption_weight;
  terms.push_back({"caption", caption, static_cast<double>(out.labels.ne(pad).sum().item<int64_t>())});
  add_terms(batch, {{"image", out.image}, {"text", out.text}}, terms);
  return terms;
}

std::unique_ptr<Objective> make_coca_objective(const ObjectiveContext& context, const Config& options) {
  CocaObjectiveOptions parsed;
  options.read(parsed);
  return std::make_unique<CocaObjective>(context, parsed);
}

}  // namespace vlm
