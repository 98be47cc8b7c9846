#include "vlm/eval/sample_stream.h"

namespace vlm {

std::string picture_of(const Sample& sample) {
  if (sample.image_index) return std::to_string(*sample.image_index);
  // Pictures of shards are named by an extension, which all of them have, and which may have a dot of its own ("left.jpg").
  const bool named = sample.fields.empty() && !sample.images.empty() && sample.images[0].name.find('.') != std::string::npos;
  return named ? sample.images[0].name : sample.key;
}

SampleStream::SampleStream(const Source& source, SkipCounter& skips, const std::string& label, bool progress) : source_(source), skips_(skips) {
  for (const auto& problem : source.problems()) skips.skip(problem);
  if (progress) bar_.emplace(label, source.size(), "pictures");
}

bool SampleStream::next(Sample& sample) {
  while (at_ < source_.size()) {
    const int64_t number = at_++;
    if (bar_) bar_->update(at_);
    try {
      sample = source_.read_number(number);
      sample.number = number;
      if (sample.images.empty()) throw SampleError("no_image", sample.place());
      return true;
    } catch (const SampleError& error) {
      skips_.skip(error);
    }
  }
  return false;
}

PendingSamples::PendingSamples(SampleStream& stream, SkipCounter& skips, std::function<bool(const Sample&)> want)
    : stream_(stream), skips_(skips), want_(std::move(want)) {}

ReadPicture PendingSamples::reader() {
  return [this](Picture& picture) {
    Sample sample;
    do {
      if (!stream_.next(sample)) return false;
    } while (!want_(sample));
    picture.name = std::to_string(sample.number);
    picture.bytes = std::move(sample.images[0].bytes);
    picture.decode = stream_.source().decode_options();
    sample.images[0].bytes.clear();
    waiting_.insert_or_assign(picture.name, std::move(sample));
    return true;
  };
}

PictureFailed PendingSamples::on_failure() {
  return [this](const std::string& name, const std::string& reason) { skips_.skip(SampleError("bad_image", take(name).place(), reason)); };
}

Sample PendingSamples::take(const std::string& name) {
  const auto it = waiting_.find(name);
  Sample sample = std::move(it->second);
  waiting_.erase(it);
  return sample;
}

}  // namespace vlm
