#pragma once
/// How well a model does while it is being trained, in numbers, in a sentence, and in examples to look at. Knows protocols,
/// no family: what a model must be able to do, it is asked for by its interface.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/data/source.h"
#include "vlm/data/transforms.h"
#include "vlm/models/interfaces.h"
#include "vlm/text/tokenizer.h"

namespace vlm {

/// The section `eval` of a recipe.
struct EvaluationOptions {
  std::string name{};             ///< retrieval, caption, vqa, zeroshot, entail, nlvr2, ground; empty: what the objective says
  int64_t limit = 0;              ///< samples, spread over the data set; 0: all
  int64_t batch_size = 32;
  std::string prompt{};           ///< what captions begin with; zeroshot: the text around a class name, "{}" if empty
  int64_t beams = 1;              ///< of captions, answers and boxes
  int64_t max_tokens = 20;        ///< new ids of a caption or an answer
  bool merge_equal_texts = true;  ///< retrieval: equal texts are one
  std::string prompt_type = "none";  ///< vqa, entail: what the decoder of a model that takes instructions is given: none, src, prev_output
  std::string answers{};          ///< vqa: file of the only answers that may come out
  int64_t rank = 0;               ///< vqa: more than 0: whole answers of the set are ranked, those so many that begin the likeliest (ALBEF, mPLUG)
  bool score_all = false;         ///< vqa: all answers of the set are scored instead of searched
  bool add_object = false;        ///< vqa: the names of a picture's objects are part of the question
  bool add_caption = false;       ///< entail: the picture's caption is part of the instruction
  int64_t max_image_size = 512;   ///< ground: the pixel that the last coordinate stands for
  int64_t samples = 16;           ///< examples to keep

  void fields(Fields& f) {
    f.field("name", name, "retrieval, caption, vqa, zeroshot, entail, nlvr2 or ground; empty: what the objective says");
    f.field("limit", limit, "samples that are evaluated, spread over the data set; 0: all");
    f.field("batch_size", batch_size, "pictures in a batch");
    f.field("prompt", prompt, "what captions begin with; zeroshot: the text around a class name, which goes in place of {}");
    f.field("beams", beams, "beams of captions, answers and boxes; 1: greedy");
    f.field("max_tokens", max_tokens, "longest caption or answer, in tokens");
    f.field("merge_equal_texts", merge_equal_texts, "retrieval: equal texts (ignoring case and punctuation) are one text");
    f.field("prompt_type", prompt_type, "vqa, entail: what the decoder of a model that takes instructions is given: none, src or prev_output");
    f.field("answers", answers, "vqa: file of the only answers that may come out");
    f.field("rank", rank, "vqa: the answers of the set are ranked by likelihood, so many of them as a whole (ALBEF, mPLUG: 128); 0: they are searched");
    f.field("score_all", score_all, "vqa: all answers of the set are scored instead of searched");
    f.field("add_object", add_object, "vqa: the names of a picture's objects are part of the question");
    f.field("add_caption", add_caption, "entail: the picture's caption is part of the instruction");
    f.field("max_image_size", max_image_size, "ground: the pixel that the last coordinate stands for");
    f.field("samples", samples, "examples that are kept for the report");
  }
};

struct EvaluationResult {
  std::map<std::string, double> metrics;  ///< "image_to_text_recall@10", "CIDEr-D", "accuracy", "top1"; shares in 0 .. 1
  std::string main_metric;                ///< the one that says best which checkpoint to keep; empty: there is none
  std::string headline;                   ///< "R@10 image to text 17.6 % (chance 2.0 %)"
  nlohmann::ordered_json report;          ///< all that the protocol says
  /// An array of {key, thumbnail (a data: URI, longest side 96)} and, by protocol, {caption, found: [{text, right}]},
  /// {caption, references}, {question, answer, references}, {class, predicted}; entail, nlvr2 and ground: {question, answer, references, right}.
  nlohmann::ordered_json samples = nlohmann::ordered_json::array();
};

/// The protocols that `name` can be.
const std::vector<std::string>& evaluation_names();

/// `name`: one of evaluation_names(); throws a usage error for another one, and an Error if the model cannot do what is asked
/// or the data set holds nothing of use. Leaves the model in evaluation mode.
EvaluationResult evaluate_in_training(const std::string& name, std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer,
                                      const PreprocessOptions& preprocess, const Source& source, const EvaluationOptions& options);

/// Losses, ranks and perplexities are better when lower, all else when higher.
bool higher_is_better(const std::string& metric);
/// Whether `a` is strictly better than `b`; any number is better than NaN.
bool better(const std::string& metric, double a, double b);

/// RUN/samples/step-%08d.json: {"step", "evaluation", "headline", "samples"}. Nothing is written if there are no samples.
/// `evaluation` is the name under which the log has it ("validation").
void write_samples(const std::filesystem::path& run, int64_t step, const std::string& evaluation, const EvaluationResult& result);

}  // namespace vlm
