#pragma once
/// Expressions that refer to a box in a picture (specs: data, section 6).

#include "vlm/data/row_source.h"

namespace vlm {

/// RefCOCO, RefCOCO+ and RefCOCOg: `path` is the refs as JSON (specs: data, 6.1; the release's pickle is refused),
/// `instances` COCO's instances.json. One sample a sentence: caption, box, image_index; meta: ref_id, sent_id, ann_id,
/// image_id, split, width, height. `split`: train and val as they are, testA, testB and testC take refs whose split contains
/// that letter, test those whose split contains "test". Refs that cannot be used are problems().
class RefCocoSource : public StoredRows {
 public:
  explicit RefCocoSource(const SourceOptions& options);
};

/// ALBEF's grounding lists of {image, text, ref_id}, with a box x0, y0, x1, y1 where a row has one. meta.ref_id.
class AlbefGroundingSource : public StoredRows {
 public:
  explicit AlbefGroundingSource(const SourceOptions& options);
};

/// Whether `wanted` ("": all) takes refs of the split `split`.
bool takes_ref_split(const std::string& wanted, const std::string& split);

}  // namespace vlm
