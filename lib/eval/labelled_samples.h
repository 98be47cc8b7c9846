#pragma once
/// Pictures with a class on their way through an evaluation: which are asked for, what their class is, and what came of them.

#include <map>
#include <string>
#include <vector>

#include "vlm/data/source.h"
#include "vlm/eval/protocols.h"

namespace vlm {

/// A label is the class name in the sample's metadata ("class"), else its class number, else a caption that is the name of a class.
class LabelledSamples {
 public:
  /// Throws a usage error where classes have numbers but no names. All of them outlive this.
  LabelledSamples(const Source& source, const ZeroShotOptions& options, ZeroShotReport& report);
  /// Whether a sample has a class; counts those that have none.
  bool want(const Sample& sample);
  /// The next picture that is judged.
  void keep(const Sample& sample);
  /// Looks through the data set (reads no picture) for the names of its classes, if nothing has named them yet.
  void find_classes();
  /// After the last picture: the classes' names, and the number of each picture's. Throws if there is no picture, or a class is
  /// not among the given ones.
  void resolve();
  /// scores: [N, C], larger is better, under `score_name` in what is told of every picture.
  void finish(const Tensor& scores, const char* score_name);

 private:
  std::string name_of(const Sample& sample) const;
  void take_names(std::vector<std::string> names);

  const Source& source_;
  const ZeroShotOptions& options_;
  ZeroShotReport& report_;
  std::vector<std::string> names_, keys_;
  std::vector<int64_t> numbers_, places_, target_;
};

}  // namespace vlm
