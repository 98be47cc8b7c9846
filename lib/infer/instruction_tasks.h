#pragma once
/// What a model that takes instructions is told (text/ofa_instructions.h), and what its replies mean (specs: ofa, 4, 5 and 7).
///
/// pixels: [B, 3, H, W]. placements: where the pictures lie in these; boxes are in pixels of the pictures as they were.

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "vlm/data/ofa_boxes.h"
#include "vlm/data/transforms.h"
#include "vlm/infer/generate.h"
#include "vlm/infer/instruction_pipeline.h"

namespace vlm::instruct {

/// The same search in the terms of fairseq's. Throws a usage error for what it does not have (repetition_penalty).
/// A length_penalty of 0 compares sums of log-probabilities.
SequenceSearchOptions search_of(const GenerateOptions& options);
/// As published: 5 beams; captions of at most 16 ids, no 3 of which come twice.
GenerateOptions caption_search();
/// 5 beams, compared by their sums; at most 30 ids.
GenerateOptions answer_search();
/// Five beams, up to 200 ids: for anything else.
GenerateOptions reply_search();

/// Captions without ASCII punctuation, as they are evaluated. `begin`: what each begins with.
std::vector<GeneratedText> caption(const InstructionPipeline& model, const Tensor& pixels, const GenerateOptions& search = caption_search(), const std::string& begin = "");

/// objects: names joined by "&&" that go behind each question; empty: none.
std::vector<GeneratedText> answer(const InstructionPipeline& model, const Tensor& pixels, const std::vector<std::string>& questions, const ReplyOptions& options,
                                  const std::vector<std::string>& objects = {});

/// The probability of `yes` against `no`, of each text about its picture.
std::vector<double> match(const InstructionPipeline& model, const Tensor& pixels, const std::vector<std::string>& texts);

/// Log-probabilities of the classes, [B, C].
Tensor classify(const InstructionPipeline& model, const Tensor& pixels, const std::vector<std::string>& classes);

/// Log-probabilities of contradiction, neutral and entailment (no, maybe, yes), [B, 3]. premises: what is known beside the
/// picture; empty, or one for each.
Tensor entail(const InstructionPipeline& model, const Tensor& pixels, const std::vector<std::string>& hypotheses, const std::vector<std::string>& premises,
              ofa_instruction::Prompt prompt);

struct GroundOptions {
  int64_t beams = 5;
  int64_t max_image_size = 512;  ///< the pixel of the resized picture that the last bin stands for
  bool only_bins = true;         ///< nothing but coordinates may come out; published evaluation leaves that to the model
};
struct GroundedBox {
  Corners box{};   ///< x0, y0, x1, y1
  BoxBins bins{};  ///< what is no coordinate counts from the first one, too, and is negative
  double score = 0;
};
/// Where in each picture its text is. Throws if the model has no coordinates.
std::vector<GroundedBox> ground(const InstructionPipeline& model, const Tensor& pixels, const std::vector<PicturePlacement>& placements, const std::vector<std::string>& texts,
                                const GroundOptions& options = {});

/// What stands in a box of each picture.
std::vector<GeneratedText> describe_region(const InstructionPipeline& model, const Tensor& pixels, const std::vector<PicturePlacement>& placements, const std::vector<Corners>& boxes,
                                           const GenerateOptions& search = caption_search(), int64_t max_image_size = 512);

/// Texts in which "<mask>" stands for any number of words, completed.
std::vector<GeneratedText> infill(const InstructionPipeline& model, const std::vector<std::string>& texts, const GenerateOptions& search = reply_search());

}  // namespace vlm::instruct
