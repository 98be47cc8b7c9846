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

}  // namespace eval_operations

void add_eval_operations(Operations& operations) {
  operations["metric.retrieval_recall"] = eval_operations::retrieval_recall;
  operations["metric.zero_shot_topk"] = eval_operations::zero_shot_topk;
}

}  // namespace vlm::golden
