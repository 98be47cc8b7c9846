#pragma once
/// A data set as a recipe names it: where it is, what it is, and how its files are to be read.

#include <cstdint>
#include <string>

#include "vlm/core/config.h"
#include "vlm/data/image.h"

namespace vlm {

struct SourceOptions {
  std::string path;           ///< see open_source()
  std::string type = "auto";  ///< auto, or a name of source_types()
  std::string name;           ///< what messages call it; "": the path
  std::string split;          ///< part of the set that is read, where its file says which is which; "": all of it
  std::string image_root;     ///< folder (or tars) that pictures' paths are relative to; "": that of the annotation file

  // WebDataset shards.
  std::string image_key = "jpg;png;jpeg;webp";  ///< "": pictures are not read
  std::string caption_key = "txt";              ///< "": captions are not read
  std::string captions_field;
  std::string upsampling_factors;

  // Tables.
  std::string csv_separator = "\t", csv_img_key = "filepath", csv_caption_key = "title";
  std::string tsv_task = "caption", selected_cols, tsv_roles;
  bool tsv_references = false;

  // Lists.
  std::string restval = "train";
  std::string annotations, image_template;
  std::string vqa_root, vg_root, gqa_root;
  std::string instances;
  std::string classnames;

  // Decoding and indexes.
  std::string alpha = "drop";
  bool truncated_images = false;
  int64_t max_image_pixels = 64'000'000;
  std::string cache_dir;
  bool write_index = true;

  void fields(Fields& f);
  /// Throws a usage error for an `alpha` that there is not.
  DecodeOptions decode_options() const;
  /// What messages call the data set.
  const std::string& shown_name() const { return name.empty() ? path : name; }
};

}  // namespace vlm
