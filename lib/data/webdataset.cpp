#include "vlm/data/webdataset.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <thread>

#include "vlm/core/json.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/core/thread_pool.h"
#include "vlm/data/json_items.h"
#include "vlm/data/sample_json.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace webdataset {

constexpr size_t most_open_shards = 64;
constexpr uint64_t most_unpacked_bytes = uint64_t(2) << 30;

std::vector<std::string> alternatives(const std::string& keys) {
  std::vector<std::string> out;
  for (const auto& key : split(keys, ";")) {
    if (const std::string name(strip(key)); !name.empty()) out.push_back(name);
  }
  return out;
}

/// The member behind a caption key: "json.FIELD" is in the json member.
std::string member_of(const std::string& key) { return starts_with(key, "json.") ? "json" : ascii_lower(key); }

std::optional<int64_t> to_label(std::string_view text) {
  text = strip(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

struct Opening {
  int64_t samples = 0;
  bool truncated = false;
  std::string error;  ///< why it could not be opened
};

}  // namespace webdataset

WebDatasetSource::WebDatasetSource(const SourceOptions& options)
    : Source(options.name.empty() ? options.path : options.name, options.decode_options()),
      shards_(list_shards(options.path)),
      index_files_{options.cache_dir, options.write_index},
      image_keys_(webdataset::alternatives(ascii_lower(options.image_key))),
      caption_keys_(webdataset::alternatives(options.caption_key)),
      captions_field_(options.captions_field) {
  read_weights(options.upsampling_factors);
  index_all();
  compare_with_sizes();
}

void WebDatasetSource::index_all() {
  std::vector<webdataset::Opening> openings(shards_.size());
  {
    const auto threads = std::min<size_t>({shards_.size(), std::max(1u, std::thread::hardware_concurrency()), 16});
    ThreadPool pool(threads > 1 ? static_cast<int>(threads) : 0);
    std::vector<std::future<void>> done;
    for (size_t i = 0; i < shards_.size(); ++i) {
      done.push_back(pool.submit([this, i, &openings] {
        try {
          const ShardIndex index = index_files_.load(shards_[i].path);
          openings[i] = {static_cast<int64_t>(index.samples.size()), index.truncated, ""};
        } catch (const std::exception& error) {
          openings[i].error = error.what();
        }
      }));
    }
    for (auto& future : done) future.get();
  }
  std::vector<int64_t> sizes;
  size_t opened = 0;
  for (size_t i = 0; i < shards_.size(); ++i) {
    const auto& opening = openings[i];
    sizes.push_back(opening.samples);
    opened += opening.error.empty();
    if (!opening.error.empty() || opening.truncated)
      problems_.emplace_back("truncated_shard", shards_[i].path.string(), opening.error);
  }
  if (opened == 0) fail_usage("no shard of ", name_, " can be opened: ", openings[0].error);
  set_sizes(std::move(sizes));
}

void WebDatasetSource::compare_with_sizes() const {
  const auto folder = shards_[0].path.parent_path();
  const auto file = folder / "sizes.json";
  std::error_code missing;
  if (!std::filesystem::exists(file, missing)) return compare_with_length(folder / "__len__");
  const auto sizes = parse_json(read_file(file));
  if (!sizes.is_object())
    fail(file.string(), ": not an object of shard names and sizes; remove it or write the shards again");
  for (size_t i = 0; i < shards_.size(); ++i) {
    if (shards_[i].path.parent_path() != folder) continue;
    const auto entry = sizes.find(shard_name(static_cast<int64_t>(i)));
    if (entry == sizes.end() || *entry == shard_size(static_cast<int64_t>(i))) continue;
    log_warning(file.string(), " says that ", shard_name(static_cast<int64_t>(i)), " holds ", entry->dump(),
                " samples, but there are ", shard_size(static_cast<int64_t>(i)), "; going by what is there");
    return;
  }
}

void WebDatasetSource::compare_with_length(const std::filesystem::path& file) const {
  std::error_code missing;
  if (!std::filesystem::is_regular_file(file, missing)) return;
  const auto length = webdataset::to_label(read_file(file, 100));
  if (!length) fail(file.string(), ": not one whole number; remove it or write the number of samples into it");
  // The number counts what lies beside it; with further shards from elsewhere, or a part of these, it says nothing.
  for (const auto& shard : shards_) {
    if (shard.path.parent_path() != file.parent_path()) return;
  }
  if (*length != size())
    log_warning(file.string(), " says that there are ", *length, " samples, but the shards hold ", size(), "; going by what is there");
}

void WebDatasetSource::read_weights(const std::string& factors) {
  if (factors.empty()) return;
  std::vector<double> parts;
  double total = 0;
  for (const auto& text : split(factors, "::")) {
    double factor = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), factor);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(factor) || factor < 0) {
      fail_usage("upsampling_factors: '", text, "' is not a weight of 0 or more");
    }
    parts.push_back(factor);
    total += factor;
  }
  const auto wanted = static_cast<size_t>(shards_.back().part + 1);
  if (parts.size() != wanted)
    fail_usage("upsampling_factors: ", parts.size(), " weights for ", wanted, " parts of '", name_, "'");
  if (total <= 0) fail_usage("upsampling_factors: at least one weight must be above 0");
  for (const auto& shard : shards_) weights_.push_back(parts[static_cast<size_t>(shard.part)]);
}

