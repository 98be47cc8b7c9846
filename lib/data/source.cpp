#include "vlm/data/source.h"

#include <algorithm>
#include <map>

#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/data/caption_lists.h"
#include "vlm/data/csv.h"
#include "vlm/data/image_folder.h"
#include "vlm/data/image_text_folder.h"
#include "vlm/data/ofa_tsv.h"
#include "vlm/data/question_lists.h"
#include "vlm/data/reasoning_lists.h"
#include "vlm/data/refcoco.h"
#include "vlm/data/source_formats.h"
#include "vlm/data/webdataset.h"

namespace vlm {

std::pair<int64_t, int64_t> Source::shard_and_index(int64_t number) const {
  if (number < 0 || number >= size()) fail(name_, " has no sample ", number, "; it holds ", size());
  const auto shard = std::upper_bound(starts_.begin(), starts_.end(), number) - starts_.begin();
  return {shard, shard == 0 ? number : number - starts_[static_cast<size_t>(shard - 1)]};
}

Sample Source::read_number(int64_t number) const {
  const auto [shard, index] = shard_and_index(number);
  return read(shard, index);
}

Sample Source::describe_number(int64_t number) const {
  const auto [shard, index] = shard_and_index(number);
  return describe(shard, index);
}

Sample Source::describe(int64_t shard, int64_t index) const {
  Sample sample = read(shard, index);
  for (auto& image : sample.images) std::string().swap(image.bytes);
  return sample;
}

void Source::set_sizes(std::vector<int64_t> sizes) {
  sizes_ = std::move(sizes);
  starts_.clear();
  int64_t total = 0;
  for (const int64_t size : sizes_) starts_.push_back(total += size);
}

std::string Source::sizes_hash() const {
  std::vector<uint64_t> numbers = {static_cast<uint64_t>(shard_count())};
  for (int64_t s = 0; s < shard_count(); ++s) {
    numbers.push_back(static_cast<uint64_t>(shard_size(s)));
    numbers.push_back(fnv1a64(shard_name(s)));
  }
  return std::to_string(mix(numbers));
}

namespace source {

template <class Format>
std::unique_ptr<Source> open(const SourceOptions& options) {
  return std::make_unique<Format>(options);
}

using Opener = std::unique_ptr<Source> (*)(const SourceOptions&);

const std::map<std::string, Opener>& openers() {
  static const std::map<std::string, Opener> all = {
      {"webdataset", open<WebDatasetSource>},
      {"image_folder", open<ImageFolderSource>},
      {"image_text_dir", open<ImageTextFolderSource>},
      {"csv", open<CsvSource>},
      {"ofa_tsv", open<OfaTsvSource>},
      {"coco_captions", open<CocoCaptionsSource>},
      {"coco_karpathy", open<KarpathySource>},
      {"albef_list", open<AlbefListSource>},
      {"vqav2", open<VqaV2Source>},
      {"albef_vqa", open<AlbefVqaSource>},
      {"snli_ve", open<SnliVeSource>},
      {"albef_ve", open<AlbefVeSource>},
      {"nlvr2", open<Nlvr2Source>},
      {"refcoco", open<RefCocoSource>},
      {"albef_grounding", open<AlbefGroundingSource>},
  };
  return all;
}

}  // namespace source

std::unique_ptr<Source> open_source(const SourceOptions& options) {
  if (options.path.empty()) fail_usage("no data set is given: set its path");
  const std::string type = options.type == "auto" ? detect_source_type(options) : options.type;
  const auto opener = source::openers().find(type);
  if (opener == source::openers().end()) {
    auto known = source_types();
    known.insert(known.begin(), "auto");
    fail_usage("unknown type of data set '", type, "'", did_you_mean(type, known), "; there are: ", join(known, ", "));
  }
  static const std::vector<std::string> with_splits = {"coco_karpathy", "refcoco"};
  if (!options.split.empty() && std::find(with_splits.begin(), with_splits.end(), type) == with_splits.end()) {
    fail_usage(options.path, ": files of type ", type, " do not say which split a sample is of; name the split's own file and leave "
               "split empty");
  }
  return opener->second(options);
}

}  // namespace vlm
