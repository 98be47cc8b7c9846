#pragma once
/// Questions about pictures in JSON files (specs: data, section 5).

#include <string>

#include "vlm/data/row_source.h"

namespace vlm {

/// VQAv2: `path` is the questions file, `annotations` the one with the answers (none for test questions). Samples are
/// questions in file order: question, distinct answers in order of first appearance with their counts, weights as in the
/// official accuracy (an answer of c people has min(1, 0.3 c)). meta: question_id, image_id; where known question_type,
/// answer_type.
class VqaV2Source : public StoredRows {
 public:
  explicit VqaV2Source(const SourceOptions& options);
};

/// ALBEF's lists of {question_id, question, image, dataset: vqa | vg | gqa, answer}; several files joined by "::" are one.
/// Answers of vqa rows weigh their share, the one of other rows weighs 0.5. Question and answers are as the file has them,
/// for albef_question() and the end mark. meta: question_id, dataset.
class AlbefVqaSource : public StoredRows {
 public:
  explicit AlbefVqaSource(const SourceOptions& options);

 protected:
  std::filesystem::path root_of(const Sample& sample) const override;

 private:
  std::filesystem::path vqa_root_, vg_root_, gqa_root_;
};

/// A picture's name from a template with one "{}", "{:d}" or "{:012d}" for its number. Throws a usage error if there is not
/// exactly one of these.
std::string fill_image_template(const std::string& pattern, int64_t image_id);

/// The official accuracy's weight of an answer that so many of ten people gave: 0, 0.3, 0.6, 0.9 or 1.
double soft_answer_weight(int64_t people);

}  // namespace vlm
