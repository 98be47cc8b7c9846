#pragma once
/// Evaluation of models that write text: captions against references, answers against those of people (specs: eval, 1 to 5).

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "vlm/data/source.h"
#include "vlm/eval/vqa_accuracy.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm {

/// Told of every sample's result, as one JSON object.
using SampleResult = std::function<void(const nlohmann::ordered_json&)>;

struct CaptionEvaluation {
  CaptionOptions caption;
  std::string document_frequency;  ///< file of n-gram frequencies for CIDEr; empty: those of the references
  bool progress = true, strict = false;
  SampleResult each;
};

struct CaptionReport {
  std::map<std::string, double> scores;  ///< BLEU-1 … BLEU-4, ROUGE-L in 0 .. 1; CIDEr-D (what papers call CIDEr) and CIDEr in 0 .. 10
  int64_t pictures = 0, references = 0, skipped = 0;

  nlohmann::ordered_json to_json() const;
};

/// Captions each distinct picture once and holds it against all captions that the data set has of it.
CaptionReport evaluate_captions(const TextPipeline& pipeline, const Source& source, const CaptionEvaluation& options);

/// The same for the captions that the nearest training pictures have (eval/pixel_neighbours.h): what copying alone reaches, and
/// what a captioner has to beat.
CaptionReport nearest_picture_captions(const Source& train, const Source& test, const CaptionEvaluation& options);

struct VqaEvaluation {
  AnswerOptions answer;
  bool with_objects = false;  ///< the names of objects that the data set has of a picture are part of the question (OFA)
  VqaVariant variant = VqaVariant::official;
  bool progress = true, strict = false;
  SampleResult each;
};

struct VqaReport {
  VqaAccuracy accuracy;     ///< in percent, as the benchmark prints them
  double exact_match = 0;   ///< share
  /// Mean weight that the data set gives to the answers: the accuracy of data sets that weigh answers and do not count people (OFA's
  /// files). Nothing where no question has weights of that kind.
  std::optional<double> soft_accuracy;
  int64_t questions = 0, unanswered = 0, skipped = 0;

  nlohmann::ordered_json to_json() const;
};

/// Questions without known answers are asked as well, and counted as `unanswered`; they take no part in the accuracy.
VqaReport evaluate_vqa(const TextPipeline& pipeline, const Source& source, const VqaEvaluation& options);

}  // namespace vlm
