#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/models/layers/fast_linear.h"
#include "vlm/models/ofa/decoder.h"
#include "vlm/models/ofa/encoder.h"

namespace vlm {

OfaReplyState::OfaReplyState(const OfaModel& model, std::shared_ptr<const OfaEncoded> encoded, const OfaExitThresholds& thresholds)
    : model_(model),
      context_(model.decoder->look_at(*encoded)),
      thresholds_(thresholds),
      caches_(model.decoder->layers->layers().size()),
      prefixes_(model.decoder->prefixes()),
      rows_(encoded->rows()) {}

Tensor OfaReplyState::step(const Tensor& ids, const Tensor& mask) {
  const OfaDecoder& decoder = *model_.decoder;
  const OfaConfig& config = model_.architecture();
  const int64_t n = ids.size(1), length = length_ + n;
  OfaDecoder::Call call;
  call.previous = ids;
  call.past = length_;
  call.caches = &caches_;
  call.prefixes = prefixes_;
  call.exit_threshold = thresholds_.at_step(length_);
  const Tensor padding = mask.defined() ? mask.eq(0) : ids.eq(config.pad);
  if (padding_.defined() || padding.any().item<bool>()) {
    const Tensor before = padding_.defined() ? padding_ : at::zeros({ids.size(0), length_}, padding.options());
    padding_ = at::cat({before, padding}, 1);
    call.key_mask = padding_;
  }
  const auto grown = [&](OfaPositionTerms& terms, bool codes) {
    const int64_t known = terms.places.defined() ? terms.places.size(0) : 0;
    if (known < length) {
      const int64_t more = std::max(length, std::max<int64_t>(32, 2 * known));
      terms = decoder.position_terms(codes, codes ? more : std::max(length, std::min(more, config.max_target_positions)));
    }
    return terms;
  };
  if (!context_.all_codes) call.text = grown(text_, false);
  if (context_.codes.defined()) call.code = grown(code_, true);
  int64_t ran = 0;
  const Tensor x = decoder.forward(context_, model_.encoder->embed_tokens->weight, call, ran);          // [R, n, D]
  length_ = length;
  rows_ = ids.size(0);
  return fast_linear(x.select(1, n - 1), model_.encoder->embed_tokens->weight, {});                // [R, V]
}

void OfaReplyState::select(const Tensor& rows) {
  for (auto& cache : caches_) cache.select(rows);
  if (padding_.defined()) padding_ = padding_.index_select(0, rows);
  rows_ = rows.size(0);
}

bool OfaReplyState::keep_pictures(const Tensor& pictures) {
  const int64_t beams = rows_ / context_.instructions();
  context_.keep(pictures);
  select((pictures.unsqueeze(1) * beams + at::arange(beams, at::kLong)).reshape({-1}));
  return true;
}

}  // namespace vlm
