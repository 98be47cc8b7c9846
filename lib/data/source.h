#pragma once
/// Where samples come from: numbered shards of numbered samples, any of which can be read at any time. A new data format is
/// one more Source.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/data/image.h"
#include "vlm/data/sample.h"

namespace vlm {

class Source {
 public:
  virtual ~Source() = default;

  /// What messages call the data set.
  const std::string& name() const { return name_; }
  int64_t shard_count() const { return static_cast<int64_t>(sizes_.size()); }
  /// Samples in a shard, whether they are usable or not.
  int64_t shard_size(int64_t shard) const { return sizes_.at(static_cast<size_t>(shard)); }
  const std::vector<int64_t>& shard_sizes() const { return sizes_; }
  /// Base name of the shard's file; virtual shards have that of the file or folder they were cut from.
  virtual std::string shard_name(int64_t shard) const = 0;
  /// Samples in all shards.
  int64_t size() const { return starts_.empty() ? 0 : starts_.back(); }
  /// Number of a sample in the data set.
  int64_t number(int64_t shard, int64_t index) const {
    return shard == 0 ? index : starts_[static_cast<size_t>(shard - 1)] + index;
  }
  /// The sample of that number.
  Sample read_number(int64_t number) const;

  /// Reads one sample; any number of threads may do so at once. Throws a SampleError if it is not as it must be, and an
  /// Error if the files have changed or cannot be read any more.
  virtual Sample read(int64_t shard, int64_t index) const = 0;

  /// What was found to be wrong when the source was opened and belongs to no sample: cut shards, pictures of no class.
  const std::vector<SampleError>& problems() const { return problems_; }
  /// How the pictures of this data set are to be decoded.
  const DecodeOptions& decode_options() const { return decode_; }
  /// Names of the classes behind `label`; empty if there are none.
  const std::vector<std::string>& class_names() const { return class_names_; }
  /// How often a shard is drawn in resampled mode, relative to the others; empty: all alike.
  const std::vector<double>& shard_weights() const { return weights_; }
  /// Changes when shards, their sizes or their names change (specs: data, 8.3); a decimal number.
  std::string sizes_hash() const;

 protected:
  Source(std::string name, DecodeOptions decode) : name_(std::move(name)), decode_(decode) {}
  void set_sizes(std::vector<int64_t> sizes);

  std::string name_;
  DecodeOptions decode_;
  std::vector<SampleError> problems_;
  std::vector<std::string> class_names_;
  std::vector<double> weights_;

 private:
  std::vector<int64_t> sizes_;
  std::vector<int64_t> starts_;  ///< number of the first sample after each shard
};

/// A data set as a recipe names it.
struct SourceOptions {
  std::string path;                             ///< see open_source()
  std::string type = "auto";                    ///< auto | webdataset | image_folder
  std::string name;                             ///< what messages call it; "": the path
  std::string image_key = "jpg;png;jpeg;webp";  ///< "": pictures are not read
  std::string caption_key = "txt";              ///< "": captions are not read
  std::string captions_field;
  std::string upsampling_factors;
  std::string classnames;
  std::string alpha = "drop";
  bool truncated_images = false;
  int64_t max_image_pixels = 64'000'000;
  std::string cache_dir;
  bool write_index = true;

  void fields(Fields& f) {
    f.field("path", path,
            "one tar, a brace pattern, a .txt list, a folder of tars or of class folders; several joined by '::'");
    f.field("type", type, "auto, webdataset or image_folder");
    f.field("name", name, "what messages call the data set (default: its path)");
    f.field("image_key", image_key,
            "extension of the picture's member; alternatives in order, separated by ';'; empty: none is read");
    f.field("caption_key", caption_key,
            "extension of the caption's member or json.FIELD; alternatives separated by ';'; empty: none is read");
    f.field("captions_field", captions_field, "field of the json member that lists all captions; training draws one of them");
    f.field("upsampling_factors", upsampling_factors, "weights of the '::' parts, as 1::2.5; only with resampled order");
    f.field("classnames", classnames, "file with one class name a line, in the order of the class folders");
    f.field("alpha", alpha, "what becomes of transparency: drop, white or black");
    f.field("truncated_images", truncated_images, "accept a JPEG that ends early, the rest grey");
    f.field("max_image_pixels", max_image_pixels, "larger pictures are skipped before they are decoded");
    f.field("cache_dir", cache_dir,
            "where indexes of shards go if there is no room beside them (default: the user's cache folder)");
    f.field("write_index", write_index, "keep the indexes of shards in files, so that opening again is fast");
  }
  /// Throws a usage error for an `alpha` that there is not.
  DecodeOptions decode_options() const;
};

/// Opens what `path` names. Tars (one, a brace pattern, a list, a folder with *.tar below it) are WebDataset shards, another
/// folder is one of class folders. Throws a usage error if it is neither, or if nothing is there.
std::unique_ptr<Source> open_source(const SourceOptions& options);

}  // namespace vlm