std::string WebDatasetSource::shard_name(int64_t shard) const {
  return shards_.at(static_cast<size_t>(shard)).path.filename().string();
}

WebDatasetSource::Opened WebDatasetSource::open_now(int64_t shard) const {
  const auto& path = shards_[static_cast<size_t>(shard)].path;
  OpenShard opened;
  opened.index = index_files_.load(path, &opened.bytes);
  bool cut = false;
  if (!opened.bytes) opened.bytes = open_shard_bytes(path, cut);
  if (static_cast<int64_t>(opened.index.samples.size()) != shard_size(shard)) {
    fail(path.string(), " has changed: it held ", shard_size(shard), " samples when the run began, now ",
         opened.index.samples.size());
  }
  return std::make_shared<const OpenShard>(std::move(opened));
}

WebDatasetSource::Opened WebDatasetSource::open(int64_t shard) const {
  std::promise<Opened> promise;
  std::shared_future<Opened> wanted;
  bool mine = false;
  {
    std::lock_guard lock(mutex_);
    const auto it = kept_.find(shard);
    if (it != kept_.end()) {
      recent_.splice(recent_.begin(), recent_, it->second.used);
      wanted = it->second.shard;
    } else {
      // Others who want the same shard wait for this thread instead of opening it again.
      mine = true;
      wanted = promise.get_future().share();
      recent_.push_front(shard);
      kept_[shard] = {wanted, recent_.begin()};
    }
  }
  if (!mine) return wanted.get();
  try {
    promise.set_value(open_now(shard));
  } catch (...) {
    {
      // Forgotten before it is reported, so that the next one who asks tries again.
      std::lock_guard lock(mutex_);
      const auto it = kept_.find(shard);
      recent_.erase(it->second.used);
      kept_.erase(it);
    }
    promise.set_exception(std::current_exception());
    throw;
  }
  close_surplus(shard);
  return wanted.get();
}

void WebDatasetSource::close_surplus(int64_t newest) const {
  std::vector<std::shared_future<Opened>> closed;  // freed after the lock is
  std::lock_guard lock(mutex_);
  const auto ready = [](const Kept& kept) {
    return kept.shard.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  };
  uint64_t memory = 0;
  for (const auto& [shard, kept] : kept_) memory += ready(kept) ? kept.shard.get()->bytes->memory() : 0;
  for (auto it = recent_.end();
       it != recent_.begin() && (kept_.size() > webdataset::most_open_shards || memory > webdataset::most_unpacked_bytes);) {
    --it;
    const auto kept = kept_.find(*it);
    if (*it == newest || !ready(kept->second)) continue;
    memory -= kept->second.shard.get()->bytes->memory();
    closed.push_back(kept->second.shard);
    kept_.erase(kept);
    it = recent_.erase(it);
  }
}

std::string WebDatasetSource::bytes_of(const OpenShard& shard, const IndexedMember& member, const std::string& place) const {
  const uint64_t total = shard.bytes->size();
  std::string bytes;
  if (member.offset <= total && member.size <= total - member.offset) {
    bytes.resize(member.size);
    if (shard.bytes->read_at(member.offset, bytes.data(), bytes.size()) == bytes.size()) return bytes;
  }
  fail(place, ": the shard is shorter than its index says; it has changed since it was opened");
}

