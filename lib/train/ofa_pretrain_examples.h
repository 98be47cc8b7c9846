#pragma once
/// Rows of OFA's pretraining as examples (arXiv 2202.03052, section 3.2; specs: ofa, 5.1): a picture with a text gives two of them,
/// the task and its check; texts and pictures with holes and detection give one.

#include <map>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/rng.h"
#include "vlm/data/sample.h"
#include "vlm/text/text_infilling.h"
#include "vlm/train/ofa_rows.h"
#include "vlm/train/ofa_vocabulary.h"

namespace vlm {

/// What a row of pictures and texts is about.
enum class OfaPairKind { caption, question, region };
/// As meta.type says (caption, qa, visual_grounding); otherwise a box with a text is a region, an answer a question, all else a caption.
OfaPairKind ofa_pair_kind(const Sample& sample, const std::string& text);

struct OfaPretrainTexts {
  int64_t max_src_length = 80;  ///< words of captions and questions that are read
  int64_t max_tgt_length = 30;  ///< words of captions that are written
  int64_t max_image_size = 512;
  double extra_weight = 2;
  std::string negative_captions, negative_objects, answer_types;
  TextInfillingOptions infilling;

  void fields(Fields& f);
};

class OfaPretrainExamples {
 public:
  /// Throws an Error that names the file if one of negatives does not read. `vocabulary` outlives it.
  OfaPretrainExamples(const OfaVocabulary& vocabulary, const OfaPretrainTexts& options);

  /// Throws a SampleError if a row lacks what its kind needs.
  void check_pair(const Sample& sample, const std::string& text) const;
  void check_text(const std::string& text, const std::string& place) const;
  void check_picture(const Sample& sample) const;
  void check_detection(const Sample& sample) const;

  /// The task and its check, of picture number `picture`. The sample's box is in pixels as the model sees them. `others`: texts of
  /// the batch, for negatives where there is no file of them.
  std::vector<OfaExample> pair(const Sample& sample, const std::string& text, const std::vector<std::string>& others, int64_t picture, SplitMix64& random) const;
  OfaExample text(const std::string& text, SplitMix64& random) const;
  OfaExample picture(const Sample& sample, int64_t picture) const;
  /// meta.detections: boxes in pixels as the model sees them.
  OfaExample detection(const Sample& sample, int64_t picture) const;

 private:
  OfaExample example(const std::string& instruction, const std::vector<int64_t>& answer, double weight, int64_t picture) const;
  std::string negative_caption(const Sample& sample, const std::string& caption, const std::vector<std::string>& others, SplitMix64& random) const;
  std::string negative_answer(const std::string& answer, double confidence, const std::vector<std::string>& others, SplitMix64& random) const;
  std::vector<int64_t> box(const std::array<double, 4>& pixels) const { return vocabulary_.box(pixels, static_cast<double>(options_.max_image_size)); }

  const OfaVocabulary& vocabulary_;
  OfaPretrainTexts options_;
  std::vector<std::string> captions_, objects_;
  std::map<std::string, std::string> type_of_answer_;
  std::map<std::string, std::vector<std::string>> answers_of_type_;
  std::vector<bool> word_starts_;
  PoissonLengths lengths_;
};

}  // namespace vlm
