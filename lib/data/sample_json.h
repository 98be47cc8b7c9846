#pragma once
/// A sample without its pictures' bytes as JSON, and back: how lists are kept in memory, and what `vlm data shard` writes
/// into the json members of shards so that nothing gets lost.
///
///   {"vlm_sample": 1, "key": "a/1", "images": ["a/1.jpg"], "captions": [...], "question": "...", "answers": [...],
///    "weights": [...], "counts": [...], "label": 3, "box": [x0, y0, x1, y1], "image_index": 7, "meta": {...}}
///
/// Fields that are empty are left out.

#include <nlohmann/json.hpp>

#include "vlm/data/sample.h"

namespace vlm {

constexpr const char* sample_mark = "vlm_sample";

nlohmann::json sample_to_json(const Sample& sample);
/// Throws an Error if a field is of another type than sample_to_json() writes.
Sample sample_from_json(const nlohmann::json& json);
/// True for an object that sample_to_json() made.
bool is_sample_json(const nlohmann::json& json);

}  // namespace vlm
