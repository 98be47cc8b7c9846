#include "vlm/eval/zero_shot.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linalg_vector_norm.h>

#include "vlm/core/error.h"

namespace vlm {

namespace zero_shot {

Tensor unit(const Tensor& x) { return x / at::linalg_vector_norm(x, 2, at::IntArrayRef{-1}, true).clamp_min(1e-12); }

}  // namespace zero_shot

ZeroShotAccuracy zero_shot_topk(const Tensor& logits, const Tensor& target, const std::vector<int64_t>& ks) {
  if (logits.dim() != 2 || target.dim() != 1 || target.size(0) != logits.size(0) || logits.size(0) == 0) {
    fail("zero-shot: logits ", logits.sizes(), " do not fit the targets ", target.sizes());
  }
  const Tensor scores = logits.detach().to(at::kFloat).cpu().contiguous(), labels = target.to(at::kLong).cpu().contiguous();
  const int64_t count = scores.size(0), classes = scores.size(1);
  std::vector<int64_t> ranks, seen(static_cast<size_t>(classes)), right(static_cast<size_t>(classes));
  for (int64_t i = 0; i < count; ++i) {
    const float* row = scores.const_data_ptr<float>() + i * classes;
    const int64_t label = labels.const_data_ptr<int64_t>()[i];
    if (label < 0 || label >= classes) fail("zero-shot: item ", i, " has class ", label, " of ", classes);
    int64_t rank = 0;
    for (int64_t c = 0; c < classes; ++c) rank += row[c] > row[label] || (row[c] == row[label] && c < label);
    ranks.push_back(rank);
    seen[static_cast<size_t>(label)] += 1;
    right[static_cast<size_t>(label)] += rank == 0;
  }
  ZeroShotAccuracy out;
  for (const int64_t k : ks) {
    if (k > classes) continue;
    int64_t hits = 0;
    for (const int64_t rank : ranks) hits += rank < k;
    out.top[k] = static_cast<double>(hits) / static_cast<double>(count);
  }
  double sum = 0;
  int64_t occurring = 0;
  for (size_t c = 0; c < seen.size(); ++c) {
    if (seen[c] == 0) continue;
    sum += static_cast<double>(right[c]) / static_cast<double>(seen[c]);
    ++occurring;
  }
  out.mean_per_class = sum / static_cast<double>(occurring);
  return out;
}

std::string fill_template(const std::string& text, const std::string& class_name) {
  std::string out;
  for (size_t at = 0;;) {
    const size_t hole = text.find("{}", at);
    out += text.substr(at, hole - at);
    if (hole == std::string::npos) return out;
    out += class_name;
    at = hole + 2;
  }
}

Tensor zero_shot_classifier(const std::vector<std::string>& classes, const std::vector<std::string>& templates,
                            const std::function<Tensor(const std::vector<std::string>&)>& embed) {
  if (classes.empty() || templates.empty()) fail("zero-shot: no classes or no templates");
  std::vector<Tensor> columns;
  for (const auto& name : classes) {
    std::vector<std::string> texts;
    for (const auto& text : templates) texts.push_back(fill_template(text, name));
    columns.push_back(classifier_of(embed(texts), 1));
  }
  return at::cat(columns, 1);  // [E, C]
}

Tensor classifier_of(const Tensor& embeddings, int64_t classes) {
  if (embeddings.dim() != 2 || classes < 1 || embeddings.size(0) == 0 || embeddings.size(0) % classes != 0) {
    fail("zero-shot: ", classes, " classes cannot share the embeddings ", embeddings.sizes());
  }
  const Tensor each = zero_shot::unit(embeddings).view({classes, embeddings.size(0) / classes, embeddings.size(1)});
  return zero_shot::unit(each.mean(1)).t();
}

}  // namespace vlm
