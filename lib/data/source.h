#pragma once
/// Where samples come from: numbered shards of numbered samples, any of which can be read at any time. A new data format is
/// one more Source.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "vlm/data/image.h"
#include "vlm/data/sample.h"
#include "vlm/data/source_options.h"

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
  Sample describe_number(int64_t number) const;

  /// Reads one sample; any number of threads may do so at once. Throws a SampleError if it is not as it must be, and an
  /// Error if the files have changed or cannot be read any more.
  virtual Sample read(int64_t shard, int64_t index) const = 0;
  /// As read(), but of its pictures only the names: for captions, counts and labels of a whole data set.
  virtual Sample describe(int64_t shard, int64_t index) const;

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
  std::pair<int64_t, int64_t> shard_and_index(int64_t number) const;
  std::vector<int64_t> sizes_;
  std::vector<int64_t> starts_;  ///< number of the first sample after each shard
};

/// Opens what `path` names; what it is shows from names and contents unless `type` says so (see source_formats.h): tars are
/// WebDataset shards, a folder holds class folders or pictures with texts beside them, .tsv and .csv are tables, .json and
/// .jsonl the lists that data sets are released with. Throws a usage error if it is none of these, or if nothing is there.
std::unique_ptr<Source> open_source(const SourceOptions& options);

}  // namespace vlm
