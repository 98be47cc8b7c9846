#include "vlm/data/source_stats.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <unordered_set>

#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/text/text_cleaning.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace source_stats_detail {

using Counts = std::unordered_map<std::string, int64_t>;

/// More distinct words than any language has are noise; they would only take memory.
constexpr size_t most_words = 5'000'000;

std::vector<std::pair<std::string, int64_t>> commonest(const Counts& counts, size_t n) {
  std::vector<std::pair<std::string, int64_t>> all(counts.begin(), counts.end());
  const auto before = [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  const size_t kept = std::min(n, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(kept), all.end(), before);
  all.resize(kept);
  return all;
}

/// Words of a text; returns how many there are.
int64_t count_words(Counts& counts, const std::string& text) {
  int64_t n = 0;
  for (const auto& part : split(squash(lower_simple(text)), " ")) {
    std::string_view word = part;
    while (!word.empty() && is_ascii_punctuation(word.front())) word.remove_prefix(1);
    while (!word.empty() && is_ascii_punctuation(word.back())) word.remove_suffix(1);
    if (word.empty()) continue;
    ++n;
    if (counts.size() < most_words || counts.count(std::string(word))) ++counts[std::string(word)];
  }
  return n;
}

nlohmann::ordered_json pairs(const std::vector<std::pair<std::string, int64_t>>& list) {
  auto out = nlohmann::ordered_json::object();
  for (const auto& [name, count] : list) out[name] = count;
  return out;
}

template <class Key>
nlohmann::ordered_json object_of(const std::map<Key, int64_t>& counts) {
  auto out = nlohmann::ordered_json::object();
  for (const auto& [key, count] : counts) out[concat(key)] = count;
  return out;
}

}  // namespace source_stats_detail

double Spread::quantile(double q) const {
  if (values_.empty()) return 0;
  if (!sorted_) std::sort(values_.begin(), values_.end());
  sorted_ = true;
  return values_[static_cast<size_t>(std::llround(q * static_cast<double>(values_.size() - 1)))];
}

double Spread::mean() const {
  double sum = 0;
  for (const float value : values_) sum += value;
  return values_.empty() ? 0 : sum / static_cast<double>(values_.size());
}

nlohmann::ordered_json Spread::to_json() const {
  return {{"min", quantile(0)}, {"median", quantile(0.5)}, {"p95", quantile(0.95)}, {"max", quantile(1)}, {"mean", mean()}};
}

int64_t SourceStats::words_seen_once() const {
  return std::count_if(words.begin(), words.end(), [](const auto& word) { return word.second == 1; });
}

std::vector<std::pair<std::string, int64_t>> SourceStats::commonest_words(size_t n) const {
  return source_stats_detail::commonest(words, n);
}

std::vector<std::pair<std::string, int64_t>> SourceStats::commonest_answers(size_t n) const {
  return source_stats_detail::commonest(answer_counts, n);
}

nlohmann::ordered_json SourceStats::to_json() const {
  namespace detail = source_stats_detail;
  nlohmann::ordered_json out = {{"dataset", dataset},
                                {"type", type},
                                {"samples", samples},
                                {"skipped", skipped},
                                {"reasons", detail::object_of(reasons)},
                                {"shards", shards},
                                {"splits", detail::object_of(splits)},
                                {"distinct_images", distinct_images},
                                {"captions", captions},
                                {"questions", questions},
                                {"answers", answers},
                                {"boxes", boxes},
                                {"labelled", labelled}};
  if (captions > 0) {
    out["captions_per_sample"] = captions_per_sample.to_json();
    out["caption_words"] = caption_words.to_json();
    out["caption_characters"] = caption_characters.to_json();
  }
  if (!words.empty())
    out["vocabulary"] = {
        {"words", words.size()}, {"seen_once", words_seen_once()}, {"commonest", detail::pairs(commonest_words(20))}};
  if (!answer_counts.empty()) out["commonest_answers"] = detail::pairs(commonest_answers(20));
  if (!labels.empty()) out["labels"] = detail::object_of(labels);
  if (pictures > 0) {
    out["pictures"] = {{"count", pictures},        {"bytes", picture_bytes},     {"formats", detail::object_of(formats)},
                       {"width", width.to_json()}, {"height", height.to_json()}, {"aspect", aspect.to_json()}};
  }
  return out;
}

