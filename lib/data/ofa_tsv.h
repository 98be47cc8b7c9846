#pragma once
/// OFA's files: a row a line, columns separated by one tab, pictures as base64 in a column of their own (specs: data,
/// section 3).

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "vlm/data/line_index.h"
#include "vlm/data/row_source.h"

namespace vlm {

/// What a column is for, and its number from 0.
struct TsvColumn {
  std::string role;
  size_t number = 0;
};

/// The columns of a task (caption, refcoco, vqa_gen, snli_ve, image_classify, image_gen, gigaword, glue, glue_pair; pretrain,
/// pretrain_text, pretrain_image, pretrain_detection) as the released files have them.
/// Other numbers in `selected` ("0,4,2") go to the roles in their order; `roles` ("id,image,text") replaces the task's.
/// Throws a usage error for an unknown task or role, or if the numbers do not fit the roles.
std::vector<TsvColumn> tsv_columns(const std::string& task, const std::string& selected = "", const std::string& roles = "");

/// The column of answers, "weight|!+answer" joined by "&&": distinct answers at their first places with their last weights.
/// Throws an Error for a part without "|!+" or whose weight is no finite number.
struct WeightedAnswers {
  std::vector<std::string> answers;
  std::vector<double> weights;
  /// The one that is trained on: the first with the largest weight.
  size_t best() const;
};
WeightedAnswers parse_ofa_answers(std::string_view field);

/// "x0,y0,x1,y1". Throws a SampleError "bad_box" unless these are four finite numbers with positive width and height.
std::array<double, 4> parse_ofa_box(std::string_view field, const std::string& place);

/// References of an evaluation file, joined by "&&", without punctuation; empty ones are left out.
std::vector<std::string> ofa_references(std::string_view field);

/// Which rows a rank reads in OFA's contiguous slices: the first and how many. A slice that is read past its end begins
/// again: its k-th row is start + k mod count.
struct TsvSlice {
  int64_t start = 0, count = 0;
  int64_t row(int64_t k) const { return start + (count > 0 ? k % count : 0); }
};
TsvSlice ofa_slice(int64_t rows, int64_t world_size, int64_t rank);

/// Samples by role: `id` is the key and meta.id; text, hypothesis, caption and label_text are captions (of several the first
/// of these; a caption beside a hypothesis is meta.premise); question; answers with weights; box; label (contradiction 0,
/// neutral 1, entailment 2); objects, refs, dataset and type are in meta, as are source, sentence1, sentence2, codes (a list of
/// numbers), detections (a list of {box, name}) and label_name (called label). The box of a visual_grounding row is in its refs.
class OfaTsvSource : public RowSource {
 public:
  explicit OfaTsvSource(const SourceOptions& options);
  Sample read(int64_t shard, int64_t index) const override;

 protected:
  Sample row(int64_t number) const override { return parse(lines_.line(number), number, false); }

 private:
  Sample parse(const std::string& line, int64_t number, bool with_picture) const;

  std::vector<TsvColumn> columns_;
  bool references_;
  LineFile lines_;
};

}  // namespace vlm
