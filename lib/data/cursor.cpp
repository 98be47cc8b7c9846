#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/data/epoch_plan.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace cursor {

constexpr int64_t version = 1;
constexpr int64_t most_consumers = 1'000'000;

void check_counts(const std::vector<int64_t>& counts, int64_t consumers, const char* what) {
  if (static_cast<int64_t>(counts.size()) != consumers)
    fail("cursor: '", what, "' has ", counts.size(), " entries for ", consumers, " consumers");
  for (const int64_t count : counts) {
    if (count < 0) fail("cursor: '", what, "' holds ", count);
  }
}

}  // namespace cursor

nlohmann::ordered_json Cursor::to_json() const {
  auto stages = nlohmann::ordered_json::array();
  for (const auto& stage : earlier) stages.push_back({{"consumers", stage.consumers}, {"consumed", stage.consumed}});
  nlohmann::ordered_json json = {
      {"version", cursor::version}, {"seed", seed},       {"epoch", epoch},     {"consumers", consumers()},
      {"world_size", world_size},   {"workers", workers}, {"shuffle", shuffle}, {"consumed", consumed},
      {"sizes_hash", sizes_hash},   {"step", step},       {"earlier", stages}};
  if (finished) json["finished"] = true;
  if (by_sample) json["shuffle_by"] = "sample";
  if (resampled) {
    json["resampled"] = true;
    json["draws"] = draws;
    json["positions"] = positions;
  }
  return json;
}

Cursor Cursor::from_json(const nlohmann::json& json) {
  Cursor c;
  int64_t consumers = 0;
  try {
    const auto version = json.at("version").get<int64_t>();
    if (version != cursor::version)
      fail("cursor: version ", version, " is not known; this build reads version ", cursor::version);
    c.seed = json.at("seed").get<uint64_t>();
    c.epoch = json.at("epoch").get<int64_t>();
    consumers = json.at("consumers").get<int64_t>();
    c.world_size = json.at("world_size").get<int64_t>();
    c.workers = json.at("workers").get<int64_t>();
    c.shuffle = json.at("shuffle").get<bool>();
    c.consumed = json.at("consumed").get<std::vector<int64_t>>();
    c.sizes_hash = json.at("sizes_hash").get<std::string>();
    c.step = json.at("step").get<int64_t>();
    for (const auto& stage : json.value("earlier", nlohmann::json::array())) {
      c.earlier.push_back({stage.at("consumers").get<int64_t>(), stage.at("consumed").get<std::vector<int64_t>>()});
    }
    c.finished = json.value("finished", false);
    c.resampled = json.value("resampled", false);
    c.by_sample = json.value("shuffle_by", std::string("shard")) == "sample";
    if (c.resampled) {
      c.draws = json.at("draws").get<std::vector<int64_t>>();
      c.positions = json.at("positions").get<std::vector<int64_t>>();
    }
  } catch (const nlohmann::json::exception& error) {
    fail("cursor: ", error.what());
  }
  if (c.epoch < 0) fail("cursor: epoch ", c.epoch);
  if (c.world_size < 1 || c.workers < 1 || c.world_size > cursor::most_consumers || c.workers > cursor::most_consumers ||
      c.consumers() != consumers) {
    fail("cursor: ", c.world_size, " ranks of ", c.workers, " workers are not ", consumers, " consumers");
  }
  cursor::check_counts(c.consumed, consumers, "consumed");
  for (const auto& stage : c.earlier) cursor::check_counts(stage.consumed, stage.consumers, "earlier");
  if (c.resampled) {
    cursor::check_counts(c.draws, consumers, "draws");
    cursor::check_counts(c.positions, consumers, "positions");
  }
  return c;
}

Cursor Cursor::load(const std::filesystem::path& file) {
  return with_context(file.string(), [&] {
    const auto json = nlohmann::json::parse(read_file(file), nullptr, false);
    if (!json.is_object()) fail("not a JSON object");
    return from_json(json);
  });
}

}  // namespace vlm
