#pragma once
/// Products with weights where a plain linear layer leaves much of the processor unused.
///
///   up to 16 rows, without gradients (decoding a token, a single picture): a kernel of our own reads the weight once, as it lies in the
///   file, at the speed of memory;
///   more rows: oneDNN where it is faster than MKL, with gradients or without: on AMD processors with AVX-512, where MKL uses half the
///   width of the registers;
///   without gradients on a model that was packed: oneDNN everywhere, on a weight that was laid out once.

#include <ATen/core/Tensor.h>

namespace vlm {

class Model;
using at::Tensor;

/// x Wᵀ + b. x: [..., in], weight: [out, in], bias: [out] or undefined. Returns [..., out]. Under autocast, for other types than float32
/// and other devices than the processor: at::linear.
Tensor fast_linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& packed = {});

/// The weight in oneDNN's layout; undefined where the build has no oneDNN, or for another type or device.
Tensor pack_weight(const Tensor& weight);

/// Packs every linear weight of a model that is going to embed many pictures. The plain weights stay (they are mapped from
/// the file), so memory grows by the packed copy; a weight that changes afterwards has no effect until it is packed again.
void pack_for_inference(Model& model);

namespace fast_linear_with {

/// x Wᵀ + b and its gradients by oneDNN, whatever the processor. Shapes as those of fast_linear(), float32. Throws in a build without oneDNN.
Tensor onednn(const Tensor& x, const Tensor& weight, const Tensor& bias);
/// True if LibTorch was built with oneDNN.
bool has_onednn();

}  // namespace fast_linear_with

}  // namespace vlm
