#include "vlm/infer/vector_index.h"

#include <ATen/ops/empty.h>
#include <faiss/IndexFlat.h>
#include <faiss/IndexIVFFlat.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/infer/faiss_file.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace vector_index {

constexpr const char* format = "vlm index";
constexpr int64_t version = 1;
constexpr uintmax_t description_limit = uintmax_t(1) << 30;

/// faiss reports by exceptions of its own, with its source lines in them.
template <class Body>
decltype(auto) with_faiss(const char* what, Body&& body) {
  try {
    return body();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    fail(what, ": ", error.what());
  }
}

Tensor float_rows(const Tensor& vectors, int64_t width, const char* what) {
  if (vectors.dim() != 2 || vectors.size(1) != width) {
    fail(what, " have the shape ", vectors.sizes(), "; the index holds vectors of ", width, " numbers");
  }
  return vectors.detach().to(at::kCPU, at::kFloat).contiguous();
}

/// File names need not be UTF-8, and JSON must be.
nlohmann::ordered_json name_to_json(const std::string& name) {
  if (valid_utf8(name)) return name;
  static constexpr const char* digits = "0123456789abcdef";
  std::string hex;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    hex += digits[byte >> 4];
    hex += digits[byte & 15];
  }
  return {{"bytes", hex}};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  fail("'", c, "' is no hexadecimal digit");
}

std::string name_from_json(const nlohmann::json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (!json.is_object() || json.size() != 1 || !json.contains("bytes") || !json["bytes"].is_string()) fail("a name is no text");
  const auto& hex = json["bytes"].get_ref<const std::string&>();
  if (hex.size() % 2 != 0) fail("a name has half a byte");
  std::string name;
  for (size_t i = 0; i < hex.size(); i += 2) name += static_cast<char>(hex_digit(hex[i]) << 4 | hex_digit(hex[i + 1]));
  return name;
}

/// N of "vectors-N.faiss", or -1.
int64_t generation_of(const std::string& file) {
  if (!starts_with(file, "vectors-") || !ends_with(file, ".faiss")) return -1;
  const std::string digits = file.substr(8, file.size() - 8 - 6);
  if (digits.empty() || digits.size() > 15 || digits.find_first_not_of("0123456789") != std::string::npos) return -1;
  return std::stoll(digits);
}

std::vector<int64_t> generations(const fs::path& folder) {
  std::vector<int64_t> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (const int64_t generation = generation_of(entry.path().filename().string()); generation >= 0) out.push_back(generation);
  }
  return out;
}

std::string file_of(int64_t generation) { return concat("vectors-", generation, ".faiss"); }

faiss::IndexIVFFlat* as_ivf(const std::unique_ptr<faiss::Index>& index) {
  return dynamic_cast<faiss::IndexIVFFlat*>(index.get());
}

std::vector<float> all_vectors(const faiss::Index& index) {
  const auto width = static_cast<size_t>(index.d);
  std::vector<float> out(width * static_cast<size_t>(index.ntotal));
  if (const auto* ivf = dynamic_cast<const faiss::IndexIVFFlat*>(&index)) {
    for (size_t list = 0; list < ivf->nlist; ++list) {
      const faiss::InvertedLists::ScopedIds ids(ivf->invlists, list);
      faiss::InvertedLists::ScopedCodes codes(ivf->invlists, list);
      for (size_t i = 0; i < ivf->invlists->list_size(list); ++i) {
        std::memcpy(out.data() + width * static_cast<size_t>(ids[i]), codes.get() + i * ivf->code_size, ivf->code_size);
      }
    }
  } else {
    index.reconstruct_n(0, index.ntotal, out.data());
  }
  return out;
}

