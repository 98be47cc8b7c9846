#include "vlm/data/subset_source.h"

#include <algorithm>

namespace vlm {

namespace subset_source {

class SpreadSource : public Source {
 public:
  SpreadSource(const Source& whole, int64_t count) : Source(whole.name(), whole.decode_options()), whole_(whole) {
    problems_ = whole.problems();
    class_names_ = whole.class_names();
    set_sizes({std::min(count, whole.size())});
  }
  std::string shard_name(int64_t) const override { return whole_.name(); }
  Sample read(int64_t, int64_t index) const override { return whole_.read_number(place(index)); }
  Sample describe(int64_t, int64_t index) const override { return whole_.describe_number(place(index)); }

 private:
  int64_t place(int64_t index) const {
    const int64_t step = whole_.size() / size(), rest = whole_.size() % size();
    return index * step + index * rest / size();
  }
  const Source& whole_;
};

}  // namespace subset_source

std::unique_ptr<Source> spread_subset(const Source& whole, int64_t count) {
  return std::make_unique<subset_source::SpreadSource>(whole, count);
}

}  // namespace vlm
