#pragma once
/// NumPy's .npy files: a magic number, a header that is a Python dictionary, the numbers (NEP 1, format 1.0).

#include <ATen/core/Tensor.h>

#include <filesystem>

namespace vlm {

/// Writes `tensor` as little-endian float32 in C order, whatever its type and layout. The file appears whole or not at all.
void write_npy(const std::filesystem::path& file, const at::Tensor& tensor);

/// Reads what write_npy() writes, and what numpy.save() makes of a float32 array in C order. Throws an Error that names the file
/// and what does not fit, before anything is allocated.
at::Tensor read_npy(const std::filesystem::path& file);

}  // namespace vlm
