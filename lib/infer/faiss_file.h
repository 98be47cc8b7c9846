#pragma once
/// faiss indexes in files, of the two kinds that VectorIndex makes: IndexFlat and IndexIVFFlat, both by inner product.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>

namespace faiss {
struct Index;
}

namespace vlm {

/// faiss believes the sizes that a file declares and the numbers of vectors that its lists hold. This walks through the bytes
/// first and throws an Error if anything is not as it must be: the file must hold exactly what it declares, and every list
/// only numbers of vectors that are there. What passes can be given to faiss without fear.
void check_faiss_bytes(std::string_view bytes);

/// Throws an Error that names the file.
std::unique_ptr<faiss::Index> read_faiss(const std::filesystem::path& file);
/// The file appears whole or not at all.
void write_faiss(const std::filesystem::path& file, const faiss::Index& index);

}  // namespace vlm
