#pragma once
/// Captions in JSON files (specs: data, section 4).

#include "vlm/data/row_source.h"

namespace vlm {

/// captions_*.json of COCO: samples are images in file order, their captions in the order of the annotations. meta.image_id.
/// Annotations that cannot be used are problems(); an image left without captions is a row that cannot be read.
class CocoCaptionsSource : public StoredRows {
 public:
  explicit CocoCaptionsSource(const SourceOptions& options);
};

/// dataset_coco.json and its like (Karpathy's splits). `split`: train, val or test; "": all of them. meta.image_id,
/// meta.split. restval counts as the split that the option `restval` names, or is left out ("drop").
class KarpathySource : public StoredRows {
 public:
  explicit KarpathySource(const SourceOptions& options);
};

/// ALBEF's lists of {image, caption, image_id}; several files joined by "::" are one. image_index numbers the distinct
/// image_id (or paths, without one) from 0 in order of first appearance. meta.image_id where there is one.
class AlbefListSource : public StoredRows {
 public:
  explicit AlbefListSource(const SourceOptions& options);
};

}  // namespace vlm
