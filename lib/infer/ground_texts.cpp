#include "vlm/infer/ground_texts.h"

#include <ATen/ops/full.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>

#include "vlm/core/error.h"

namespace vlm {

namespace grounded_texts {

constexpr const char* reason =
    "it neither takes instructions nor writes boxes, as OFA and mPLUG's models for grounding do, nor matches by layers that look at the picture, "
    "as ALBEF's, mPLUG's and BLIP's for retrieval do";

}  // namespace grounded_texts

Tensor expression_rows(const Tokenizer& words, const std::vector<std::string>& texts, int64_t length) {
  const int64_t pad = words.specials().pad;
  Tensor out = at::full({static_cast<int64_t>(texts.size()), length}, pad, at::kLong);
  for (size_t i = 0; i < texts.size(); ++i) {
    std::vector<int64_t> ids = words.encode(texts[i]);
    ids.resize(std::min(ids.size(), static_cast<size_t>(length - 2)));
    ids.insert(ids.begin(), words.id_of("[CLS]"));
    ids.push_back(words.id_of("[SEP]"));
    std::copy(ids.begin(), ids.end(), out.data_ptr<int64_t>() + static_cast<int64_t>(i) * length);
  }
  return out;
}

void must_ground(const TextPipeline& pipeline) {
  if (!pipeline.takes_instructions()) require<Grounder>(pipeline.model(), "ground texts", grounded_texts::reason);
}

std::vector<instruct::GroundedBox> ground_texts(const TextPipeline& pipeline, const Tensor& pixels, const std::vector<PicturePlacement>& placements,
                                                const std::vector<std::string>& texts, const instruct::GroundOptions& options) {
  if (pipeline.takes_instructions()) return instruct::ground(pipeline.instructions("ground texts"), pixels, placements, texts, options);
  auto& grounder = require<Grounder>(pipeline.model(), "ground texts", grounded_texts::reason);
  if (static_cast<int64_t>(texts.size()) != pixels.size(0) || placements.size() != texts.size()) {
    fail("there are ", texts.size(), " texts and ", placements.size(), " placements for ", pixels.size(0), " pictures");
  }
  const c10::InferenceMode inference;
  const Tokenizer& words = pipeline.tokenizer();
  const Tensor ids = expression_rows(words, texts, grounder.expression_length());
  const GroundedShares found = grounder.ground(pixels, ids, ids.ne(words.specials().pad).to(at::kLong));
  const Tensor shares = found.boxes.to(at::kFloat).contiguous(), scores = found.scores.to(at::kFloat).contiguous();
  std::vector<instruct::GroundedBox> out(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    const float* share = shares.const_data_ptr<float>() + 4 * i;
    const PicturePlacement& place = placements[i];
    const auto width = static_cast<float>(pixels.size(3)), height = static_cast<float>(pixels.size(2));
    const auto x = [&](float at) { return (at * width + place.left) / place.width_ratio; };
    const auto y = [&](float at) { return (at * height + place.top) / place.height_ratio; };
    out[i].box = {x(share[0] - share[2] / 2), y(share[1] - share[3] / 2), x(share[0] + share[2] / 2), y(share[1] + share[3] / 2)};
    out[i].score = scores.const_data_ptr<float>()[i];
  }
  return out;
}

}  // namespace vlm
