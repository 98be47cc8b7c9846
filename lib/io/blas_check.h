#pragma once
/// Whose matrix product this process uses. LibTorch calls `sgemm_` by name; a reference BLAS (Debian's libblas, which
/// OpenCV and faiss bring along) that stands before LibTorch in a program's list of libraries takes that name over, and
/// matrix products then run some 16 times slower, with the same results.

#include <string>

namespace vlm {

/// The path of the library that `sgemm_` resolves to in this process; "" where nothing defines it.
std::string blas_provider();

/// "" if `sgemm_` resolves into LibTorch (or nowhere); else a message that names the library in the way and what mends it.
/// Takes microseconds.
std::string blas_provider_warning();

}  // namespace vlm
