#include "vlm/models/ofa/decoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/models/ofa/encoder.h"
#include "vlm/models/ofa/positions.h"

namespace vlm {

void OfaContext::keep(const Tensor& pictures) {
  for (auto& [keys, values] : cross) {
    keys = keys.index_select(0, pictures);
    values = values.index_select(0, pictures);
  }
  position_keys = position_keys.index_select(0, pictures);
  if (padding.defined()) padding = padding.index_select(0, pictures);
  if (codes.defined()) codes = codes.index_select(0, pictures);
}

OfaDecoder::OfaDecoder(const OfaConfig& config) : config_(config) {
  const int64_t d = config.width, side = config.image_bucket_size;
  if (config.layernorm_embedding) layernorm_embedding = register_module("layernorm_embedding", std::make_shared<LayerNorm>(d));
  if (config.code_layernorm_embedding) code_layernorm_embedding = register_module("code_layernorm_embedding", std::make_shared<LayerNorm>(d));
  embed_positions = register_module("embed_positions", std::make_shared<Embedding>(config.max_target_positions + 2, d));
  embed_image_positions = register_module("embed_image_positions", std::make_shared<Embedding>(side * side + 1, d));
  pos_ln = register_module("pos_ln", std::make_shared<LayerNorm>(d));
  image_pos_ln = register_module("image_pos_ln", std::make_shared<LayerNorm>(d));
  self_pos_q_linear = register_module("self_pos_q_linear", std::make_shared<Linear>(d, d));
  self_pos_k_linear = register_module("self_pos_k_linear", std::make_shared<Linear>(d, d));
  cross_pos_q_linear = register_module("cross_pos_q_linear", std::make_shared<Linear>(d, d));
  cross_pos_k_linear = register_module("cross_pos_k_linear", std::make_shared<Linear>(d, d));
  layers = register_module("layers", std::make_shared<LayerList<OfaDecoderLayer>>());
  token_rel_pos_table_list = register_module("token_rel_pos_table_list", std::make_shared<LayerList<Embedding>>());
  image_rel_pos_table_list = register_module("image_rel_pos_table_list", std::make_shared<LayerList<Embedding>>());
  for (int64_t i = 0; i < config.decoder_layers; ++i) {
    layers->add(std::make_shared<OfaDecoderLayer>(config, drop_path_of(config.decoder_drop_path, i, config.decoder_layers)));
    token_rel_pos_table_list->add(std::make_shared<Embedding>(2 * config.token_bucket_size - 1, config.decoder_heads));
    image_rel_pos_table_list->add(std::make_shared<Embedding>(image_bucket_rows(side), config.decoder_heads));
  }
  if (config.decoder_pre_norm) layer_norm = register_module("layer_norm", std::make_shared<LayerNorm>(d));
  if (config.decoder_prompt.on) {
    decoder_prompt_encoder = register_module("decoder_prompt_encoder",
                                             std::make_shared<OfaPromptEncoder>(config.decoder_prompt, config.decoder_layers, d, config.decoder_heads));
  }
}

std::vector<OfaPrefix> OfaDecoder::prefixes() const {
  return decoder_prompt_encoder ? decoder_prompt_encoder->forward() : std::vector<OfaPrefix>(layers->layers().size());
}

OfaContext OfaDecoder::look_at(const OfaEncoded& encoded) const {
  OfaContext out;
  for (const auto& layer : layers->layers()) {
    auto [keys, values] = layer->cross_attn->keys_of(encoded.states);
    out.cross.emplace_back(keys.contiguous(), values.contiguous());
  }
  out.position_keys = split_heads(cross_pos_k_linear->forward(encoded.positions), config_.decoder_heads).contiguous();
  if (encoded.padding.defined()) out.padding = ofa_padding_bias(encoded.padding);
  if (encoded.code_mask.defined() && encoded.code_mask.ne(0).any().item<bool>()) {
    out.codes = encoded.code_mask.ne(0);
    out.all_codes = out.codes.all().item<bool>();
  }
  return out;
}

OfaPositionTerms OfaDecoder::position_terms(bool codes, int64_t length) const {
  const double scale = 1 / std::sqrt(static_cast<double>(config_.width / config_.decoder_heads) * config_.attn_scale_factor);
  OfaPositionTerms out;
  if (codes) {
    const Tensor& table = embed_image_positions->weight;
    out.places = at::embedding(table, code_positions(0, length, config_.code_image_size / 8, config_.image_bucket_size, table.size(0)).to(table.device()));
  } else {
    if (length > config_.max_target_positions) {
      fail("the reply has ", length, " ids, but the model holds ", config_.max_target_positions, "; shorten it");
    }
    out.places = embed_positions->weight.slice(0, 0, length);                               // [L, D]
  }
  const Tensor p = (codes ? image_pos_ln : pos_ln)->forward(out.places).unsqueeze(0);
  out.self_q = split_heads(self_pos_q_linear->forward(p) * scale, config_.decoder_heads);   // [1, H, L, h]
  out.self_k = split_heads(self_pos_k_linear->forward(p), config_.decoder_heads);
  out.cross_q = split_heads(cross_pos_q_linear->forward(p) * scale, config_.decoder_heads);
  return out;
}

/// [1, …] each, of which the rows that write codes take the second: [B or 1, …].
Tensor OfaDecoder::per_instruction(const OfaContext& context, const Tensor& text, const Tensor& code) const {
  if (!context.codes.defined()) return text;
  if (context.all_codes) return code;
  std::vector<int64_t> shape(static_cast<size_t>(text.dim()), 1);
  shape[0] = context.instructions();
  return at::where(context.codes.view(shape), code, text);
}

Tensor OfaDecoder::embed(const OfaContext& context, const Tensor& word_embeddings, const Call& call) const {
  const int64_t n = call.previous.size(1), beams = call.previous.size(0) / context.instructions();
  Tensor x = at::embedding(word_embeddings, call.previous, config_.pad);                    // [R, n, D]
  if (config_.scale_embedding) x = x * std::sqrt(static_cast<double>(config_.width));
  const auto of_kind = [&](const OfaPositionTerms& terms, const LayerNorm* norm) {
    const Tensor placed = config_.decoder_entangled ? x + terms.places.slice(0, call.past, call.past + n) : x;
    return norm ? norm->forward(placed) : placed;
  };
  const bool some_text = !context.all_codes, some_codes = context.codes.defined();
  const Tensor text = some_text ? of_kind(call.text, layernorm_embedding.get()) : Tensor();
  const Tensor code = some_codes ? of_kind(call.code, code_layernorm_embedding.get()) : Tensor();
  if (text.defined() && code.defined()) {
    x = at::where(context.codes.repeat_interleave(beams).view({-1, 1, 1}), code, text);
  } else {
    x = text.defined() ? text : code;
  }
  return is_training() && config_.dropout > 0 ? at::dropout(x, config_.dropout, true) : x;
}

Tensor OfaDecoder::self_bias(const OfaContext& context, size_t layer, const Call& call, const Tensor& absolute) const {
  const int64_t n = call.previous.size(1), length = call.past + n, beams = call.previous.size(0) / context.instructions();
  const auto device = absolute.device();
  Tensor text, code;
  if (!context.all_codes) {
    const Tensor buckets = token_buckets(call.past, n, length, config_.token_bucket_size).to(device);
    text = token_rel_pos_table_list->layers()[layer]->forward(buckets).permute({2, 0, 1}).unsqueeze(0);   // [1, H, n, L]
  }
  if (context.codes.defined()) {
    const int64_t rows = embed_image_positions->weight.size(0);
    const Tensor numbers = code_positions(0, length, config_.code_image_size / 8, config_.image_bucket_size, rows).to(device);
    const Tensor buckets = image_buckets(numbers.slice(0, call.past, length), numbers, config_.image_bucket_size);
    code = image_rel_pos_table_list->layers()[layer]->forward(buckets).permute({2, 0, 1}).unsqueeze(0);
  }
  Tensor bias = absolute + per_instruction(context, text, code);                            // [B or 1, H, n, L]
  if (beams > 1 && bias.size(0) > 1) bias = bias.repeat_interleave(beams, 0);
  if (n > 1) {
    const Tensor later = at::ones({n, length}, bias.options().dtype(at::kBool)).triu(call.past + 1);
    bias = bias.masked_fill(later, -std::numeric_limits<float>::infinity());
  }
  return call.key_mask.defined() ? bias + ofa_padding_bias(call.key_mask) : bias;           // [R or 1, H, n, L]
}

Tensor OfaDecoder::forward(const OfaContext& context, const Tensor& word_embeddings, const Call& call, int64_t& ran) const {
  const int64_t n = call.previous.size(1), length = call.past + n, beams = call.previous.size(0) / context.instructions();
  const auto queries = [&](const Tensor& all) { return all.slice(2, call.past, length); };
  const auto absolute_of = [&](const OfaPositionTerms& terms) {
    return terms.self_q.defined() ? at::matmul(queries(terms.self_q), terms.self_k.slice(2, 0, length).transpose(2, 3)) : Tensor();
  };
  const Tensor absolute = per_instruction(context, absolute_of(call.text), absolute_of(call.code));       // [B or 1, H, n, L]
  const auto cross_queries = [&](const OfaPositionTerms& terms) { return terms.cross_q.defined() ? queries(terms.cross_q) : Tensor(); };
  Tensor cross_bias = at::matmul(per_instruction(context, cross_queries(call.text), cross_queries(call.code)), context.position_keys.transpose(2, 3));
  if (context.padding.defined()) cross_bias = cross_bias + context.padding;                 // [B, H, n, N]
  if (beams > 1) cross_bias = cross_bias.repeat({1, 1, beams, 1});                          // [B, H, K n, N]

  Tensor x = embed(context, word_embeddings, call);                                         // [R, n, D]
  ran = 0;
  const auto& blocks = layers->layers();
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto block = blocks[i];
    KeyValueCache* cache = call.caches ? &(*call.caches)[i] : nullptr;
    const Tensor y = run_block(*block,
                               [block, cache](const std::vector<Tensor>& in) { return block->forward(in[0], cache, in[1], {in[2], in[3]}, {in[4], in[5]}, in[6]); },
                               {x, self_bias(context, i, call, absolute), call.prefixes[i].first, call.prefixes[i].second, context.cross[i].first,
                                context.cross[i].second, cross_bias});
    ++ran;
    const bool leave = call.exit_threshold < 1 && ofa_similarity(y, x) > call.exit_threshold;
    x = y;
    if (call.layer_outputs) call.layer_outputs->push_back(layer_norm ? layer_norm->forward(x) : x);
    if (!leave) continue;
    // Layers that are skipped for this token are there again for later ones, which must find it in their caches.
    for (size_t later = i + 1; call.caches && later < blocks.size(); ++later) blocks[later]->remember(x, (*call.caches)[later]);
    break;
  }
  return layer_norm ? layer_norm->forward(x) : x;
}

}  // namespace vlm
