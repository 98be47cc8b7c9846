#pragma once
/// Evaluation of judging statements (SNLI-VE, NLVR2), finding boxes (RefCOCO and its like), and naming classes, by models that take
/// instructions or have heads for it (specs: ofa, 7; eval, 6 and 7; alignment, 3.3, 3.4 and 3.6; mplug, 3.4).

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "vlm/data/source.h"
#include "vlm/eval/generation_protocols.h"
#include "vlm/eval/protocols.h"
#include "vlm/infer/instruction_tasks.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm {

struct EntailmentEvaluation {
  ofa_instruction::Prompt prompt = ofa_instruction::Prompt::prev_output;  ///< as published; what a model was trained with
  bool with_premise = false;  ///< the picture's caption (meta.premise) is part of the instruction
  bool progress = true, strict = false;
  SampleResult each;
};

struct EntailmentReport {
  double accuracy = 0;
  double majority = 0;  ///< share of the most frequent label
  std::map<std::string, double> per_label;  ///< contradiction, neutral, entailment (NLVR2: false, true) -> share of its items that are right
  int64_t items = 0, unlabelled = 0, skipped = 0;

  nlohmann::ordered_json to_json() const;
};

/// The label that is the most probable one; the first one on ties. Statements are the samples' first captions; samples
/// without a label are passed over. Throws if the model can neither take instructions nor tell three classes apart, or no sample can
/// be judged.
EntailmentReport evaluate_entailment(const TextPipeline& pipeline, const Source& source, const EntailmentEvaluation& options);
/// The same of statements about two pictures, which are true or false. Prompt and premises are not used.
EntailmentReport evaluate_nlvr2(const TextPipeline& pipeline, const Source& source, const EntailmentEvaluation& options);

struct GroundingEvaluation {
  instruct::GroundOptions ground{.only_bins = false};
  std::string detections;  ///< JSON file, {picture: [[x, y, w, h], …]}: boxes to choose from by heat (ALBEF, TCL), pictures by name or meta.image_id
  int64_t layer = -1;      ///< of the heat; see grad_cam_of_words()
  double threshold = 0.5;
  bool progress = true, strict = false;
  SampleResult each;
};

struct GroundingReport {
  double accuracy = 0;  ///< share of boxes that overlap the right one by at least the threshold
  double mean_iou = 0;
  std::map<std::string, double> per_split;  ///< where the data set says which is which (val, testA, testB)
  int64_t items = 0, skipped = 0;

  nlohmann::ordered_json to_json() const;
};

/// Samples need a caption and a box. Boxes are compared as each family's published numbers are: of models that take instructions in pixels
/// of the stored pictures (BoxVariant::ofa), of those that write boxes in shares of what the model sees (mplug), of detections chosen
/// by heat with inclusive pixel edges (albef). A detection file that lacks a picture leaves its samples out.
GroundingReport evaluate_grounding(const TextPipeline& pipeline, const Source& source, const GroundingEvaluation& options);

/// As evaluate_zero_shot() of models with two towers, but the class is the answer, among the classes' names, that is the most
/// probable one. Templates are not used.
ZeroShotReport evaluate_zero_shot(const TextPipeline& pipeline, const Source& source, const ZeroShotOptions& options, bool strict = false);

}  // namespace vlm
