#pragma once
/// Evaluation of a dual encoder on a data set, as published numbers are made (specs: clip, 13; eval, 6 and 8).

#include <functional>
#include <nlohmann/json_fwd.hpp>

#include <string>
#include <vector>

#include "vlm/data/skips.h"
#include "vlm/data/source.h"
#include "vlm/eval/retrieval.h"
#include "vlm/eval/zero_shot.h"
#include "vlm/infer/pipeline.h"

namespace vlm {

struct RetrievalOptions {
  bool merge_equal_texts = false;      ///< equal texts (ignoring case and punctuation) are one text
  bool all_captions = false;           ///< every caption of a picture is a text, not only the first
  std::vector<int64_t> ks = {1, 5, 10};
  bool progress = true;
  std::function<void(const nlohmann::ordered_json&)> each = {};  ///< told of every picture's and text's rank (from 1)

  void fields(Fields& f) {
    f.field("merge_equal_texts", merge_equal_texts, "equal texts (ignoring case and punctuation) are one text");
    f.field("all_captions", all_captions, "every caption of a picture is a text, not only the first");
    f.field("ks", ks, "a hit is a right one among the first K");
  }
};

/// A data set turned into vectors: what retrieval and the demo's page look things up in.
struct EmbeddedSet {
  Tensor images;                                ///< [N, E]
  std::vector<std::string> keys;                ///< of the pictures
  std::vector<int64_t> numbers;                 ///< of the pictures, in the data set
  std::vector<std::string> texts;               ///< distinct where equal texts are merged
  Tensor text_vectors;                          ///< [T, E]
  std::vector<std::vector<int64_t>> relevant;   ///< texts of each picture
};

struct RetrievalReport {
  RetrievalRecall recall;
  RetrievalRecall chance;  ///< what a ranking drawn at random reaches on average
  int64_t images = 0, texts = 0, skipped = 0;

  nlohmann::ordered_json to_json() const;
};

EmbeddedSet embed_set(const DualEncoderPipeline& pipeline, const Source& source, const RetrievalOptions& options, SkipCounter& skips);
RetrievalReport evaluate_retrieval(const DualEncoderPipeline& pipeline, const EmbeddedSet& set, const RetrievalOptions& options);
/// The same from the data set itself.
RetrievalReport evaluate_retrieval(const DualEncoderPipeline& pipeline, const Source& source, const RetrievalOptions& options, bool strict = false);

/// "A dog, running!" -> "a dog running": what counts as the same text with merge_equal_texts.
std::string text_identity(const std::string& text);

struct ZeroShotOptions {
  std::vector<std::string> classes;              ///< empty: the classes that the data set names
  std::vector<std::string> templates = {"{}"};
  std::vector<int64_t> ks = {1, 5};
  bool progress = true;
  std::function<void(const nlohmann::ordered_json&)> each = {};  ///< told of every picture's class
};

struct ZeroShotReport {
  ZeroShotAccuracy accuracy;
  double majority = 0;        ///< share of the most frequent class
  int64_t items = 0, unlabelled = 0, skipped = 0;
  std::vector<std::string> classes;

  nlohmann::ordered_json to_json() const;
};

/// Pictures without a label are passed over and counted. A label is the class name in the sample's metadata ("class"), else
/// its class number. Throws if no picture has one, or a class is not among `classes`.
ZeroShotReport evaluate_zero_shot(const DualEncoderPipeline& pipeline, const Source& source, const ZeroShotOptions& options, bool strict = false);

}  // namespace vlm