std::unique_ptr<faiss::Index> clustered(const std::vector<float>& vectors, int64_t width) {
  const auto count = static_cast<int64_t>(vectors.size()) / width;
  if (count == 0) fail("an index without vectors cannot be clustered");
  const auto wanted = static_cast<int64_t>(std::lround(4 * std::sqrt(static_cast<double>(count))));
  const int64_t clusters = std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, count / 4));
  auto centroids = std::make_unique<faiss::IndexFlatIP>(width);
  auto index = std::make_unique<faiss::IndexIVFFlat>(centroids.get(), width, clusters, faiss::METRIC_INNER_PRODUCT);
  index->own_fields = true;
  centroids.release();
  index->cp.spherical = true;
  index->cp.min_points_per_centroid = 1;  // fewer are a warning, and small indexes are no mistake
  index->train(count, vectors.data());
  index->add(count, vectors.data());
  return index;
}

}  // namespace vector_index

IndexType index_type_by_name(const std::string& name) {
  if (name == "auto") return IndexType::automatic;
  if (name == "exact") return IndexType::exact;
  if (name == "ivf") return IndexType::ivf;
  fail_usage("there is no type of index '", name, "'; there are: auto, exact, ivf");
}

std::string index_type_name(IndexType type) {
  return type == IndexType::automatic ? "auto" : type == IndexType::exact ? "exact" : "ivf";
}

VectorIndex::VectorIndex(int64_t width, IndexModel model)
    : index_(std::make_unique<faiss::IndexFlatIP>(width)), model_(std::move(model)) {}
VectorIndex::VectorIndex(std::unique_ptr<faiss::Index> index, std::vector<std::string> names, IndexModel model)
    : index_(std::move(index)), names_(std::move(names)), known_(names_.begin(), names_.end()), model_(std::move(model)) {}
VectorIndex::VectorIndex(VectorIndex&&) noexcept = default;
VectorIndex& VectorIndex::operator=(VectorIndex&&) noexcept = default;
VectorIndex::~VectorIndex() = default;

int64_t VectorIndex::width() const { return index_->d; }

IndexType VectorIndex::type() const { return vector_index::as_ivf(index_) ? IndexType::ivf : IndexType::exact; }

int64_t VectorIndex::clusters() const {
  const auto* ivf = vector_index::as_ivf(index_);
  return ivf ? static_cast<int64_t>(ivf->nlist) : 0;
}

bool VectorIndex::contains(const std::string& name) const { return known_.count(name) > 0; }

VectorIndex VectorIndex::open(const fs::path& folder) {
  if (!fs::is_directory(folder)) {
    if (fs::exists(folder)) {
      fail(folder.string(), " is a file; an index is a folder, made by: vlm index --model DIR pictures --out ", folder.string());
    }
    fail_usage("there is no index ", folder.string(), "; make it with: vlm index --model DIR pictures --out ", folder.string());
  }
  const fs::path description = folder / "index.json";
  if (!fs::is_regular_file(description)) fail(folder.string(), " is no index: there is no index.json in it");
  std::vector<std::string> names;
  IndexModel model;
  int64_t width = 0;
  std::string file;
  with_context(description.string(), [&] {
    const auto json = nlohmann::json::parse(read_file(description, vector_index::description_limit), nullptr, false);
    if (!json.is_object() || json.value("format", nlohmann::json()) != vector_index::format) fail("this describes no index of vlm");
    const auto field = [&](const char* name, bool good) {
      if (!good) fail("'", name, "' is missing or not as it must be");
    };
    const auto text = [&](const char* name) {
      field(name, json.contains(name) && json[name].is_string());
      return json[name].get<std::string>();
    };
    field("version", json.contains("version") && json["version"].is_number_integer());
    if (json["version"] != vector_index::version) {
      fail("version ", json["version"].dump(), " of the format; this program reads version ", vector_index::version);
    }
    model = {text("model"), text("fingerprint")};
    field("width", json.contains("width") && json["width"].is_number_integer());
    width = json["width"].get<int64_t>();
    file = text("vectors");
    if (vector_index::generation_of(file) < 0) fail("'vectors' is '", file, "', which is not the name of a file of vectors");
    field("names", json.contains("names") && json["names"].is_array());
    for (const auto& name : json["names"]) names.push_back(vector_index::name_from_json(name));
  });
  auto index = read_faiss(folder / file);
  if (index->d != width || index->ntotal != static_cast<int64_t>(names.size())) {
    fail(folder.string(), ": index.json has ", names.size(), " names and a width of ", width, ", ", file, " has ", index->ntotal,
         " vectors of ", index->d, " numbers");
  }
  return {std::move(index), std::move(names), std::move(model)};
}

