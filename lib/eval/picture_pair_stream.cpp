#include "vlm/eval/picture_pair_stream.h"

#include <ATen/TensorOperators.h>

#include <utility>

namespace vlm {

namespace picture_pair_stream {

std::string number_of(const std::string& name) { return name.substr(0, name.find('/')); }

}  // namespace picture_pair_stream

PicturePairStream::PicturePairStream(SampleStream& samples, SkipCounter& skips, std::function<bool(const Sample&)> want)
    : samples_(samples), skips_(skips), want_(std::move(want)) {}

ReadPicture PicturePairStream::reader() {
  return [this](Picture& picture) {
    if (second_) {
      picture = std::move(*second_);
      second_.reset();
      return true;
    }
    Sample sample;
    do {
      if (!samples_.next(sample)) return false;
    } while (!want_(sample));
    const std::string number = std::to_string(sample.number);
    const DecodeOptions decode = samples_.source().decode_options();
    picture = Picture{number + "/0", std::move(sample.images[0].bytes), decode};
    second_ = Picture{number + "/1", std::move(sample.images[1].bytes), decode};
    waiting_[number].sample = std::move(sample);
    return true;
  };
}

PictureFailed PicturePairStream::on_failure() {
  return [this](const std::string& name, const std::string& reason) {
    Pair& pair = waiting_.at(picture_pair_stream::number_of(name));
    if (!std::exchange(pair.bad, true)) skips_.skip(SampleError("bad_image", pair.sample.place(), reason));
    see(name);
  };
}

std::vector<PicturePairStream::Pair> PicturePairStream::take(const PictureBatch& batch) {
  for (size_t i = 0; i < batch.names.size(); ++i) {
    const std::string& name = batch.names[i];
    waiting_.at(picture_pair_stream::number_of(name)).pixels[name.back() == '0' ? 0 : 1] = batch.pixels[static_cast<int64_t>(i)].clone();
    see(name);
  }
  return std::exchange(complete_, {});
}

void PicturePairStream::see(const std::string& name) {
  const auto it = waiting_.find(picture_pair_stream::number_of(name));
  if (++it->second.seen < 2) return;
  if (!it->second.bad) complete_.push_back(std::move(it->second));
  waiting_.erase(it);
}

}  // namespace vlm
