/// Parts of mPLUG, its texts and its checkpoints (specs: mplug, 1, 3 and 6).

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include "vlm/core/error.h"
#include "vlm/data/grounding_transforms.h"
#include "vlm/golden/mplug_case.h"
#include "vlm/infer/mplug_search.h"
#include "vlm/models/names/mplug_names.h"

namespace vlm::golden {

namespace mplug_models {

Result pos_embed_resize(const Case& c) {
  const auto mode = c.param<std::string>("mode", "bilinear");
  if (mode != "bilinear" && mode != "bicubic") fail("params.mode must be bilinear or bicubic, not '", mode, "'");
  const int64_t grid = c.params.at("new_grid");
  Result result;
  result.set("out.pos_embed", resize_position_table(c.in("pos_embed"), grid, grid, 1, mode == "bilinear" ? TableResize::bilinear : TableResize::bicubic));
  return result;
}

Result visual(const Case& c) {
  const auto model = mplug_model<MplugCaptioner>(c, {"visual_encoder.", "visn_"});
  MplugInputs in(c);
  const bool large = model->architecture().large();
  const Tensor image = in("image"), embeds = model->networks.visual_encoder->forward(image);
  Result result;
  result.set("out.image_embeds", embeds);
  Tensor states = embeds;
  if (large) result.set("out.image_states", states = model->encode_image(image));
  if (c.param("projected", false)) {
    MplugConfig config = mplug_config(c);
    config.skip_last_layer = false;
    MplugCaptioner projecting(config);
    load_mplug(projecting, c, {"visual_encoder."});
    const c10::InferenceMode inference;
    result.set("out.projected", projecting.networks.visual_encoder->forward(c.in("image")));
  }
  if (c.has_in("cot")) in.finish(result, (states * c.in("cot")).sum(), *model);
  return result;
}

Result text_encoder(const Case& c) {
  const auto model = mplug_model<MplugAnswerer>(c, {"text_encoder."});
  MplugInputs in(c);
  const Tensor states = model->networks.encode_text(c.in("input_ids"), in("attention_mask"));
  Result result;
  result.set("out.last_hidden_state", states);
  if (c.has_in("cot")) in.finish(result, (states * c.in("cot")).sum(), *model);
  return result;
}

Result fusion(const Case& c) {
  const auto model = mplug_model<MplugAnswerer>(c, {"fusion_encoder."});
  MplugInputs in(c);
  const MplugFused fused = model->networks.fusion_encoder->forward(in("text_embeds"), in("text_mask"), in("image_embeds"), in("image_mask"));
  Result result;
  result.set("out.image_output", fused.image);
  result.set("out.text_output", fused.text);
  if (c.has_in("cot_text")) in.finish(result, (fused.image * c.in("cot_image")).sum() + (fused.text * c.in("cot_text")).sum(), *model);
  return result;
}

Result decoder(const Case& c) {
  const auto model = mplug_model<MplugCaptioner>(c, {"text_decoder."});
  MplugInputs in(c);
  Result result;
  result.set("out.logits", model->networks.text_decoder->forward(c.in("input_ids"), in("attention_mask"), c.in("encoder_states"), in("encoder_mask")));
  return result;
}

/// out.sequences, out.lengths and out.scores.
Result search(const Case& c, DecoderState& state, const Tensor& prompt, GenerationTokens tokens) {
  tokens.end = c.param("end_token", tokens.end);
  GenerateOptions options;
  options.beams = c.params.at("beam_size");
  options.min_new_tokens = c.params.at("min_length");
  options.length_penalty = c.param("length_penalty", 0.6);
  const int64_t n_best = c.param("out_size", int64_t(1));
  const auto found = mplug_search(state, prompt, {}, tokens, options, c.params.at("max_length"), n_best);
  const auto pictures = static_cast<int64_t>(found.size());
  int64_t longest = 0;
  for (const auto& texts : found) {
    for (const auto& text : texts) longest = std::max(longest, static_cast<int64_t>(text.ids.size()));
  }
  const Tensor sequences = at::full({pictures, n_best, longest}, -1, at::kLong), lengths = at::full({pictures, n_best}, 0, at::kLong);
  const Tensor scores = at::full({pictures, n_best}, 0.0, at::kFloat);
  for (int64_t i = 0; i < pictures; ++i) {
    const auto& texts = found[static_cast<size_t>(i)];
    for (int64_t j = 0; j < static_cast<int64_t>(texts.size()); ++j) {
      const auto& text = texts[static_cast<size_t>(j)];
      std::copy(text.ids.begin(), text.ids.end(), sequences.data_ptr<int64_t>() + (i * n_best + j) * longest);
      lengths.data_ptr<int64_t>()[i * n_best + j] = static_cast<int64_t>(text.ids.size());
      scores.data_ptr<float>()[i * n_best + j] = text.score;
    }
  }
  Result result;
  result.set("out.sequences", sequences);
  result.set("out.lengths", lengths);
  result.set("out.scores", scores);
  return result;
}

Tensor start(const Case& c, int64_t rows, const GenerationTokens& tokens) { return at::full({rows, 1}, c.param("start_token", tokens.begin), at::kLong); }

Result generate(const Case& c) {
  const auto model = mplug_model<MplugCaptioner>(c);
  const bool video = c.param<std::string>("model", "caption") == "videocap";
  const c10::InferenceMode inference;
  const Tensor pixels = c.has_in("video") ? c.in("video") : c.in("image");
  Tensor prompt = start(c, pixels.size(0), model->generation_tokens());
  if (const Tensor ids = model->video_prompt(); video && ids.defined()) prompt = ids.unsqueeze(0).repeat({pixels.size(0), 1});
  return search(c, *model->begin_caption(pixels), prompt, model->generation_tokens());
}

Result vqa_generate(const Case& c) {
  const auto model = mplug_model<MplugAnswerer>(c);
  const c10::InferenceMode inference;
  MplugInputs in(c);
  const Tensor pixels = c.in("image");
  return search(c, *model->begin_answer(pixels, c.in("question_ids"), in("question_mask")), start(c, pixels.size(0), model->generation_tokens()),
                model->generation_tokens());
}

Result grounding_pad(const Case& c) {
  const Tensor box = c.in("box").to(at::kFloat).contiguous();
  const float* b = box.const_data_ptr<float>();
  const SquarePicture padded = pad_to_square(c.in("image"), {b[0], b[1], b[2], b[3]}, c.params.at("size"), c.params.at("mean"), c.params.at("std"));
  Result result;
  result.set("out.image", padded.pixels);
  result.set("out.mask", padded.padding);
  result.set("out.box", at::tensor(at::ArrayRef<float>(padded.box.data(), 4)));
  return result;
}

Result grounding_flip(const Case& c) {
  const Tensor boxes = c.in("boxes").to(at::kFloat).contiguous();
  std::vector<Tensor> out;
  for (int64_t i = 0; i < boxes.size(0); ++i) {
    const float* b = boxes.const_data_ptr<float>() + 4 * i;
    const Corners flipped = mirrored({b[0], b[1], b[2], b[3]}, c.params.at("width").get<float>());
    out.push_back(at::tensor(at::ArrayRef<float>(flipped.data(), 4)));
  }
  auto texts = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) texts.push_back(mirrored_expression(text));
  Result result;
  result.set("out.boxes", at::stack(out));
  result.set_strings("out.texts", texts);
  return result;
}

Result checkpoint_names(const Case& c) {
  const auto rule = c.params.at("rule").get<std::string>();
  if (rule != "finetune" && rule != "grounding" && rule != "modelscope") fail("params.rule must be finetune, grounding or modelscope, not '", rule, "'");
  const MplugNames names = rule == "finetune" ? MplugNames::finetune : rule == "grounding" ? MplugNames::grounding : MplugNames::modelscope;
  auto out = nlohmann::json::array();
  for (const auto& name : c.in_strings("names")) out.push_back(mplug_name(name, names));
  Result result;
  result.set_strings("out.names", out);
  return result;
}

}  // namespace mplug_models

void add_mplug_model_operations(Operations& operations) {
  operations["mplug.pos_embed_resize"] = mplug_models::pos_embed_resize;
  operations["mplug.visual"] = mplug_models::visual;
  operations["mplug.text_encoder"] = mplug_models::text_encoder;
  operations["mplug.fusion"] = mplug_models::fusion;
  operations["mplug.decoder"] = mplug_models::decoder;
  operations["mplug.generate"] = mplug_models::generate;
  operations["mplug.vqa_generate"] = mplug_models::vqa_generate;
  operations["mplug.grounding_pad"] = mplug_models::grounding_pad;
  operations["mplug.grounding_flip"] = mplug_models::grounding_flip;
  operations["mplug.checkpoint_names"] = mplug_models::checkpoint_names;
}

}  // namespace vlm::golden