void VectorIndex::add(const Tensor& vectors, const std::vector<std::string>& names) {
  const Tensor rows = vector_index::float_rows(vectors, width(), "the vectors");
  if (rows.size(0) != static_cast<int64_t>(names.size())) fail(rows.size(0), " vectors and ", names.size(), " names");
  vector_index::with_faiss("cannot add to the index", [&] { index_->add(rows.size(0), rows.data_ptr<float>()); });
  names_.insert(names_.end(), names.begin(), names.end());
  known_.insert(names.begin(), names.end());
}

void VectorIndex::arrange(IndexType wanted) {
  const bool clustered = type() == IndexType::ivf;
  if (wanted == IndexType::automatic) wanted = clustered || size() > exact_limit ? IndexType::ivf : IndexType::exact;
  if (wanted == type() || size() == 0) return;
  vector_index::with_faiss("cannot arrange the index", [&] {
    const std::vector<float> vectors = vector_index::all_vectors(*index_);
    if (wanted == IndexType::ivf) {
      index_ = vector_index::clustered(vectors, width());
    } else {
      auto flat = std::make_unique<faiss::IndexFlatIP>(width());
      flat->add(size(), vectors.data());
      index_ = std::move(flat);
    }
  });
}

std::vector<std::vector<Hit>> VectorIndex::search(const Tensor& queries, int64_t k, int64_t probes) const {
  const Tensor rows = vector_index::float_rows(queries, width(), "the queries");
  std::vector<std::vector<Hit>> out(static_cast<size_t>(rows.size(0)));
  k = std::min(k, size());
  if (k < 1 || out.empty()) return out;
  faiss::SearchParametersIVF parameters;
  const int64_t lists = clusters();
  if (probes <= 0) probes = std::max<int64_t>(16, lists / 32);
  parameters.nprobe = static_cast<size_t>(std::min(probes, lists));
  const auto wanted = static_cast<size_t>(k);
  std::vector<float> similarities(out.size() * wanted);
  std::vector<int64_t> ids(out.size() * wanted);
  vector_index::with_faiss("cannot search the index", [&] {
    index_->search(rows.size(0), rows.data_ptr<float>(), k, similarities.data(), ids.data(), lists > 0 ? &parameters : nullptr);
  });
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0) out[i / wanted].push_back({ids[i], similarities[i]});  // -1: the clusters held fewer
  }
  return out;
}

void VectorIndex::save(const fs::path& folder) const {
  const std::vector<int64_t> old = vector_index::generations(folder);
  const int64_t generation = old.empty() ? 1 : *std::max_element(old.begin(), old.end()) + 1;
  const std::string file = vector_index::file_of(generation);
  write_faiss(folder / file, *index_);
  nlohmann::ordered_json json = {{"format", vector_index::format},
                                 {"version", vector_index::version},
                                 {"model", model_.name},
                                 {"fingerprint", model_.fingerprint},
                                 {"width", width()},
                                 {"type", index_type_name(type())},
                                 {"count", size()},
                                 {"vectors", file}};
  auto& names = json["names"] = nlohmann::ordered_json::array();
  for (const auto& name : names_) names.push_back(vector_index::name_to_json(name));
  write_file_atomically(folder / "index.json", json.dump(0, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
  std::error_code error;
  for (const int64_t generation_before : old) fs::remove(folder / vector_index::file_of(generation_before), error);
}

}  // namespace vlm
