#include "vlm/golden/ofa_case.h"

#include <algorithm>

#include "vlm/core/strings.h"
#include "vlm/models/names/ofa_names.h"
#include "vlm/models/state.h"

namespace vlm::golden {

std::unique_ptr<OfaModel> ofa_model(const Case& c) {
  const std::string name = (c.folder / "config.json").string(), text = c.config().dump();
  const bool fairseq = c.param<std::string>("layout", "hf") == "fairseq";
  OfaConfig config = fairseq ? OfaConfig::from_fairseq(text, name) : OfaConfig::from_hf(text, name);
  config.encoder_prompt.dropout = config.decoder_prompt.dropout = 0;
  auto model = std::make_unique<OfaModel>(config);
  TensorMap weights;
  // Copies: training changes the running statistics.
  for (const auto& [key, tensor] : without_derived_ofa(fairseq ? ofa_to_hf(c.weights()) : c.weights())) weights.emplace(key, tensor.clone());
  std::vector<NamedTensor> state = model->state();
  // Cases about the trunk hold its weights alone.
  const auto of_trunk = [](const std::string& key) { return starts_with(key, "encoder.embed_images."); };
  if (std::all_of(weights.begin(), weights.end(), [&](const auto& entry) { return of_trunk(entry.first); })) {
    std::erase_if(state, [&](const NamedTensor& entry) { return !of_trunk(entry.name); });
  }
  load_state(state, weights, c.folder.string());
  return model;
}

Instruction ofa_instruction(const Case& c, const std::string& prefix) {
  Instruction out;
  const auto take = [&](const char* name) { return c.has_in(prefix + name) ? c.in(prefix + name) : Tensor(); };
  out.ids = take("src_tokens");
  out.pixels = take("patch_images");
  out.picture_mask = take("patch_masks");
  out.patch_orders = take("patch_orders");
  out.code_mask = take("code_masks");
  out.sample_patches = c.param<int64_t>("sample_patch_num", 0);
  return out;
}

}  // namespace vlm::golden
