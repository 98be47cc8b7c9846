#include "vlm/eval/cider.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/eval/ngrams.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace cider_vectors {

struct Vector {
  std::vector<std::unordered_map<std::string, double>> weights;  ///< by n-gram, one table a length
  std::vector<double> norms;
  double length = 0;  ///< number of bigrams, as the reference counts it; only differences matter
};

Vector weigh(const std::string& text, int64_t n, const DocumentFrequency& frequency) {
  const Ngrams ngrams = count_ngrams(text, n);
  const double log_items = std::log(frequency.items);
  Vector out;
  out.length = n < 2 ? 0 : static_cast<double>(std::max<int64_t>(0, ngrams.words - 1));
  for (const auto& counts : ngrams.counts) {
    auto& weights = out.weights.emplace_back();
    double squares = 0;
    for (const auto& [gram, times] : counts) {
      const auto it = frequency.of.find(gram);
      const double idf = log_items - std::log(std::max(1.0, it == frequency.of.end() ? 0.0 : it->second));
      const double weight = static_cast<double>(times) * idf;
      weights[gram] = weight;
      squares += weight * weight;
    }
    out.norms.push_back(std::sqrt(squares));
  }
  return out;
}

/// Mean over the lengths of n-grams.
double similarity(const Vector& candidate, const Vector& reference, const CiderOptions& options) {
  const double difference = candidate.length - reference.length;
  const double penalty = options.d ? std::exp(-difference * difference / (2 * options.sigma * options.sigma)) : 1;
  double sum = 0;
  for (size_t k = 0; k < candidate.weights.size(); ++k) {
    double dot = 0;
    for (const auto& [gram, weight] : candidate.weights[k]) {
      const auto it = reference.weights[k].find(gram);
      if (it == reference.weights[k].end()) {
        // An n-gram that the reference lacks has weight 0 there: clipped or not, the product is 0.
        continue;
      }
      dot += (options.d ? std::min(weight, it->second) : weight) * it->second;
    }
    if (candidate.norms[k] != 0 && reference.norms[k] != 0) dot /= candidate.norms[k] * reference.norms[k];
    sum += dot * penalty;
  }
  return sum / static_cast<double>(candidate.weights.size());
}

/// Counts without ".0".
nlohmann::json number(double count) {
  const auto whole = static_cast<int64_t>(std::clamp(count, -1e15, 1e15));
  return count == static_cast<double>(whole) ? nlohmann::json(whole) : nlohmann::json(count);
}

}  // namespace cider_vectors

nlohmann::json DocumentFrequency::to_json() const {
  // Not an ordered_json: that looks through all keys at each new one, and there are millions.
  nlohmann::json out = {{"ref_len", cider_vectors::number(items)}, {"df", nlohmann::json::object()}};
  auto& counts = out["df"];
  for (const auto& [gram, count] : of) counts.emplace(gram, cider_vectors::number(count));
  return out;
}

void write_document_frequency(const std::filesystem::path& file, const DocumentFrequency& frequency) {
  const auto json = frequency.to_json();
  write_file_atomically(file, json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

DocumentFrequency count_document_frequency(const std::vector<std::vector<std::string>>& references, int64_t n) {
  if (references.empty()) fail("document frequencies: there is no item to count in");
  DocumentFrequency out;
  out.items = static_cast<double>(references.size());
  for (const auto& item : references) {
    std::unordered_set<std::string> seen;
    for (const auto& reference : item) {
      for (const auto& counts : count_ngrams(reference, n).counts) {
        for (const auto& [gram, times] : counts) seen.insert(gram);
      }
    }
    for (const auto& gram : seen) out.of[gram] += 1;
  }
  return out;
}

DocumentFrequency read_document_frequency(const std::filesystem::path& file) {
  return parse_document_frequency(parse_json(read_file(file, uintmax_t(1) << 31)), file.string());
}

DocumentFrequency parse_document_frequency(const nlohmann::json& json, const std::string& name) {
  const char* counts = json.is_object() && json.contains("document_frequency") ? "document_frequency" : "df";
  if (!json.is_object() || !json.contains("ref_len") || !json["ref_len"].is_number() || !json.contains(counts) || !json[counts].is_object()) {
    fail(name, ": not a file of document frequencies ({\"ref_len\": N, \"df\": {\"a dog\": 12, ...}}); Python pickles are not read. ",
         "To make one of captions: vlm data ngrams CAPTIONS --out FILE");
  }
  DocumentFrequency out;
  out.items = json["ref_len"].get<double>();
  if (!(out.items >= 1)) fail(name, ": ref_len is ", out.items, ", must be the number of items");
  for (const auto& [gram, count] : json[counts].items()) {
    if (!count.is_number()) fail(name, ": the frequency of '", gram, "' is not a number");
    out.of[gram] = count.get<double>();
  }
  return out;
}

CaptionScores cider(const std::vector<CaptionItem>& items, const CiderOptions& options, const DocumentFrequency* frequency) {
  check_captions(items, options.d ? "CIDEr-D" : "CIDEr");
  DocumentFrequency own;
  if (!frequency) {
    std::vector<std::vector<std::string>> references;
    for (const auto& item : items) references.push_back(item.references);
    own = count_document_frequency(references, options.n);
    frequency = &own;
  }
  CaptionScores out;
  for (const auto& item : items) {
    const auto candidate = cider_vectors::weigh(item.candidate, options.n, *frequency);
    double sum = 0;
    for (const auto& reference : item.references) {
      sum += cider_vectors::similarity(candidate, cider_vectors::weigh(reference, options.n, *frequency), options);
    }
    out.per_item.push_back(10 * sum / static_cast<double>(item.references.size()));
    out.corpus += out.per_item.back() / static_cast<double>(items.size());
  }
  return out;
}

}  // namespace vlm
