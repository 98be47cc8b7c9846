#include "vlm/infer/vector_index.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/nonzero.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/topk.h>
#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "error_of.h"
#include "temporary_folder.h"
#include "vlm/infer/faiss_file.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/blas_check.h"

namespace vlm {
namespace vector_index_test {

Tensor unit_rows(int64_t count, int64_t width, int64_t seed = 1) {
  at::manual_seed(static_cast<uint64_t>(seed));
  const Tensor rows = at::randn({count, width});
  return rows / rows.norm(2, {1}, true);
}

std::vector<std::string> names_of(int64_t count, const std::string& prefix = "picture ") {
  std::vector<std::string> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(prefix + std::to_string(i));
  return out;
}

std::vector<int64_t> rows_of(const std::vector<Hit>& hits) {
  std::vector<int64_t> out;
  for (const auto& hit : hits) out.push_back(hit.row);
  return out;
}

/// By brute force.
std::vector<int64_t> nearest_rows(const Tensor& vectors, const Tensor& query, int64_t k) {
  const Tensor order = std::get<1>(at::matmul(vectors, query).topk(k));
  return {order.data_ptr<int64_t>(), order.data_ptr<int64_t>() + k};
}

VectorIndex make(const Tensor& vectors, IndexType type) {
  VectorIndex index(vectors.size(1), {"a model", "0123456789abcdef"});
  index.add(vectors, names_of(vectors.size(0)));
  index.arrange(type);
  return index;
}

std::string vectors_file(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".faiss") return entry.path().string();
  }
  return "";
}

using testing::error_of;

}  // namespace vector_index_test

using vector_index_test::make;
using vector_index_test::names_of;
using vector_index_test::nearest_rows;
using vector_index_test::error_of;
using vector_index_test::rows_of;
using vector_index_test::unit_rows;
using vector_index_test::vectors_file;

TEST(VectorIndex, FaissLeavesTheMatrixProductToLibTorch) { EXPECT_EQ(blas_provider_warning(), ""); }

TEST(VectorIndex, AnExactOneFindsWhatBruteForceFinds) {
  const Tensor vectors = unit_rows(500, 24), queries = unit_rows(30, 24, 2);
  const auto hits = make(vectors, IndexType::exact).search(queries, 7);
  for (int64_t q = 0; q < queries.size(0); ++q) {
    EXPECT_EQ(rows_of(hits[static_cast<size_t>(q)]), nearest_rows(vectors, queries[q], 7));
    EXPECT_NEAR(hits[static_cast<size_t>(q)][0].similarity, at::matmul(vectors, queries[q]).max().item<float>(), 1e-5);
  }
}

TEST(VectorIndex, AClusteredOneFindsTheSameWhenItLooksIntoAllClustersAndFewerOtherwise) {
  const Tensor vectors = unit_rows(2000, 16), queries = unit_rows(20, 16, 2);
  const VectorIndex index = make(vectors, IndexType::ivf);
  EXPECT_EQ(index.type(), IndexType::ivf);
  EXPECT_EQ(index.clusters(), 179);  // 4 sqrt(2000)
  const auto all = index.search(queries, 10, index.clusters()), one = index.search(queries, 10, 1);
  int64_t found_by_one = 0;
  for (int64_t q = 0; q < queries.size(0); ++q) {
    const auto truth = nearest_rows(vectors, queries[q], 10);
    EXPECT_EQ(rows_of(all[static_cast<size_t>(q)]), truth);
    const std::set<int64_t> right(truth.begin(), truth.end());
    for (const auto& hit : one[static_cast<size_t>(q)]) found_by_one += right.count(hit.row) > 0;
  }
  EXPECT_GT(found_by_one, 0);
  EXPECT_LT(found_by_one, 200);
}

TEST(VectorIndex, AutomaticIsExactForFewVectorsAndKeepsClustersThatAreThere) {
  const Tensor vectors = unit_rows(300, 8);
  VectorIndex index = make(vectors, IndexType::automatic);
  EXPECT_EQ(index.type(), IndexType::exact);
  index.arrange(IndexType::ivf);
  index.arrange(IndexType::automatic);
  EXPECT_EQ(index.type(), IndexType::ivf);
  index.arrange(IndexType::exact);
  EXPECT_EQ(index.type(), IndexType::exact);
  EXPECT_EQ(rows_of(index.search(vectors[17].unsqueeze(0), 1)[0]), std::vector<int64_t>{17}) << "rows keep their numbers";
}

TEST(VectorIndex, GrowsAndComesBackFromItsFolderWithNamesOfAnyBytes) {
  const testing::TemporaryFolder folder;
  const std::string latin1 = "caf\xe9.jpg", hostile = "</td>\"\n\x1b[31m#1:x";
  for (const IndexType type : {IndexType::exact, IndexType::ivf}) {
    const auto where = folder / index_type_name(type);
    const Tensor vectors = unit_rows(200, 12), more = unit_rows(2, 12, 9);
    make(vectors, type).save(where);
    VectorIndex index = VectorIndex::open(where);
    index.add(more, {latin1, hostile});
    index.save(where);
    const VectorIndex again = VectorIndex::open(where);
    EXPECT_EQ(again.type(), type);
    EXPECT_EQ(again.size(), 202);
    EXPECT_EQ(again.model().name, "a model");
    EXPECT_EQ(again.model().fingerprint, "0123456789abcdef");
    EXPECT_EQ(again.names()[200], latin1);
    EXPECT_TRUE(again.contains(hostile));
    EXPECT_FALSE(again.contains("another"));
    EXPECT_EQ(rows_of(again.search(more, 1, again.clusters())[1]), std::vector<int64_t>{201});
    size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(where)) files += entry.is_regular_file();
    EXPECT_EQ(files, 2u) << "what an older version held is gone";
  }
}

