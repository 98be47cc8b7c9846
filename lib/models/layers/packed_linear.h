#pragma once
/// Products with weights, without gradients, where a plain linear layer leaves most of the processor unused: with few rows
/// (decoding a token, a single picture) it spends its time on rearranging the weight for every call.
///
///   up to 16 rows: a kernel of our own reads the weight once, as it lies in the file, at the speed of memory;
///   more rows: oneDNN, on a weight that was laid out once (only for models that were packed).

#include <ATen/core/Tensor.h>

namespace vlm {

class Model;
using at::Tensor;

/// x Wᵀ + b for inference. x: [..., in], weight: [out, in], bias: [out] or undefined. Rows beyond a few, other types than
/// float32, gradients asked for: at::linear.
Tensor inference_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& packed = {});

/// The weight in oneDNN's layout; undefined where the build has no oneDNN, or for another type or device.
Tensor pack_weight(const Tensor& weight);

/// Packs every linear weight of a model that is going to embed many pictures. The plain weights stay (they are mapped from
/// the file), so memory grows by the packed copy; a weight that changes afterwards has no effect until it is packed again.
void pack_for_inference(Model& model);

}  // namespace vlm
