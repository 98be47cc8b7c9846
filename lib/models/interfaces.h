#pragma once
/// What a model can do, as small interfaces. Commands, evaluation and training ask for an interface, never for a family.

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "vlm/core/error.h"

namespace vlm {

using at::Tensor;

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

/// A network with weights. The names of its tensors are those of the released checkpoints of its family.
class Model {
 public:
  virtual ~Model() = default;
  /// "clip", "siglip", …
  virtual std::string family() const = 0;
  /// Parameters and persistent buffers, in a fixed order.
  virtual std::vector<NamedTensor> state() const = 0;
  /// What an optimiser may change.
  virtual std::vector<NamedTensor> trainable() const = 0;
  /// Dropout and the like on or off. A new model is in evaluation mode.
  virtual void set_training(bool on) = 0;
  /// The architecture, as the configuration file of the family holds it.
  virtual nlohmann::ordered_json config() const = 0;
  /// Called after every optimiser step: limits that parameters must keep (a clamped temperature).
  virtual void after_step() {}
  /// Activation checkpointing (layers/recompute.h): blocks keep only what goes into them, and are computed a second time in
  /// the backward pass. Returns false, and changes nothing, if the model has no blocks that can.
  virtual bool set_recompute(bool on) {
    (void)on;
    return false;
  }
};

/// Embeds pictures and texts in one space (CLIP, SigLIP, CoCa …).
class DualEncoder {
 public:
  virtual ~DualEncoder() = default;
  /// pixels: [B, 3, H, W], normalised. Returns [B, E], unit length.
  virtual Tensor embed_images(const Tensor& pixels) = 0;
  /// ids: [B, L], int64. Returns [B, E], unit length.
  virtual Tensor embed_texts(const Tensor& ids) = 0;
  /// What similarities are multiplied with (already exponentiated), a scalar.
  virtual Tensor logit_scale() const = 0;
  /// What is added after that; undefined where the model has none.
  virtual Tensor logit_bias() const = 0;
  /// Height and width of the pictures that the image tower takes.
  virtual std::pair<int64_t, int64_t> image_size() const = 0;
  /// Ids in a row of `ids`.
  virtual int64_t context_length() const = 0;
};

/// Features that a modality has for itself beside those it shares: one more linear layer on what a tower pools, before the tower's
/// own projection (arXiv 2303.05952, section 4.1). One pass of a tower gives both.
class IndependentFeatures {
 public:
  virtual ~IndependentFeatures() = default;
  /// False: this model was made without the layers (configuration: independent_features), and the rest throws.
  virtual bool has_independent_features() const = 0;
  /// pixels: [B, 3, H, W]. Returns what embed_images() does, and the picture's own features: both [B, E], unit length.
  virtual std::pair<Tensor, Tensor> embed_images_with_own(const Tensor& pixels) = 0;
  /// ids: [B, L]. Returns what embed_texts() does, and the text's own features.
  virtual std::pair<Tensor, Tensor> embed_texts_with_own(const Tensor& ids) = 0;
};

/// The interface, or an Error such as "this clip model cannot caption: it has no text decoder".
template <class Interface>
Interface& require(Model& model, const std::string& task, const std::string& reason) {
  if (auto* found = dynamic_cast<Interface*>(&model)) return *found;
  fail("this ", model.family(), " model cannot ", task, ": ", reason);
}

}  // namespace vlm
