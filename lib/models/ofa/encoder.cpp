#include "vlm/models/ofa/encoder.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/dropout.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/upsample_bilinear2d.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <limits>

#include "vlm/core/error.h"
#include "vlm/models/ofa/positions.h"

namespace vlm {

/// A batch on its way into the layers: pictures first, then text.
struct OfaEncoder::Input {
  Tensor image, text;                      ///< [B, P, D] or undefined, [B, S, D]
  Tensor image_padding, text_padding;      ///< [B, P], [B, S], bool; undefined where nothing is padding
  Tensor image_positions, text_positions;  ///< [B or 1, P, D], [1, S, D], normalised
  Tensor image_buckets, text_buckets;      ///< [B or 1, P, P], [S, S]: rows of the tables of relative positions

  int64_t patches() const { return image.defined() ? image.size(1) : 0; }
};

OfaEncoder::OfaEncoder(const OfaConfig& config) : config_(config) {
  const int64_t d = config.width, side = config.image_bucket_size;
  embed_tokens = register_module("embed_tokens", std::make_shared<Embedding>(config.vocab_size, d));
  if (config.layernorm_embedding) layernorm_embedding = register_module("layernorm_embedding", std::make_shared<LayerNorm>(d));
  if (config.add_type_embedding) type_embedding = register_module("type_embedding", std::make_shared<Embedding>(2, d));
  TrunkOptions trunk;
  trunk.blocks = config.resnet_layers;
  trunk.stem_width = config.resnet_stem_width;
  trunk.drop_path = config.resnet_drop_path;
  trunk.norm = config.freeze_resnet ? TrunkNormKind::frozen : config.sync_bn ? TrunkNormKind::synced : TrunkNormKind::batch;
  embed_images = register_module("embed_images", std::make_shared<OfaTrunk>(trunk));
  image_proj = register_module("image_proj", std::make_shared<Linear>(embed_images->channels(), d));
  if (config.patch_layernorm_embedding) patch_layernorm_embedding = register_module("patch_layernorm_embedding", std::make_shared<LayerNorm>(d));
  embed_positions = register_module("embed_positions", std::make_shared<Embedding>(config.max_source_positions + 2, d));
  embed_image_positions = register_module("embed_image_positions", std::make_shared<Embedding>(side * side + 1, d));
  pos_ln = register_module("pos_ln", std::make_shared<LayerNorm>(d));
  image_pos_ln = register_module("image_pos_ln", std::make_shared<LayerNorm>(d));
  pos_q_linear = register_module("pos_q_linear", std::make_shared<Linear>(d, d));
  pos_k_linear = register_module("pos_k_linear", std::make_shared<Linear>(d, d));
  layers = register_module("layers", std::make_shared<LayerList<OfaEncoderLayer>>());
  token_rel_pos_table_list = register_module("token_rel_pos_table_list", std::make_shared<LayerList<Embedding>>());
  image_rel_pos_table_list = register_module("image_rel_pos_table_list", std::make_shared<LayerList<Embedding>>());
  for (int64_t i = 0; i < config.encoder_layers; ++i) {
    layers->add(std::make_shared<OfaEncoderLayer>(config, drop_path_of(config.encoder_drop_path, i, config.encoder_layers)));
    token_rel_pos_table_list->add(std::make_shared<Embedding>(2 * config.token_bucket_size - 1, config.encoder_heads));
    image_rel_pos_table_list->add(std::make_shared<Embedding>(image_bucket_rows(side), config.encoder_heads));
  }
  if (config.encoder_pre_norm) layer_norm = register_module("layer_norm", std::make_shared<LayerNorm>(d));
  if (config.encoder_prompt.on) {
    encoder_prompt_encoder = register_module("encoder_prompt_encoder",
                                             std::make_shared<OfaPromptEncoder>(config.encoder_prompt, config.encoder_layers, d, config.encoder_heads));
  }
}

void OfaEncoder::embed_text(const Instruction& instruction, Input& input) const {
  const Tensor& ids = instruction.ids;
  if (ids.size(1) > config_.max_source_positions) {
    fail("the instruction has ", ids.size(1), " ids, but the model holds ", config_.max_source_positions, "; shorten the text");
  }
  const int64_t length = ids.size(1);
  const Tensor places = embed_positions->weight.slice(0, 0, length);                        // [S, D]
  Tensor x = at::embedding(embed_tokens->weight, ids, config_.pad);
  if (config_.scale_embedding) x = x * std::sqrt(static_cast<double>(config_.width));
  if (config_.encoder_entangled) x = x + places;
  if (type_embedding) x = x + type_embedding->weight[0];
  if (layernorm_embedding) x = layernorm_embedding->forward(x);
  input.text = is_training() && config_.dropout > 0 ? at::dropout(x, config_.dropout, true) : x;
  input.text_positions = pos_ln->forward(places).unsqueeze(0);
  input.text_buckets = token_buckets(0, length, length, config_.token_bucket_size).to(ids.device());
  const Tensor padding = ids.eq(config_.pad);
  if (padding.any().item<bool>()) input.text_padding = padding;
}

void OfaEncoder::embed_pictures(const Instruction& instruction, Input& input) const {
  const Tensor maps = embed_images->forward(instruction.pixels);                            // [B, C, h, w]
  const int64_t batch = maps.size(0), height = maps.size(2), width = maps.size(3), side = config_.image_bucket_size, count = height * width;
  if (batch != instruction.ids.size(0)) fail("there are ", batch, " pictures for ", instruction.ids.size(0), " instructions");
  if (height > side || width > side) {
    fail("a picture of ", height, " x ", width, " patches is larger than the ", side, " x ", side, " that the model knows: at most ", side * 16, " pixels a side");
  }
  Tensor features = maps.flatten(2).transpose(1, 2);                                        // [B, P, C]
  Tensor numbers = patch_positions(height, width, side).to(maps.device());                  // [P]
  Tensor places = at::embedding(embed_image_positions->weight, numbers);                    // [P, D]
  const int64_t trained = config_.orig_patch_image_size / 16;
  if (config_.interpolate_position && count > trained * trained) {
    const Tensor known = at::embedding(embed_image_positions->weight, patch_positions(trained, trained, side).to(maps.device()));
    const Tensor grid = known.view({1, trained, trained, -1}).permute({0, 3, 1, 2});
    places = at::upsample_bilinear2d(grid, at::IntArrayRef{height, width}, false).permute({0, 2, 3, 1}).reshape({count, -1});
  }
  input.image_buckets = image_buckets(numbers, numbers, side).unsqueeze(0);                 // [1, P, P]
  places = places.unsqueeze(0);
  Tensor orders = instruction.patch_orders;
  if (!orders.defined() && instruction.sample_patches > 0 && instruction.sample_patches < count) {
    orders = std::get<1>(at::rand({batch, count}, features.options().dtype(at::kFloat)).topk(instruction.sample_patches, 1));
  }
  if (orders.defined()) {
    const auto rows = orders.unsqueeze(-1);                                                 // [B, k, 1]
    features = features.gather(1, rows.expand({-1, -1, features.size(2)}));
    places = places.expand({batch, -1, -1}).gather(1, rows.expand({-1, -1, places.size(2)}));
    const Tensor chosen = numbers.index_select(0, orders.reshape({-1})).view(orders.sizes());
    input.image_buckets = image_buckets(chosen, chosen, side);                              // [B, k, k]
  }
  Tensor x = image_proj->forward(features);
  if (config_.scale_embedding) x = x * std::sqrt(static_cast<double>(config_.width));
  if (config_.encoder_entangled) x = x + places;
  if (type_embedding) x = x + type_embedding->weight[1];
  if (patch_layernorm_embedding) x = patch_layernorm_embedding->forward(x);
  input.image = is_training() && config_.dropout > 0 ? at::dropout(x, config_.dropout, true) : x;
  input.image_positions = image_pos_ln->forward(places);
  if (instruction.picture_mask.defined()) {
    const Tensor hidden = instruction.picture_mask.eq(0);
    if (hidden.any().item<bool>()) input.image_padding = hidden.unsqueeze(1).expand({batch, x.size(1)});
  }
}

OfaEncoder::Input OfaEncoder::embed(const Instruction& instruction) const {
  if (!instruction.ids.defined() || instruction.ids.dim() != 2) fail("an instruction needs ids, [B, S]");
  Input input;
  embed_text(instruction, input);
  if (instruction.pixels.defined()) embed_pictures(instruction, input);
  // Padding begins as zeros; it is carried along and hidden as keys.
  if (input.text_padding.defined() || input.image_padding.defined()) {
    const auto silence = [](Tensor& x, const Tensor& padding) {
      if (padding.defined()) x = x * padding.logical_not().unsqueeze(-1).to(x.scalar_type());
    };
    silence(input.text, input.text_padding);
    silence(input.image, input.image_padding);
  }
  return input;
}

Tensor OfaEncoder::absolute_bias(const Tensor& positions) const {
  const double scale = 1 / std::sqrt(static_cast<double>(config_.width / config_.encoder_heads) * config_.attn_scale_factor);
  const Tensor q = split_heads(pos_q_linear->forward(positions) * scale, config_.encoder_heads);
  const Tensor k = split_heads(pos_k_linear->forward(positions), config_.encoder_heads);
  return at::matmul(q, k.transpose(2, 3));                                                  // [B or 1, H, N, N]
}

Tensor OfaEncoder::layer_bias(size_t layer, const Input& input, const Tensor& absolute) const {
  Tensor bias = absolute.clone();
  const int64_t patches = input.patches(), tokens = input.text.size(1);
  const Tensor text = token_rel_pos_table_list->layers()[layer]->forward(input.text_buckets).permute({2, 0, 1});  // [H, S, S]
  bias.narrow(2, patches, tokens).narrow(3, patches, tokens).add_(text);
  if (patches > 0) {
    const Tensor image = image_rel_pos_table_list->layers()[layer]->forward(input.image_buckets).permute({0, 3, 1, 2});
    bias.narrow(2, 0, patches).narrow(3, 0, patches).add_(image);                           // [B or 1, H, P, P]
  }
  return bias;
}

Tensor OfaEncoder::run_layer(size_t layer, const Tensor& x, const Tensor& bias, const OfaPrefix& prefix) const {
  const auto block = layers->layers()[layer];
  return run_block(*block, [block](const std::vector<Tensor>& in) { return block->forward(in[0], in[1], {in[2], in[3]}); },
                   {x, bias, prefix.first, prefix.second});
}

double ofa_similarity(const Tensor& a, const Tensor& b) {
  const Tensor x = a.reshape({-1}), y = b.reshape({-1});
  return (x.dot(y) / (x.norm() * y.norm()).clamp_min(1e-8)).item<double>();
}

Tensor ofa_padding_bias(const Tensor& padding) {
  const Tensor hidden = padding.view({padding.size(0), 1, 1, padding.size(1)});
  return at::zeros(hidden.sizes(), hidden.options().dtype(at::kFloat)).masked_fill_(hidden, -std::numeric_limits<float>::infinity());
}

std::shared_ptr<OfaEncoded> OfaEncoder::forward(const Instruction& instruction) const {
  const Input input = embed(instruction);
  auto out = std::make_shared<OfaEncoded>();
  const int64_t batch = instruction.ids.size(0), patches = input.patches();
  Tensor x = input.text, positions = input.text_positions;
  if (patches > 0) {
    x = at::cat({input.image, input.text}, 1);                                              // [B, N, D]
    positions = at::cat({input.image_positions, input.text_positions.expand({input.image_positions.size(0), -1, -1})}, 1);
  }
  if (input.text_padding.defined() || input.image_padding.defined()) {
    const auto whole = [&](const Tensor& padding, int64_t length) {
      return padding.defined() ? padding : at::zeros({batch, length}, instruction.ids.options().dtype(at::kBool));
    };
    out->padding = whole(input.text_padding, input.text.size(1));
    if (patches > 0) out->padding = at::cat({whole(input.image_padding, patches), out->padding}, 1);
  }
  out->layer_input = x;
  Tensor absolute = absolute_bias(positions);
  if (out->padding.defined()) absolute = absolute + ofa_padding_bias(out->padding);
  std::vector<OfaPrefix> prefixes(layers->layers().size());
  if (encoder_prompt_encoder) prefixes = encoder_prompt_encoder->forward();
  for (size_t i = 0; i < layers->layers().size(); ++i) x = run_layer(i, x, layer_bias(i, input, absolute), prefixes[i]);
  out->states = layer_norm ? layer_norm->forward(x) : x;
  out->positions = positions.expand({batch, -1, -1});
  out->code_mask = instruction.code_mask;
  return out;
}

std::shared_ptr<OfaEncoded> OfaEncoder::forward_apart(const Instruction& instruction, const OfaExitThresholds& thresholds, std::vector<int64_t>& ran) const {
  const Input input = embed(instruction);
  const int64_t batch = instruction.ids.size(0);
  std::vector<OfaPrefix> prefixes(layers->layers().size());
  if (encoder_prompt_encoder) prefixes = encoder_prompt_encoder->forward();
  const auto run = [&](Tensor x, const Tensor& positions, const Tensor& padding, const Tensor& buckets, double threshold, int64_t& count) {
    Tensor absolute = absolute_bias(positions);
    if (padding.defined()) absolute = absolute + ofa_padding_bias(padding);
    count = 0;
    for (size_t i = 0; i < layers->layers().size(); ++i) {
      // The reference computes relative positions of patches here and drops them; what it was trained with is kept.
      const Tensor bias = buckets.defined() ? absolute + token_rel_pos_table_list->layers()[i]->forward(buckets).permute({2, 0, 1}) : absolute;
      const Tensor y = run_layer(i, x, bias, prefixes[i]);
      ++count;
      const bool leave = threshold < 1 && !is_training() && ofa_similarity(y, x) > threshold;
      x = y;
      if (leave) break;
    }
    return x;
  };
  auto out = std::make_shared<OfaEncoded>();
  Tensor x = run(input.text, input.text_positions, input.text_padding, input.text_buckets, thresholds.text, ran[1]);
  Tensor positions = input.text_positions.expand({batch, -1, -1});
  out->padding = input.text_padding;
  if (input.image.defined()) {
    // That there is padding at all is decided by the text alone, as in the reference.
    const Tensor image_padding = input.text_padding.defined() ? input.image_padding : Tensor();
    const Tensor image = run(input.image, input.image_positions, image_padding, {}, thresholds.image, ran[0]);
    x = at::cat({image, x}, 1);
    positions = at::cat({input.image_positions.expand({batch, -1, -1}), positions}, 1);
    if (input.text_padding.defined()) {
      const Tensor none = at::zeros({batch, image.size(1)}, input.text_padding.options());
      out->padding = at::cat({image_padding.defined() ? image_padding : none, input.text_padding}, 1);
    }
  }
  out->states = layer_norm ? layer_norm->forward(x) : x;
  out->positions = positions;
  out->code_mask = instruction.code_mask;
  return out;
}

}  // namespace vlm
