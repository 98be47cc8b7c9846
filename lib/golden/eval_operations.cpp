#include <ATen/TensorOperators.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>

#include <cmath>

#include "vlm/eval/retrieval.h"
#include "vlm/eval/zero_shot.h"
#include "vlm/golden/case.h"

namespace vlm::golden {

namespace eval_operations {

Result retrieval_recall(const Case& c) {
  const auto ks = c.param("ks", std::vector<int64_t>{1, 5, 10});
  const auto recall = vlm::retrieval_recall(c.in("similarity"), c.in("text_to_image"), ks);
  Result result;
  for (const int64_t k : ks) {
    result.set("out.txt_r" + std::to_string(k), 100 * recall.image_to_text.at(k));
    result.set("out.img_r" + std::to_string(k), 100 * recall.text_to_image.at(k));
  }
  result.set("out.txt_r_mean", 100 * recall.image_to_text_mean);
  result.set("out.img_r_mean", 100 * recall.text_to_image_mean);
  result.set("out.r_mean", 100 * recall.mean);
  return result;
}

Result zero_shot_topk(const Case& c) {
  const auto accuracy = vlm::zero_shot_topk(c.in("logits"), c.in("target"), c.param("ks", std::vector<int64_t>{1, 5}));
  Result result;
  for (const auto& [k, share] : accuracy.top) result.set("out.top" + std::to_string(k), share);
  result.set("out.mean_per_class", accuracy.mean_per_class);
  return result;
}

Tensor unit(const Tensor& x) { return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, true); }

Result clip_metrics(const Case& c) {
  const Tensor similarity = at::matmul(c.in("image_features"), c.in("text_features").t());
  std::vector<double> table;
  for (const auto& scores : {similarity, similarity.t()}) {
    const auto metrics = pair_metrics(scores.contiguous());
    table.insert(table.end(), {metrics.mean_rank, metrics.median_rank});
    for (const auto& [k, share] : metrics.recall) table.push_back(share);
  }
  Result result;
  result.set("out.table", at::tensor(table, at::kDouble).view({2, -1}));
  return result;
}

Result multi_caption_recall(const Case& c) {
  const Tensor similarity = at::matmul(unit(c.in("image_features")), unit(c.in("text_features")).t());
  const auto recall = vlm::retrieval_recall(similarity, c.in("caption_owner"), c.param("ks", std::vector<int64_t>{1, 5, 10}));
  std::vector<double> table;
  for (const auto* shares : {&recall.image_to_text, &recall.text_to_image}) {
    for (const auto& [k, share] : *shares) table.push_back(share);
  }
  Result result;
  result.set("out.table", at::tensor(table, at::kDouble).view({2, -1}));
  result.set("out.best_rank_i2t", at::tensor(recall.image_ranks, at::kLong));
  result.set("out.rank_t2i", at::tensor(recall.text_ranks, at::kLong));
  result.set("out.r_mean", recall.mean);
  return result;
}

Result zero_shot_classifier(const Case& c) {
  const Tensor classifier = classifier_of(c.in("text_embeddings"), c.params.at("num_classes"));
  const Tensor logits = c.param("scale", 100.0) * at::matmul(unit(c.in("image_features")), classifier);
  const Tensor labels = c.in("labels");
  const auto accuracy = vlm::zero_shot_topk(logits, labels, {1, 5});
  Result result;
  result.set("out.classifier", classifier);
  result.set("out.logits", logits);
  for (const auto& [k, share] : accuracy.top) {
    result.set("out.top" + std::to_string(k), std::round(share * static_cast<double>(labels.size(0))));
  }
  return result;
}

}  // namespace eval_operations

void add_eval_operations(Operations& operations) {
  operations["metric.retrieval_recall"] = eval_operations::retrieval_recall;
  operations["metric.zero_shot_topk"] = eval_operations::zero_shot_topk;
  operations["clip.metrics"] = eval_operations::clip_metrics;
  operations["retrieval.recall"] = eval_operations::multi_caption_recall;
  operations["zeroshot.classifier"] = eval_operations::zero_shot_classifier;
}

}  // namespace vlm::golden