void WebDatasetSource::read_texts(Sample& sample, const OpenShard& shard, const IndexedSample& entry,
                                  const std::string& place) const {
  std::string key;
  for (const auto& candidate : caption_keys_) {
    if (entry.find(webdataset::member_of(candidate))) {
      key = candidate;
      break;
    }
  }
  const bool from_json = starts_with(key, "json.");
  if (const auto* member = entry.find("json")) {
    auto json = parse_json_line(bytes_of(shard, *member, place));
    if (json.is_discarded() && from_json) throw SampleError("bad_json", place);
    if (json.is_object()) sample.meta = std::move(json);
  }
  if (caption_keys_.empty()) return;
  if (!captions_field_.empty() && sample.meta.is_object()) {
    const auto list = sample.meta.find(captions_field_);
    if (list != sample.meta.end() && list->is_array()) {
      for (const auto& item : *list) {
        if (!item.is_string()) continue;
        if (const auto text = strip(item.get_ref<const std::string&>()); !text.empty()) sample.captions.emplace_back(text);
      }
    }
    if (!sample.captions.empty()) return;
  }
  if (key.empty()) throw SampleError("no_caption", place);
  std::string text;
  if (from_json) {
    const auto field = sample.meta.is_object() ? sample.meta.find(key.substr(5)) : sample.meta.end();
    if (field == sample.meta.end() || !field->is_string()) throw SampleError("no_caption", place);
    text = field->get<std::string>();
  } else {
    text = bytes_of(shard, *entry.find(webdataset::member_of(key)), place);
  }
  sample.captions.emplace_back(strip(text));
  if (sample.captions[0].empty()) throw SampleError("no_caption", place);
  if (!valid_utf8(text)) throw SampleError("bad_text", place);
}

bool WebDatasetSource::read_whole(Sample& sample, const OpenShard& shard, const IndexedSample& entry, const std::string& place,
                                  bool with_pictures) const {
  const auto* member = entry.find("json");
  // Most shards are others' and read_texts() parses their json: a look for the mark costs next to nothing.
  if (!member || caption_keys_.empty()) return false;
  const std::string text = bytes_of(shard, *member, place);
  if (text.find(sample_mark) == std::string::npos) return false;
  const auto json = parse_json_line(text);
  if (!is_sample_json(json)) return false;
  Sample whole;
  try {
    whole = sample_from_json(json);
  } catch (const Error& error) {
    throw SampleError("bad_json", place, error.what());
  }
  if (const auto* caption = entry.find("txt"); caption && whole.captions.empty())
    whole.captions.emplace_back(strip(bytes_of(shard, *caption, place)));
  for (size_t i = 0; i < whole.images.size(); ++i) {
    const IndexedMember* image = nullptr;
    for (const auto& key : image_keys_) {
      if ((image = entry.find(i == 0 ? key : concat(i, ".", key)))) break;
    }
    if (image && with_pictures) whole.images[i].bytes = bytes_of(shard, *image, place);
    if (!image && !image_keys_.empty()) throw SampleError("no_image", place, whole.images[i].name);
  }
  if (image_keys_.empty()) whole.images.clear();
  whole.number = sample.number;
  whole.shard = std::move(sample.shard);
  whole.fields = std::move(sample.fields);
  sample = std::move(whole);
  return true;
}

Sample WebDatasetSource::take(int64_t shard, int64_t index, bool with_pictures) const {
  const Opened opened = open(shard);
  const IndexedSample& entry = opened->index.samples.at(static_cast<size_t>(index));
  const std::string place = shards_[static_cast<size_t>(shard)].path.string() + ": " + entry.key;
  Sample sample;
  sample.key = entry.key;
  sample.number = number(shard, index);
  sample.shard = shard_name(shard);
  for (const auto& member : entry.members) sample.fields.push_back(member.ext);
  std::sort(sample.fields.begin(), sample.fields.end());
  if (read_whole(sample, *opened, entry, place, with_pictures)) return sample;

  const IndexedMember* image = nullptr;
  for (const auto& key : image_keys_) {
    if ((image = entry.find(key))) break;
  }
  if (!image && !image_keys_.empty()) throw SampleError("no_image", place);
  read_texts(sample, *opened, entry, place);
  if (const auto* member = entry.find("cls")) {
    sample.label = webdataset::to_label(bytes_of(*opened, *member, place));
    if (!sample.label) throw SampleError("bad_label", place);
  }
  if (image) sample.images.push_back({image->ext, with_pictures ? bytes_of(*opened, *image, place) : ""});
  return sample;
}

}  // namespace vlm
