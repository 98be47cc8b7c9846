#include "vlm/data/epoch_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"

namespace vlm {

EpochOrder::EpochOrder(std::vector<int64_t> sizes, uint64_t seed, int64_t epoch, bool shuffle)
    : sizes_(std::move(sizes)), seed_(seed), epoch_(static_cast<uint64_t>(epoch)), shuffle_(shuffle) {
  if (shuffle_) {
    shards_ = permutation(shard_count(), mix({seed_, epoch_, 0}));
  } else {
    shards_.resize(sizes_.size());
    std::iota(shards_.begin(), shards_.end(), 0);
  }
  int64_t end = 0;
  for (const int64_t shard : shards_) ends_.push_back(end += sizes_[static_cast<size_t>(shard)]);
}

int64_t EpochOrder::shard_at(int64_t position) const {
  return std::upper_bound(ends_.begin(), ends_.end(), position) - ends_.begin();
}

std::vector<int64_t> EpochOrder::within(int64_t shard) const {
  const int64_t size = sizes_[static_cast<size_t>(shard)];
  if (shuffle_) return permutation(size, mix({seed_, epoch_, 1 + static_cast<uint64_t>(shard)}));
  std::vector<int64_t> order(static_cast<size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

EpochPlan::EpochPlan(std::vector<int64_t> sizes, uint64_t seed, int64_t epoch, int64_t consumers, bool shuffle)
    : order_(std::move(sizes), seed, epoch, shuffle), consumers_(consumers) {
  deal();
}

EpochPlan::EpochPlan(std::vector<int64_t> sizes, uint64_t seed, int64_t epoch, int64_t consumers, bool shuffle,
                     const std::vector<CursorStage>& stages)
    : order_(std::move(sizes), seed, epoch, shuffle), consumers_(consumers) {
  for (const auto& stage : stages) {
    consumers_ = stage.consumers;
    deal();
    remove(stage);
  }
  consumers_ = consumers;
  deal();
}

void EpochPlan::deal() {
  if (consumers_ < 1) fail("an epoch needs at least one consumer, not ", consumers_);
  list_ends_.clear();
  if (redealt_ || order_.shard_count() < consumers_) return;
  list_ends_.resize(static_cast<size_t>(consumers_));
  for (int64_t i = 0; i < order_.shard_count(); ++i) {
    auto& ends = list_ends_[static_cast<size_t>(i % consumers_)];
    ends.push_back((ends.empty() ? 0 : ends.back()) + order_.shard_size(i));
  }
}

int64_t EpochPlan::length(int64_t consumer) const {
  if (!list_ends_.empty()) {
    const auto& ends = list_ends_[static_cast<size_t>(consumer)];
    return ends.empty() ? 0 : ends.back();
  }
  const int64_t total = redealt_ ? static_cast<int64_t>(left_.size()) : order_.size();
  return total / consumers_ + (consumer < total % consumers_ ? 1 : 0);
}

int64_t EpochPlan::order_position(int64_t consumer, int64_t position) const {
  if (!list_ends_.empty()) {
    const auto& ends = list_ends_[static_cast<size_t>(consumer)];
    const auto turn = std::upper_bound(ends.begin(), ends.end(), position) - ends.begin();
    return order_.begin(consumer + turn * consumers_) + position - (turn == 0 ? 0 : ends[static_cast<size_t>(turn - 1)]);
  }
  const int64_t dealt = position * consumers_ + consumer;
  return redealt_ ? left_[static_cast<size_t>(dealt)] : dealt;
}

SampleId EpochPlan::at(int64_t consumer, int64_t position) const {
  if (consumer < 0 || consumer >= consumers_ || position < 0 || position >= length(consumer)) {
    fail("the plan has no position ", position, " for consumer ", consumer);
  }
  const int64_t place = order_position(consumer, position);
  const int64_t i = order_.shard_at(place), shard = order_.shard(i);
  auto& shuffled = current_[consumer];
  if (shuffled.shard != shard) shuffled = {shard, order_.within(shard)};
  return {shard, shuffled.within[static_cast<size_t>(place - order_.begin(i))]};
}

std::vector<SampleId> EpochPlan::list(int64_t consumer, int64_t from) const {
  std::vector<SampleId> out;
  for (int64_t n = from; n < length(consumer); ++n) out.push_back(at(consumer, n));
  return out;
}

void EpochPlan::remove(const CursorStage& stage) {
  if (static_cast<int64_t>(stage.consumed.size()) != stage.consumers) {
    fail("the cursor counts ", stage.consumed.size(), " consumers where ", stage.consumers, " are named");
  }
  std::vector<bool> used(static_cast<size_t>(order_.size()), false);
  for (int64_t g = 0; g < stage.consumers; ++g) {
    const int64_t count = std::min(stage.consumed[static_cast<size_t>(g)], length(g));
    for (int64_t n = 0; n < count; ++n) used[static_cast<size_t>(order_position(g, n))] = true;
  }
  std::vector<int64_t> left;
  if (redealt_) {
    for (const int64_t place : left_) {
      if (!used[static_cast<size_t>(place)]) left.push_back(place);
    }
  } else {
    for (int64_t place = 0; place < order_.size(); ++place) {
      if (!used[static_cast<size_t>(place)]) left.push_back(place);
    }
  }
  left_ = std::move(left);
  redealt_ = true;
}

ResampledOrder::ResampledOrder(std::vector<int64_t> sizes, std::vector<double> weights, uint64_t seed, int64_t epoch,
                               int64_t consumer)
    : sizes_(std::move(sizes)),
      seed_(seed),
      epoch_(static_cast<uint64_t>(epoch)),
      consumer_(static_cast<uint64_t>(consumer)),
      state_(mix({seed_, epoch_, stream::resampled_shards, consumer_})) {
  if (!weights.empty() && weights.size() != sizes_.size()) fail(weights.size(), " weights for ", sizes_.size(), " shards");
  bool any = false;
  double total = 0;
  for (size_t s = 0; s < sizes_.size(); ++s) {
    any = any || (sizes_[s] > 0 && (weights.empty() || weights[s] > 0));
    if (!weights.empty()) cumulated_.push_back(total += weights[s]);
  }
  if (!any) fail("no shard that can be drawn holds a sample");
}

int64_t ResampledOrder::draw() {
  SplitMix64 random(state_);
  const uint64_t word = random.next();
  state_ = random.state();
  if (cumulated_.empty()) {
    shard_ = static_cast<int64_t>(word % sizes_.size());
  } else {
    const double u = static_cast<double>(word) * 0x1.0p-64;
    shard_ = 0;
    while (shard_ + 1 < static_cast<int64_t>(sizes_.size()) &&
           !(cumulated_[static_cast<size_t>(shard_)] / cumulated_.back() > u))
      ++shard_;
  }
  ++draws_;
  position_ = 0;
  within_.clear();
  return shard_;
}

SampleId ResampledOrder::next() {
  while (shard_ < 0 || position_ >= sizes_[static_cast<size_t>(shard_)]) draw();
  if (within_.empty()) {
    within_ = permutation(sizes_[static_cast<size_t>(shard_)],
                          mix({seed_, epoch_, stream::resampled_order, consumer_, static_cast<uint64_t>(draws_ - 1)}));
  }
  return {shard_, within_[static_cast<size_t>(position_++)]};
}

void ResampledOrder::skip(int64_t samples) {
  while (samples > 0) {
    while (shard_ < 0 || position_ >= sizes_[static_cast<size_t>(shard_)]) draw();
    const int64_t step = std::min(samples, sizes_[static_cast<size_t>(shard_)] - position_);
    position_ += step;
    samples -= step;
  }
}

EpochEnd parse_epoch_end(const std::string& word) {
  if (word == "exact") return EpochEnd::exact;
  if (word == "drop") return EpochEnd::drop;
  if (word == "pad") return EpochEnd::pad;
  fail_usage("epoch_end is exact, drop or pad, not '", word, "'");
}

BatchTurns::BatchTurns(std::vector<int64_t> lengths, std::vector<int64_t> used, int64_t batch_size, EpochEnd end)
    : lengths_(std::move(lengths)), used_(std::move(used)), batch_size_(batch_size), end_(end) {
  if (batch_size_ < 1) fail_usage("batch_size must be at least 1, not ", batch_size_);
}

int64_t BatchTurns::remaining() const {
  int64_t batches = 0;
  for (size_t w = 0; w < lengths_.size(); ++w) {
    const int64_t left = std::max<int64_t>(lengths_[w] - used_[w], 0);
    batches += end_ == EpochEnd::drop ? left / batch_size_ : (left + batch_size_ - 1) / batch_size_;
  }
  return batches;
}

BatchTurns::Turn BatchTurns::next() {
  // Taking turns means that whoever has used the least comes next: that needs no memory of its own when a run goes on.
  const auto least_used = [this](auto may) {
    int64_t worker = -1;
    for (size_t w = 0; w < lengths_.size(); ++w) {
      if (may(w) && (worker < 0 || used_[w] < used_[static_cast<size_t>(worker)])) worker = static_cast<int64_t>(w);
    }
    return worker;
  };
  const int64_t least = end_ == EpochEnd::drop ? batch_size_ : 1;
  Turn turn;
  turn.worker = least_used([&](size_t w) { return lengths_[w] - used_[w] >= least; });
  if (turn.worker < 0 && end_ == EpochEnd::pad) turn.worker = least_used([&](size_t w) { return lengths_[w] > 0; });
  if (turn.worker < 0) return turn;
  const auto w = static_cast<size_t>(turn.worker);
  turn.begin = used_[w];
  turn.count = end_ == EpochEnd::pad ? batch_size_ : std::min(batch_size_, lengths_[w] - used_[w]);
  used_[w] += turn.count;
  return turn;
}

}  // namespace vlm