SourceStats source_stats(const Source& source, const std::string& type, const StatsOptions& options) {
  namespace detail = source_stats_detail;
  SourceStats stats;
  stats.dataset = source.name();
  stats.type = type;
  stats.shards = source.shard_count();
  const auto skip = [&](const SampleError& error) {
    if (options.strict) throw error;
    ++stats.skipped;
    ++stats.reasons[error.reason()];
  };
  for (const auto& problem : source.problems()) skip(problem);
  std::unordered_set<int64_t> images;
  ScanOptions scan;
  scan.pictures = options.pictures ? ScanOptions::Pictures::header : ScanOptions::Pictures::none;
  scan.threads = options.threads;
  scan.label = "stats";
  scan_source(source, scan, [&](ScannedSample&& scanned) {
    if (scanned.error) {
      skip(*scanned.error);
      return true;
    }
    const Sample& sample = scanned.sample;
    ++stats.samples;
    if (sample.meta.is_object() && sample.meta.contains("split") && sample.meta["split"].is_string())
      ++stats.splits[sample.meta["split"].get<std::string>()];
    images.insert(sample.image_index.value_or(sample.number));
    stats.captions += static_cast<int64_t>(sample.captions.size());
    if (!sample.captions.empty()) stats.captions_per_sample.add(static_cast<double>(sample.captions.size()));
    for (const auto& caption : sample.captions) {
      stats.caption_words.add(static_cast<double>(detail::count_words(stats.words, caption)));
      stats.caption_characters.add(static_cast<double>(decode_utf8(caption).size()));
    }
    if (!sample.question.empty()) {
      ++stats.questions;
      detail::count_words(stats.words, sample.question);
    }
    stats.answers += static_cast<int64_t>(sample.answers.size());
    for (size_t i = 0; i < sample.answers.size(); ++i) {
      if (stats.answer_counts.size() < detail::most_words)
        stats.answer_counts[sample.answers[i]] += i < sample.counts.size() ? sample.counts[i] : 1;
    }
    stats.boxes += sample.box.has_value();
    if (sample.label) {
      ++stats.labelled;
      ++stats.labels[*sample.label];
    }
    for (const auto& picture : scanned.pictures) {
      ++stats.pictures;
      ++stats.formats[image_format_name(picture.format)];
      stats.picture_bytes += picture.bytes;
      stats.width.add(picture.width);
      stats.height.add(picture.height);
      stats.aspect.add(static_cast<double>(picture.width) / std::max(picture.height, 1));
    }
    return true;
  });
  stats.distinct_images = static_cast<int64_t>(images.size());
  return stats;
}

std::vector<SheetPicture> sheet_pictures(const Source& source, int64_t count, int64_t seed, int side) {
  std::set<int64_t> drawn;
  SplitMix64 random(mix({static_cast<uint64_t>(seed), 0x5EE7}));
  const int64_t total = source.size();
  // Twice as many as are needed: some may be bad.
  const int64_t wanted = std::min(total, 2 * count);
  if (total <= 4 * count) {
    const auto order = permutation(total, random.next());
    drawn.insert(order.begin(), order.begin() + wanted);
  } else {
    while (static_cast<int64_t>(drawn.size()) < wanted)
      drawn.insert(static_cast<int64_t>(random.below(static_cast<uint64_t>(total))));
  }
  const std::vector<int64_t> numbers(drawn.begin(), drawn.end());
  std::vector<SheetPicture> out;
  const auto order = permutation(static_cast<int64_t>(numbers.size()), random.next());
  for (const int64_t i : order) {
    if (static_cast<int64_t>(out.size()) == count) break;
    try {
      const Sample sample = source.read_number(numbers[static_cast<size_t>(i)]);
      if (sample.images.empty()) continue;
      DecodeOptions decode = source.decode_options();
      decode.alpha = Alpha::white;
      Image image = decode_image(sample.images[0].bytes, decode);
      const double scale = std::min(1.0, static_cast<double>(side) / std::max(image.width, image.height));
      image = resize_image(image, std::max(1, static_cast<int>(std::lround(image.height * scale))),
                           std::max(1, static_cast<int>(std::lround(image.width * scale))));
      std::string text = !sample.question.empty() ? sample.question : sample.captions.empty() ? "" : sample.captions[0];
      if (text.empty() && sample.label) {
        const auto label = static_cast<size_t>(*sample.label);
        text = label < source.class_names().size() ? source.class_names()[label] : concat("class ", *sample.label);
      }
      out.push_back({sample.number, sample.key, std::move(text), std::move(image)});
    } catch (const Error&) {
      // A sheet shows what can be shown; `vlm data check` says what cannot.
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.number < b.number; });
  return out;
}

Image contact_sheet(const std::vector<SheetPicture>& pictures, int side, int columns) {
  constexpr int gap = 8;
  columns = std::max(1, std::min(columns, static_cast<int>(pictures.size())));
  const int rows = std::max(1, (static_cast<int>(pictures.size()) + columns - 1) / columns);
  Image sheet(gap + rows * (side + gap), gap + columns * (side + gap));
  std::fill(sheet.pixels.begin(), sheet.pixels.end(), uint8_t(255));
  for (size_t i = 0; i < pictures.size(); ++i) {
    const Image& image = pictures[i].image;
    const int row = static_cast<int>(i) / columns, column = static_cast<int>(i) % columns;
    const int top = gap + row * (side + gap) + (side - image.height) / 2,
              left = gap + column * (side + gap) + (side - image.width) / 2;
    for (int y = 0; y < image.height; ++y) {
      std::copy(image.row(y), image.row(y) + 3 * static_cast<size_t>(image.width),
                sheet.row(top + y) + 3 * static_cast<size_t>(left));
    }
  }
  return sheet;
}

}  // namespace vlm
