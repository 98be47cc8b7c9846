#pragma once
/// Statements about pictures with a label: entailment and NLVR2 (specs: data, section 6). Sentences are captions as the
/// files have them, stripped; models of the ALBEF family clean them with albef_caption().

#include "vlm/core/rng.h"
#include "vlm/data/line_index.h"
#include "vlm/data/row_source.h"

namespace vlm {

/// The labels of entailment as ALBEF numbers them: contradiction 0, neutral 1, entailment 2; -1 for any other text.
int64_t entailment_label(std::string_view name);

/// SNLI-VE's JSON lines. captions: the hypothesis; meta: premise (may be empty), pair_id, caption_id. Blank lines are no
/// rows.
class SnliVeSource : public RowSource {
 public:
  explicit SnliVeSource(const SourceOptions& options);

 protected:
  Sample row(int64_t number) const override;

 private:
  LineFile lines_;
  std::vector<int64_t> numbers_;  ///< of the lines that are not blank
};

/// ALBEF's entailment lists of {image, sentence, label}; the picture is "<image>.jpg".
class AlbefVeSource : public StoredRows {
 public:
  explicit AlbefVeSource(const SourceOptions& options);
};

/// NLVR2's lists of {sentence, label, images}: two pictures, label 1 for "True".
class Nlvr2Source : public StoredRows {
 public:
  explicit Nlvr2Source(const SourceOptions& options);
};

/// mPLUG's augmentation of NLVR2: with probability 1/2 the pictures change places, and in that case the words left and right
/// in the (cleaned) sentence do, too. True if they did.
bool swap_nlvr2(Sample& sample, SplitMix64& random);
/// The sentence with the words "left" and "right" exchanged; words are separated by single spaces.
std::string swap_left_right(std::string_view sentence);

}  // namespace vlm
