#include "vlm/train/objective.h"

#include "vlm/train/alignment_objective.h"
#include "vlm/train/caption_objective.h"
#include "vlm/train/caption_scst_objective.h"
#include "vlm/train/clip_objective.h"
#include "vlm/train/coca_objective.h"
#include "vlm/train/ground_objective.h"
#include "vlm/train/mplug_objective.h"
#include "vlm/train/ofa_objective.h"
#include "vlm/train/ofa_pretrain_objective.h"
#include "vlm/train/ofa_scst_objective.h"
#include "vlm/train/sentence_objective.h"
#include "vlm/train/siglip_objective.h"
#include "vlm/train/vqa_objective.h"

namespace vlm {

void Objective::tokenize(const std::string&, int64_t*) const { fail("this objective has no ids of a fixed length"); }

std::vector<LossTerm> Objective::losses(const Batch&) { fail("this objective takes the batches of a step together (data.mix_within_step)"); }

std::vector<LossTerm> Objective::joint_losses(const std::vector<SourceBatch>&) { fail("this objective takes the batches of a step one by one"); }

void Objective::check(const Sample& sample, const std::string& text) const {
  const std::string place = sample.shard + ": " + sample.key;
  if (sample.images.empty()) throw SampleError("no_image", place);
  if (text.empty()) throw SampleError("no_caption", place);
}

Registry<ObjectiveFactory>& objectives() {
  static Registry<ObjectiveFactory> table = [] {
    Registry<ObjectiveFactory> out("objective");
    out.add("clip", make_clip_objective);
    out.add("siglip", make_siglip_objective);
    out.add("coca", make_coca_objective);
    out.add("caption", make_caption_objective);
    out.add("caption_scst", make_caption_scst_objective);
    out.add("vqa", make_vqa_objective);
    out.add("entail", make_entail_objective);
    out.add("nlvr2", make_nlvr2_objective);
    out.add("text_assignment", make_text_assignment_objective);
    out.add("albef", make_albef_objective);
    out.add("tcl", make_tcl_objective);
    out.add("codis", make_codis_objective);
    out.add("mplug", make_mplug_objective);
    out.add("mplug_ground", make_mplug_ground_objective);
    out.add("ofa", make_ofa_objective);
    out.add("ofa_pretrain", make_ofa_pretrain_objective);
    out.add("ofa_scst", make_ofa_scst_objective);
    return out;
  }();
  return table;
}

}  // namespace vlm
