#include "vlm/data/mixture.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "vlm/core/strings.h"
#include "vlm/text/unicode.h"

namespace vlm {

std::vector<MixPart> parse_mix(const std::string& text) {
  std::vector<MixPart> parts;
  double total = 0;
  for (const auto& item : split(text, ",")) {
    const size_t equals = item.find('=');
    MixPart part;
    part.name = strip(item.substr(0, equals));
    if (equals != std::string::npos) {
      const std::string weight(strip(item.substr(equals + 1)));
      const auto [end, error] = std::from_chars(weight.data(), weight.data() + weight.size(), part.weight);
      if (weight.empty() || error != std::errc() || end != weight.data() + weight.size()) part.weight = -1;
    }
    if (part.name.empty() || !std::isfinite(part.weight) || part.weight < 0)
      fail_usage("mix: '", item, "' is not name=weight with a weight of 0 or more");
    if (std::any_of(parts.begin(), parts.end(), [&](const auto& other) { return other.name == part.name; }))
      fail_usage("mix names '", part.name, "' twice");
    total += part.weight;
    parts.push_back(std::move(part));
  }
  if (total <= 0) fail_usage("mix: at least one weight must be above 0");
  return parts;
}

MixOrder::MixOrder(const std::vector<MixPart>& parts, uint64_t seed) : random_(mix({seed, stream::dataset_mix})) {
  double total = 0;
  for (const auto& part : parts) cumulated_.push_back(total += part.weight);
  if (!(total > 0)) fail("a mixture of data sets needs a weight above 0");
}

size_t MixOrder::next() {
  const double u = static_cast<double>(random_.next()) * 0x1.0p-64;
  ++draws_;
  size_t part = 0;
  while (part + 1 < cumulated_.size() && !(cumulated_[part] / cumulated_.back() > u)) ++part;
  return part;
}

void MixOrder::skip(int64_t draws) {
  for (int64_t i = 0; i < draws; ++i) next();
}

nlohmann::ordered_json MixCursor::to_json() const {
  nlohmann::ordered_json out = {{"version", 1}, {"draws", draws}, {"parts", nlohmann::ordered_json::object()}};
  for (const auto& [name, cursor] : parts) out["parts"][name] = cursor.to_json();
  return out;
}

MixCursor MixCursor::from_json(const nlohmann::json& json) {
  MixCursor out;
  try {
    if (json.at("version") != 1)
      fail("the cursor of a mixture has version ", json["version"].dump(), "; this reads version 1");
    out.draws = json.at("draws").get<int64_t>();
    for (const auto& [name, cursor] : json.at("parts").items()) out.parts[name] = Cursor::from_json(cursor);
  } catch (const nlohmann::json::exception& error) {
    fail("not the cursor of a mixture: ", error.what());
  }
  if (out.draws < 0) fail("not the cursor of a mixture: ", out.draws, " draws");
  return out;
}

MixLoader::MixLoader(std::vector<MixPart> parts, std::vector<std::unique_ptr<Loader>> loaders, uint64_t seed)
    : parts_(std::move(parts)), loaders_(std::move(loaders)), seed_(seed), order_(parts_, seed), handed_out_(parts_.size()) {
  if (loaders_.size() != parts_.size()) fail(loaders_.size(), " loaders for a mixture of ", parts_.size(), " data sets");
}

void MixLoader::take(size_t part, Batch& batch) {
  Loader& loader = *loaders_[part];
  if (!loader.next(batch)) {
    loader.start_epoch(loader.epoch() + 1);
    if (!loader.next(batch)) fail(parts_[part].name, " gives no batch at all");
  }
  handed_out_[part].ticket = batch.ticket;
}

size_t MixLoader::next(Batch& batch) {
  const size_t part = order_.next();
  take(part, batch);
  ++steps_;
  return part;
}

void MixLoader::next_of_each(std::vector<Batch>& batches) {
  batches.clear();
  batches.resize(parts_.size());
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (parts_[i].weight > 0) take(i, batches[i]);
  }
  ++steps_;
}

void MixLoader::mark_used() {
  used_ = steps_;
  for (size_t i = 0; i < parts_.size(); ++i) {
    if (handed_out_[i].ticket >= 0) loaders_[i]->mark_used(handed_out_[i]);
  }
}

MixCursor MixLoader::cursor() const {
  MixCursor out;
  out.draws = used_;
  for (size_t i = 0; i < parts_.size(); ++i) out.parts[parts_[i].name] = loaders_[i]->cursor();
  return out;
}

void MixLoader::resume(const MixCursor& cursor) {
  for (const auto& part : parts_) {
    if (cursor.parts.count(part.name) == 0)
      fail_usage("the run that is to go on had no data set '", part.name, "' in its mixture");
  }
  if (cursor.parts.size() != parts_.size())
    fail_usage("the run that is to go on had ", cursor.parts.size(), " data sets in its mixture, not ", parts_.size());
  for (size_t i = 0; i < parts_.size(); ++i) loaders_[i]->resume(cursor.parts.at(parts_[i].name));
  for (auto& last : handed_out_) last.ticket = -1;
  order_ = MixOrder(parts_, seed_);
  order_.skip(cursor.draws);
  used_ = steps_ = cursor.draws;
}

}  // namespace vlm
