#pragma once
/// Vectors with names, searched by inner product (cosine, for unit vectors), kept in a folder.
///
///   VectorIndex index(512);
///   index.add(vectors, names);                  // [N, 512]
///   index.save("photos.index");
///   auto hits = VectorIndex::open("photos.index").search(query, 5);
///
/// The folder holds `index.json` (names, model, width) and the faiss index that it names, `vectors-N.faiss`, which faiss 1.7
/// and later open as well. A new version is written beside the old one and takes its place with `index.json`: whenever a
/// program ends, the folder holds one whole version. Folders are data from strangers: everything in them is checked before it
/// is believed, and a name in one is a name, never a command to open a file.

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

namespace faiss {
struct Index;
}

namespace vlm {

using at::Tensor;

/// exact: every vector is compared (faiss IndexFlatIP). ivf: the vectors are clustered around about 4 sqrt(N) centroids, and
/// only those of the nearest clusters are compared (IndexIVFFlat); some neighbours are missed. automatic: exact up to
/// VectorIndex::exact_limit vectors, ivf beyond.
enum class IndexType { automatic, exact, ivf };

/// "auto", "exact" or "ivf"; a usage error for another name.
IndexType index_type_by_name(const std::string& name);
std::string index_type_name(IndexType type);

struct Hit {
  int64_t row = 0;       ///< of the vector and its name
  float similarity = 0;  ///< inner product
};

/// The model that made an index.
struct IndexModel {
  std::string name;         ///< as the user wrote it
  std::string fingerprint;  ///< see model_fingerprint()
};

class VectorIndex {
 public:
  static constexpr int64_t exact_limit = 100'000;

  /// An empty index of vectors with `width` numbers.
  explicit VectorIndex(int64_t width, IndexModel model = {});
  /// Throws an Error that says what is wrong, where, if `folder` is no index or a damaged one.
  static VectorIndex open(const std::filesystem::path& folder);
  VectorIndex(VectorIndex&&) noexcept;
  VectorIndex& operator=(VectorIndex&&) noexcept;
  ~VectorIndex();

  int64_t size() const { return static_cast<int64_t>(names_.size()); }
  int64_t width() const;
  /// exact or ivf: what it is now.
  IndexType type() const;
  /// Clusters of an ivf index, else 0.
  int64_t clusters() const;
  const std::vector<std::string>& names() const { return names_; }
  const IndexModel& model() const { return model_; }
  bool contains(const std::string& name) const;

  /// vectors: [N, width]; names: N. An ivf index keeps its clusters.
  void add(const Tensor& vectors, const std::vector<std::string>& names);
  /// Makes it what `type` says. automatic makes an exact index that has grown beyond exact_limit an ivf one and leaves an ivf
  /// index as it is. Clustering is the same every time for the same vectors and number of threads.
  void arrange(IndexType type);
  /// The `k` most similar vectors (fewer if there are fewer), the best first, for each row of queries [Q, width].
  /// probes: clusters of an ivf index to look into, at most all; 0: one in 32, at least 16.
  std::vector<std::vector<Hit>> search(const Tensor& queries, int64_t k, int64_t probes = 0) const;

  void save(const std::filesystem::path& folder) const;

 private:
  VectorIndex(std::unique_ptr<faiss::Index> index, std::vector<std::string> names, IndexModel model);

  std::unique_ptr<faiss::Index> index_;
  std::vector<std::string> names_;
  std::unordered_set<std::string> known_;
  IndexModel model_;
};

}  // namespace vlm