TEST(VectorIndex, AVersionThatWasNotWrittenToItsEndDoesNotDisturbTheOneBefore) {
  const testing::TemporaryFolder folder;
  make(unit_rows(20, 4), IndexType::exact).save(folder / "i");
  write_file_atomically(folder / "i" / "vectors-2.faiss", "half");
  EXPECT_EQ(VectorIndex::open(folder / "i").size(), 20);
  make(unit_rows(30, 4), IndexType::exact).save(folder / "i");
  EXPECT_EQ(VectorIndex::open(folder / "i").size(), 30);
}

TEST(VectorIndex, AnAnswerHoldsAtMostWhatIsThere) {
  const VectorIndex index = make(unit_rows(3, 4), IndexType::exact);
  EXPECT_EQ(index.search(unit_rows(1, 4, 2), 10)[0].size(), 3u);
  EXPECT_NE(error_of([&] { index.search(unit_rows(1, 5), 1); }).find("vectors of 4 numbers"), std::string::npos);
  EXPECT_TRUE(VectorIndex(4).search(unit_rows(2, 4), 3)[1].empty());
}

TEST(FaissFile, AnyCutOrLongerFileIsRefused) {
  const testing::TemporaryFolder folder;
  for (const IndexType type : {IndexType::exact, IndexType::ivf}) {
    const auto where = folder / index_type_name(type);
    make(unit_rows(40, 4), type).save(where);
    const std::string bytes = read_file(vectors_file(where));
    EXPECT_EQ(error_of([&] { check_faiss_bytes(bytes); }), "");
    for (size_t length = 0; length < bytes.size(); ++length) {
      ASSERT_NE(error_of([&] { check_faiss_bytes(std::string_view(bytes).substr(0, length)); }), "") << length;
    }
    EXPECT_NE(error_of([&] { check_faiss_bytes(bytes + "x"); }), "");
  }
}

TEST(FaissFile, NoChangedByteLeadsBeyondTheFileOrTheVectors) {
  const testing::TemporaryFolder folder;
  const Tensor vectors = unit_rows(24, 4);
  for (const IndexType type : {IndexType::exact, IndexType::ivf}) {
    const auto where = folder / index_type_name(type);
    make(vectors, type).save(where);
    const std::string file = vectors_file(where), bytes = read_file(file);
    int64_t refused = 0;
    for (size_t at = 0; at < bytes.size(); ++at) {
      for (const char change : {'\xff', '\x80', '\x01'}) {
        std::string damaged = bytes;
        damaged[at] = static_cast<char>(damaged[at] ^ change);
        if (!error_of([&] { check_faiss_bytes(damaged); }).empty()) {
          ++refused;
          continue;
        }
        if (at % 61 != 0) continue;  // enough of those that pass are also searched
        write_file_atomically(file, damaged);
        const VectorIndex index = VectorIndex::open(where);
        for (const auto& hits : index.search(vectors, 3)) {
          for (const auto& hit : hits) ASSERT_LT(hit.row, index.size());
        }
      }
    }
    EXPECT_GT(refused, 50);
  }
}

TEST(VectorIndex, AFolderThatDescribesSomethingElseIsRefusedWithTheReason) {
  const testing::TemporaryFolder folder;
  const auto where = folder / "i";
  make(unit_rows(5, 4), IndexType::exact).save(where);
  const std::string good = read_file(where / "index.json");
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    EXPECT_NE(text.find(from), std::string::npos) << from;
    text.replace(text.find(from), from.size(), to);
    write_file_atomically(where / "index.json", text);
    return error_of([&] { VectorIndex::open(where); });
  };
  EXPECT_NE(with("vectors-1.faiss", "../../etc/passwd").find("not the name of a file of vectors"), std::string::npos);
  EXPECT_NE(with("\"picture 4\"", "\"picture 4\", \"one more\"").find("6 names"), std::string::npos);
  EXPECT_NE(with("\"picture 4\"", "4").find("a name is no text"), std::string::npos);
  EXPECT_NE(with("\"width\": 4", "\"width\": 5").find("width of 5"), std::string::npos);
  EXPECT_NE(with("\"version\": 1", "\"version\": 2").find("version 2"), std::string::npos);
  EXPECT_NE(with("\"names\"", "\"nomes\"").find("'names' is missing"), std::string::npos);
  EXPECT_NE(with("vlm index", "vlm onion").find("describes no index"), std::string::npos);
  EXPECT_NE(error_of([&] { VectorIndex::open(folder / "nowhere"); }).find("make it with: vlm index"), std::string::npos);
}

}  // namespace vlm
