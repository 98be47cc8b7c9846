#include "vlm/eval/two_stage.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <optional>

#include "vlm/core/error.h"
#include "vlm/core/progress.h"
#include "vlm/infer/picture_stream.h"
#include "vlm/models/reranker.h"

namespace vlm {

namespace two_stage {

constexpr int64_t pairs_at_once = 64;

/// 1 for the k largest of each row: [n, m], uint8.
Tensor chosen(const Tensor& scores, int64_t k) {
  const Tensor columns = std::get<1>(at::topk(scores, std::min(k, scores.size(1)), 1));
  return at::zeros(scores.sizes(), at::kByte).scatter_(1, columns, 1);
}

struct Texts {
  Tensor states, mask;  ///< [m, …], [m, L]
};

Texts encode(const DualEncoderPipeline& pipeline, Reranker& model, const std::vector<std::string>& texts) {
  const int64_t length = pipeline.encoder().context_length();
  const Tensor ids = at::tensor(pipeline.tokenizer().encode_batch(texts, length), at::kLong).view({-1, length});
  Texts out;
  out.mask = ids.ne(pipeline.tokenizer().specials().pad).to(at::kLong);
  std::vector<Tensor> states;
  for (int64_t at = 0; at < ids.size(0); at += pairs_at_once) {
    states.push_back(model.match_texts(ids.slice(0, at, at + pairs_at_once), out.mask.slice(0, at, at + pairs_at_once)));
  }
  out.states = at::cat(states);
  return out;
}

/// Pictures of a set once more, by their numbers in the data set; a row's name is its place in the set.
ReadPicture reader(const Source& source, const EmbeddedSet& set) {
  return [&source, &set, at = size_t(0)](Picture& picture) mutable {
    if (at == set.numbers.size()) return false;
    Sample sample = source.read_number(set.numbers[at]);
    if (sample.images.empty()) fail(source.name(), ": the picture of ", set.keys[at], " is not there any more");
    picture = {std::to_string(at), std::move(sample.images[0].bytes), source.decode_options()};
    ++at;
    return true;
  };
}

}  // namespace two_stage

TwoStageReport evaluate_two_stage(const DualEncoderPipeline& pipeline, const Source& source, const RetrievalOptions& options, int64_t k,
                                  bool strict) {
  if (k < 1) fail_usage("at least one of each row has to be looked at again, not ", k);
  auto& model = require<Reranker>(pipeline.model(), "look at pairs again", "it has no image-text matching head");
  SkipCounter skips(source.name(), strict);
  const EmbeddedSet set = embed_set(pipeline, source, options, skips);
  RetrievalOptions quiet = options;
  quiet.each = {};
  TwoStageReport report;
  report.again = evaluate_retrieval(pipeline, set, quiet);
  report.again.skipped = skips.skipped();
  report.first = report.again.recall;

  const c10::InferenceMode inference;
  const auto n = static_cast<int64_t>(set.keys.size()), m = static_cast<int64_t>(set.texts.size());
  const Tensor cosines = at::matmul(set.images, set.text_vectors.t());                                    // [n, m]
  const Tensor for_picture = two_stage::chosen(cosines, k), for_text = two_stage::chosen(cosines.t().contiguous(), k);
  const auto texts = two_stage::encode(pipeline, model, set.texts);
  Tensor of_pictures = at::full({n, m}, -100.0f), of_texts = at::full({m, n}, -100.0f);
  const auto wanted = for_picture.accessor<uint8_t, 2>(), wanted_by_text = for_text.accessor<uint8_t, 2>();
  auto picture_scores = of_pictures.accessor<float, 2>(), text_scores = of_texts.accessor<float, 2>();

  const auto [height, width] = pipeline.encoder().image_size();
  constexpr int64_t batch_size = 16;
  PictureStream stream(pipeline.preprocess(), height, width, batch_size, 0, two_stage::reader(source, set),
                       [](const std::string& name, const std::string& reason) { fail("picture ", name, ": ", reason); });
  std::optional<Progress> bar;
  if (options.progress) bar.emplace("looking again", n, "pictures");
  int64_t done = 0;
  PictureBatch batch;
  while (stream.next(batch)) {
    const Tensor pictures = model.match_pictures(batch.pixels);
    std::vector<int64_t> rows, columns, places;
    for (const auto& name : batch.names) places.push_back(std::stoll(name));
    for (size_t i = 0; i < places.size(); ++i) {
      for (int64_t t = 0; t < m; ++t) {
        if (!wanted[places[i]][t] && !wanted_by_text[t][places[i]]) continue;
        rows.push_back(static_cast<int64_t>(i));
        columns.push_back(t);
      }
    }
    const Tensor row = at::tensor(rows, at::kLong), column = at::tensor(columns, at::kLong);
    for (int64_t at = 0; at < row.size(0); at += two_stage::pairs_at_once) {
      const Tensor r = row.slice(0, at, at + two_stage::pairs_at_once), c = column.slice(0, at, at + two_stage::pairs_at_once);
      const Tensor both = model.match_logits(pictures.index_select(0, r), texts.states.index_select(0, c), texts.mask.index_select(0, c));
      const Tensor logits = both.select(1, 1).to(at::kFloat).contiguous();
      for (int64_t j = 0; j < logits.size(0); ++j) {
        const int64_t place = places[static_cast<size_t>(rows[static_cast<size_t>(at + j)])], t = columns[static_cast<size_t>(at + j)];
        const float logit = logits.const_data_ptr<float>()[j];
        if (wanted[place][t]) picture_scores[place][t] = logit;
        if (wanted_by_text[t][place]) text_scores[t][place] = logit;
      }
    }
    done += static_cast<int64_t>(places.size());
    if (bar) bar->update(done);
  }

  report.again.recall = retrieval_recall(of_pictures, of_texts, set.relevant, options.ks);
  for (size_t i = 0; i < set.keys.size() && options.each; ++i) {
    options.each({{"picture", set.keys[i]}, {"rank_of_best_text", report.again.recall.image_ranks[i] + 1}});
  }
  for (size_t i = 0; i < set.texts.size() && options.each; ++i) {
    options.each({{"text", set.texts[i]}, {"rank_of_best_picture", report.again.recall.text_ranks[i] + 1}});
  }
  return report;
}

}  // namespace vlm
