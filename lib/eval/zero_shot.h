#pragma once
/// Zero-shot classification (specs: clip, 13; eval, 6).

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vlm {

using at::Tensor;

struct ZeroShotAccuracy {
  std::map<int64_t, double> top;  ///< K -> share of items whose class is among the K best; Ks above the number of classes are left out
  double mean_per_class = 0;      ///< mean over the classes that occur of the share of their items that are right (argmax)
};

/// logits: [N, C]; target: [N], int64. Among equal logits the smaller index comes first.
ZeroShotAccuracy zero_shot_topk(const Tensor& logits, const Tensor& target, const std::vector<int64_t>& ks = {1, 5});

/// The template with every "{}" replaced by the class name.
std::string fill_template(const std::string& text, const std::string& class_name);

/// Class weights [E, C]: for each class the mean of its templates' unit vectors, brought to unit length again.
/// `embed` turns texts into vectors [n, E].
Tensor zero_shot_classifier(const std::vector<std::string>& classes, const std::vector<std::string>& templates,
                            const std::function<Tensor(const std::vector<std::string>&)>& embed);

/// The same from embeddings [C * T, E] of any length, the T templates of a class one after the other.
Tensor classifier_of(const Tensor& embeddings, int64_t classes);

}  // namespace vlm
