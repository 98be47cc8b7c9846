#include "vlm/data/loader.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <exception>
#include <limits>
#include <numeric>

#include "vlm/core/log.h"

namespace vlm {

namespace loader {

/// Resampled lists have no end; this leaves room to count past it.
constexpr int64_t endless = std::numeric_limits<int64_t>::max() / 4;

int thread_count(int64_t wanted) {
  if (wanted >= 0) return static_cast<int>(std::min<int64_t>(wanted, 1024));
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

/// The decoder's errors of whatever kind cost one sample; running out of memory is not the sample's fault.
Image decode(const Sample& sample, size_t picture, const DecodeOptions& options) {
  try {
    return decode_image(sample.images[picture].bytes, options);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw SampleError("bad_image", sample.place(), error.what());
  }
}

/// Moves the kept rows of a contiguous tensor to its front.
at::Tensor keep_rows(const at::Tensor& tensor, const std::vector<size_t>& kept) {
  if (static_cast<int64_t>(kept.size()) == tensor.size(0)) return tensor;
  const size_t row = tensor.size(0) == 0 ? 0 : tensor.nbytes() / static_cast<size_t>(tensor.size(0));
  char* data = static_cast<char*>(tensor.mutable_data_ptr());
  for (size_t to = 0; to < kept.size(); ++to) {
    if (row > 0 && kept[to] != to) std::memcpy(data + to * row, data + kept[to] * row, row);
  }
  return tensor.narrow(0, 0, static_cast<int64_t>(kept.size()));
}

}  // namespace loader

/// A batch in the making. Threads write to rows of their own, so nothing is locked.
struct Loader::Pending {
  struct Slot {
    SampleId id;
    Sample sample;
    std::string text;
    std::unique_ptr<SampleError> skipped;
    std::exception_ptr error;
  };
  uint64_t seed = 0;
  int64_t epoch = 0;
  std::vector<Slot> slots;
  at::Tensor images, ids;
  std::vector<std::future<void>> done;
  std::atomic<bool> dropped{false};
};

LoaderOptions LoaderOptions::for_evaluation() const {
  LoaderOptions out = *this;
  out.shuffle = out.resampled = out.draw_captions = false;
  out.epoch_end = "exact";
  return out;
}

Loader::Loader(std::shared_ptr<const Source> source, LoaderOptions options, BatchForm form)
    : source_(std::move(source)),
      options_(std::move(options)),
      form_(std::move(form)),
      end_(options_.resampled ? EpochEnd::exact : parse_epoch_end(options_.epoch_end)),
      skips_(source_->name(), options_.strict),
      cache_(std::max<int64_t>(options_.cache_mb, 0) * 1'000'000),
      pool_(loader::thread_count(options_.threads)) {
  if (options_.batch_size < 1) fail_usage("batch_size must be at least 1, not ", options_.batch_size);
  options_.workers = std::max<int64_t>(options_.workers, 1);
  if (options_.rank < 0 || options_.rank >= options_.world_size)
    fail_usage("there is no rank ", options_.rank, " of ", options_.world_size);
  if (!options_.resampled && !source_->shard_weights().empty()) {
    fail_usage(source_->name(), ": upsampling_factors need resampled: true, since otherwise every sample comes exactly once");
  }
  if (options_.num_samples < 0) fail_usage("num_samples must not be negative");
  if (options_.shuffle_by != "shard" && options_.shuffle_by != "sample") {
    fail_usage("data.shuffle_by is '", options_.shuffle_by, "'; there are: shard, sample");
  }
  by_sample_ = options_.shuffle_by == "sample" && !options_.resampled;
}

Loader::~Loader() { drop_pending(); }

void Loader::drop_pending() {
  for (const auto& pending : pending_) {
    pending->dropped = true;
    // A task keeps its batch alive and is itself kept by its future.
    pending->done.clear();
  }
  pending_.clear();
}

void Loader::start_epoch(int64_t epoch) {
  begin(epoch, static_cast<uint64_t>(options_.seed), options_.shuffle, {},
        std::vector<int64_t>(static_cast<size_t>(consumers()), 0));
  if (total_ == 0 && source_->size() > 0) {
    fail_usage(source_->name(), ": ", source_->size(), " samples give no full batch of ", options_.batch_size,
               " on each of ", options_.world_size, " ranks with ", options_.workers,
               " workers; use a smaller batch_size, fewer workers, or epoch_end: exact");
  }
}

void Loader::resume(const Cursor& cursor) {
  if (cursor.sizes_hash != source_->sizes_hash() && !options_.ignore_data_change) {
    fail_usage(source_->name(), ": the shards are not those that the run began with (their names, number or sizes differ); "
               "bring them back, or set ignore_data_change: true to go on all the same");
  }
  if (cursor.resampled != options_.resampled) {
    fail_usage(source_->name(), ": the run began with resampled: ", cursor.resampled ? "true" : "false",
               "; set it so to go on");
  }
  if (cursor.finished) return start_epoch(cursor.epoch + 1);
  if (cursor.by_sample != by_sample_) {
    fail_usage(source_->name(), ": the run began with shuffle_by: ", cursor.by_sample ? "sample" : "shard",
               "; within an epoch it cannot go on with another");
  }
  if (cursor.seed != static_cast<uint64_t>(options_.seed) || cursor.shuffle != options_.shuffle) {
    log_warning(source_->name(),
                ": seed or shuffle differ from those that the run began with; they count from the next epoch on");
  }
  std::vector<CursorStage> stages = cursor.earlier;
  std::vector<int64_t> used = cursor.consumed;
  if (cursor.consumers() != consumers()) {
    stages.push_back({cursor.consumers(), cursor.consumed});
    used.assign(static_cast<size_t>(consumers()), 0);
  }
  begin(cursor.epoch, cursor.seed, cursor.shuffle, std::move(stages), used);
  if (total_ == 0) start_epoch(cursor.epoch + 1);
}

std::vector<int64_t> Loader::plan_sizes() const {
  return by_sample_ ? std::vector<int64_t>(static_cast<size_t>(source_->size()), 1) : source_->shard_sizes();
}

std::vector<BatchTurns> Loader::make_turns(const EpochPlan* plan, const std::vector<int64_t>& used) const {
  std::vector<BatchTurns> turns;
  for (int64_t rank = 0; rank < options_.world_size; ++rank) {
    std::vector<int64_t> lengths, begun;
    for (int64_t g = rank * options_.workers; g < (rank + 1) * options_.workers; ++g) {
      lengths.push_back(plan ? plan->length(g) : loader::endless);
      begun.push_back(used[static_cast<size_t>(g)]);
    }
    turns.emplace_back(std::move(lengths), std::move(begun), options_.batch_size, end_);
  }
  return turns;
}

int64_t Loader::count_batches(const std::vector<BatchTurns>& turns, int64_t already) const {
  if (options_.resampled) {
    const int64_t wanted = options_.num_samples > 0 ? options_.num_samples : source_->size();
    const int64_t step = options_.batch_size * options_.world_size;
    return (std::max<int64_t>(wanted - already, 0) + step - 1) / step;
  }
  int64_t batches = turns[0].remaining();
  for (const auto& turn : turns)
    batches = end_ == EpochEnd::drop ? std::min(batches, turn.remaining()) : std::max(batches, turn.remaining());
  return batches;
}

int64_t Loader::batches_per_epoch(int64_t epoch) const {
  const std::vector<int64_t> none(static_cast<size_t>(consumers()), 0);
  if (options_.resampled) return count_batches({}, 0);
  const EpochPlan plan(plan_sizes(), static_cast<uint64_t>(options_.seed), epoch, consumers(), options_.shuffle);
  return count_batches(make_turns(&plan, none), 0);
}

int64_t Loader::resampled_offset(int64_t consumer) const {
  int64_t offset = 0;
  for (const auto& stage : stages_) {
    if (consumer < stage.consumers) offset += stage.consumed[static_cast<size_t>(consumer)];
  }
  return offset;
}

void Loader::begin(int64_t epoch, uint64_t seed, bool shuffle, std::vector<CursorStage> stages,
                   const std::vector<int64_t>& used) {
  drop_pending();
  epoch_ = epoch;
  seed_ = seed;
  shuffle_ = shuffle;
  stages_ = std::move(stages);
  drawn_.clear();
  plan_.reset();
  int64_t already = std::accumulate(used.begin(), used.end(), int64_t(0));
  for (const auto& stage : stages_) already = std::accumulate(stage.consumed.begin(), stage.consumed.end(), already);
  const int64_t first = options_.rank * options_.workers;
  if (options_.resampled) {
    for (int64_t g = first; g < first + options_.workers; ++g) {
      drawn_.emplace_back(source_->shard_sizes(), source_->shard_weights(), seed_, epoch_, g);
      drawn_.back().skip(resampled_offset(g) + used[static_cast<size_t>(g)]);
    }
  } else {
    plan_.emplace(plan_sizes(), seed_, epoch_, consumers(), shuffle_, stages_);
  }
  marked_ = make_turns(plan_ ? &*plan_ : nullptr, used);
  ahead_ = marked_[static_cast<size_t>(options_.rank)];
  total_ = count_batches(marked_, already);
  first_ticket_ += handed_out_;
  scheduled_ = handed_out_ = marked_count_ = 0;
  begun_ = true;
  reported_ = false;
  whole_epoch_ = already == 0;
  skips_.reset();
  if (options_.rank == 0 || options_.strict) {
    for (const auto& problem : source_->problems()) skips_.skip(problem);
  }
}

std::shared_ptr<const Image> Loader::picture_of(const Sample& sample) const {
  if (auto kept = cache_.find(sample.number)) return kept;
  auto image = decoded(sample, 0);
  if (options_.cache_mb > 0) cache_.add(sample.number, image);
  return image;
}

std::shared_ptr<const Image> Loader::decoded(const Sample& sample, size_t picture) const {
  return std::make_shared<const Image>(shrink_to_side(loader::decode(sample, picture, source_->decode_options()), options_.max_side));
}

void Loader::fill(Pending& pending, size_t i) const {
  if (pending.dropped) return;
  auto& slot = pending.slots[i];
  try {
    Sample sample = by_sample_ ? source_->read_number(slot.id.shard) : source_->read(slot.id.shard, slot.id.index);
    SplitMix64 random(mix(
        {pending.seed, static_cast<uint64_t>(pending.epoch), stream::augmentation, static_cast<uint64_t>(sample.number)}));
    if (!sample.captions.empty()) {
      const size_t captions = sample.captions.size();
      slot.text = sample.captions[options_.draw_captions && captions > 1 ? random.below(captions) : 0];
    }
    const bool pictured = !sample.images.empty();
    static const auto no_picture = std::make_shared<const Image>();
    const std::shared_ptr<const Image> image = pictured ? picture_of(sample) : no_picture;
    const int64_t pixels = 3 * form_.height * form_.width;
    float* row = pixels > 0 ? pending.images.mutable_data_ptr<float>() + static_cast<int64_t>(i) * pixels : nullptr;
    if (!pictured && row) std::fill(row, row + pixels, 0.f);
    for (size_t k = 1; k < std::min(sample.images.size(), static_cast<size_t>(form_.pictures)); ++k) sample.further.push_back(decoded(sample, k));
    if (form_.prepare) form_.prepare(sample, *image, random, row, slot.text);
    if (form_.tokenize && form_.text_length > 0) {
      form_.tokenize(slot.text, pending.ids.mutable_data_ptr<int64_t>() + static_cast<int64_t>(i) * form_.text_length);
    }
    for (auto& encoded : sample.images) std::string().swap(encoded.bytes);
    sample.further.clear();
    slot.sample = std::move(sample);
  } catch (const SampleError& error) {
    slot.skipped = std::make_unique<SampleError>(error);
  } catch (...) {
    slot.error = std::current_exception();
  }
}

void Loader::schedule() {
  auto pending = std::make_shared<Pending>();
  pending->seed = seed_;
  pending->epoch = epoch_;
  const BatchTurns::Turn turn = ahead_->next();
  ++scheduled_;
  pending->slots.resize(static_cast<size_t>(turn.count));
  const int64_t consumer = options_.rank * options_.workers + turn.worker;
  for (int64_t n = 0; n < turn.count; ++n) {
    auto& id = pending->slots[static_cast<size_t>(n)].id;
    if (options_.resampled) {
      id = drawn_[static_cast<size_t>(turn.worker)].next();
    } else {
      id = plan_->at(consumer, (turn.begin + n) % plan_->length(consumer));
    }
  }
  pending->images = at::empty({turn.count, 3, form_.height, form_.width}, at::kFloat);
  pending->ids = at::empty({turn.count, form_.tokenize ? form_.text_length : 0}, at::kLong);
  // A few samples a task: small pictures are not to wait for the queue, and large ones are to be spread evenly.
  const auto count = static_cast<size_t>(turn.count);
  const size_t chunk = std::clamp<size_t>(count / static_cast<size_t>(4 * std::max(pool_.size(), 1)), 1, 16);
  for (size_t from = 0; from < count; from += chunk) {
    pending->done.push_back(
        pool_.submit([this, pending = pending.get(), keep = pending, from, to = std::min(from + chunk, count)] {
          for (size_t i = from; i < to; ++i) fill(*pending, i);
        }));
  }
  pending_.push_back(std::move(pending));
}

void Loader::refill() {
  const auto limit = static_cast<size_t>(pool_.size() == 0 ? 1 : std::max<int64_t>(options_.prefetch, 1));
  while (pending_.size() < limit && scheduled_ < total_) schedule();
}

Batch Loader::collect(Pending& pending) {
  std::vector<size_t> kept;
  for (size_t i = 0; i < pending.slots.size(); ++i) {
    auto& slot = pending.slots[i];
    if (slot.error) std::rethrow_exception(slot.error);
    if (slot.skipped) {
      skips_.skip(*slot.skipped);
    } else {
      kept.push_back(i);
    }
  }
  skips_.use(static_cast<int64_t>(kept.size()));
  Batch batch;
  batch.images = loader::keep_rows(pending.images, kept);
  batch.ids = loader::keep_rows(pending.ids, kept);
  batch.labels = at::empty({static_cast<int64_t>(kept.size())}, at::kLong);
  batch.image_index = at::empty({static_cast<int64_t>(kept.size())}, at::kLong);
  auto* labels = batch.labels.mutable_data_ptr<int64_t>();
  auto* indexes = batch.image_index.mutable_data_ptr<int64_t>();
  for (size_t n = 0; n < kept.size(); ++n) {
    auto& slot = pending.slots[kept[n]];
    labels[n] = slot.sample.label.value_or(-1);
    indexes[n] = slot.sample.image_index.value_or(slot.sample.number);
    batch.texts.push_back(std::move(slot.text));
    batch.keys.push_back(slot.sample.key);
    batch.numbers.push_back(slot.sample.number);
    batch.samples.push_back(std::move(slot.sample));
  }
  return batch;
}

bool Loader::next(Batch& batch) {
  if (!begun_) start_epoch(epoch_);
  refill();
  if (pending_.empty()) {
    finish_epoch();
    return false;
  }
  const auto pending = std::move(pending_.front());
  pending_.pop_front();
  const auto begin = std::chrono::steady_clock::now();
  for (auto& done : pending->done) done.get();
  wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (pool_.size() > 0) refill();
  batch = collect(*pending);
  batch.ticket = first_ticket_ + handed_out_++;
  return true;
}

void Loader::finish_epoch() {
  if (reported_) return;
  reported_ = true;
  if (options_.rank == 0 || skips_.skipped() > 0) log_info(skips_.summary());
  if (whole_epoch_) skips_.check(options_.max_skip_fraction);
}

void Loader::mark_used(const Batch& batch) {
  for (; marked_count_ <= batch.ticket - first_ticket_ && marked_count_ < total_; ++marked_count_) {
    for (auto& rank : marked_) rank.next();
  }
}

Cursor Loader::cursor() const {
  Cursor cursor;
  cursor.seed = begun_ ? seed_ : static_cast<uint64_t>(options_.seed);
  cursor.epoch = epoch_;
  cursor.world_size = options_.world_size;
  cursor.workers = options_.workers;
  cursor.shuffle = begun_ ? shuffle_ : options_.shuffle;
  cursor.resampled = options_.resampled;
  cursor.by_sample = by_sample_;
  cursor.sizes_hash = source_->sizes_hash();
  cursor.earlier = stages_;
  cursor.finished = begun_ && marked_count_ == total_;
  if (!begun_) cursor.consumed.assign(static_cast<size_t>(consumers()), 0);
  for (const auto& rank : marked_) cursor.consumed.insert(cursor.consumed.end(), rank.used().begin(), rank.used().end());
  if (options_.resampled) {
    for (int64_t g = 0; g < consumers(); ++g) {
      ResampledOrder order(source_->shard_sizes(), source_->shard_weights(), cursor.seed, cursor.epoch, g);
      order.skip(resampled_offset(g) + cursor.consumed[static_cast<size_t>(g)]);
      cursor.draws.push_back(order.draws());
      cursor.positions.push_back(order.position());
    }
  }
  return cursor;
}

}  // namespace vlm
