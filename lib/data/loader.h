#pragma once
/// Samples become batches here, and nowhere else: read, decoded, augmented and tokenized by several threads, in an order that
/// does not depend on how many they are, and resumable at any batch that was used (specs: data, section 8).

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "vlm/core/config.h"
#include "vlm/core/rng.h"
#include "vlm/core/thread_pool.h"
#include "vlm/data/epoch_plan.h"
#include "vlm/data/image.h"
#include "vlm/data/picture_cache.h"
#include "vlm/data/skips.h"
#include "vlm/data/source.h"

namespace vlm {

/// Up to `batch_size` samples; those that could not be used are left out, so a batch can be smaller and even empty.
struct Batch {
  at::Tensor images;                   ///< [B, 3, H, W] float32
  at::Tensor ids;                      ///< [B, L] int64; L = 0 without a tokenizer
  at::Tensor labels;                   ///< [B] int64; -1: the sample has none
  at::Tensor image_index;              ///< [B] int64, number of the distinct picture; the sample's number where it has none
  std::vector<std::string> texts;      ///< what was tokenized
  std::vector<std::string> keys;
  std::vector<int64_t> numbers;        ///< places in the data set
  std::vector<Sample> samples;         ///< all else; the pictures' bytes are gone
  int64_t ticket = -1;                 ///< for Loader::mark_used()
  int64_t size() const { return static_cast<int64_t>(numbers.size()); }
};

/// What a sample becomes. The functions are called by several threads at once.
struct BatchForm {
  int64_t height = 0, width = 0;  ///< of Batch::images
  int64_t text_length = 0;        ///< L of Batch::ids
  int64_t pictures = 1;           ///< of each sample; those behind the first are given to `prepare` as Sample::further

  /// Writes [3, height, width] floats to `pixels`. `image` is the decoded picture (empty if the sample has none). `text` holds
  /// the caption that was drawn and may be changed, as may the sample (a box that moves with the crop). All randomness comes
  /// out of `random`. A SampleError leaves the sample out; any other error ends the run.
  std::function<void(Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string& text)> prepare;
  /// Writes text_length ids.
  std::function<void(const std::string& text, int64_t* ids)> tokenize;
};

struct LoaderOptions {
  int64_t batch_size = 32;  ///< of one rank
  int64_t workers = 1;      ///< logical ones of a rank: they decide the order, not the speed
  int64_t threads = -1;     ///< -1: one for each core; 0: everything happens in next()
  int64_t prefetch = 2;     ///< batches that are being made ahead of the one in use
  int64_t max_side = 0;     ///< longer sides are shrunk to this right after decoding; 0: pictures stay as they are
  int64_t cache_mb = 0;     ///< memory for decoded pictures, so that later epochs need not decode them again
  int64_t seed = 0;
  bool shuffle = true;
  std::string shuffle_by = "shard";  ///< shard: shards, then samples within each; sample: all samples together
  std::string epoch_end = "drop";
  bool resampled = false;
  int64_t num_samples = 0;
  bool strict = false;
  double max_skip_fraction = 0.1;
  bool ignore_data_change = false;

  // Set by code.
  int64_t rank = 0, world_size = 1;
  bool draw_captions = true;  ///< false: always the first one

  void fields(Fields& f) {
    f.field("batch_size", batch_size, "samples in a batch of one rank");
    f.field("workers", workers, "logical readers of a rank; they are part of the order");
    f.field("threads", threads, "threads that read and decode; -1: one for each core, 0: none of their own");
    f.field("prefetch", prefetch, "batches prepared ahead");
    f.field("max_side", max_side, "longer sides are shrunk to this right after decoding; 0: pictures stay as they are");
    f.field("cache_mb", cache_mb, "memory for decoded pictures, so that later epochs need not decode them again");
    f.field("seed", seed, "decides order and augmentation");
    f.field("shuffle", shuffle, "shuffle shards, and samples within shards");
    f.field("shuffle_by", shuffle_by,
            "shard: the samples of a batch come from few shards, which reads fast; sample: from anywhere, and every number of ranks "
            "sees the same global batches");
    f.field("epoch_end", epoch_end, "uneven ends: exact, drop or pad");
    f.field("resampled", resampled,
            "draw shards with replacement; an epoch is then num_samples, and no sample is sure to come exactly once");
    f.field("num_samples", num_samples, "length of a resampled epoch over all ranks; 0: as many as the data set holds");
    f.field("strict", strict, "the first sample that cannot be used ends the run");
    f.field("max_skip_fraction", max_skip_fraction, "more skipped samples than this share end the run after the epoch");
    f.field("ignore_data_change", ignore_data_change, "resume even if shards have changed since");
  }
  /// The same for evaluation: every sample once, in the order of the data set, first captions.
  LoaderOptions for_evaluation() const;
};

class Loader {
 public:
  /// Throws a usage error for options that do not go together.
  Loader(std::shared_ptr<const Source> source, LoaderOptions options, BatchForm form);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// Begins an epoch; what was being prepared is dropped. Throws a usage error if there is not a single full batch to give.
  void start_epoch(int64_t epoch);
  /// Goes on behind the last batch that was marked as used when the cursor was taken; with another number of ranks or workers,
  /// too. At the end of an epoch: begins the next one. Throws if the data set is another one.
  void resume(const Cursor& cursor);

  /// The next batch, the same number of them on every rank; false at the end of the epoch, and then until start_epoch(). The
  /// end reports what was skipped, and is an Error if that is too much (not in an epoch that was resumed, of which only the end
  /// was seen). The first call begins epoch 0 if nothing else was begun.
  bool next(Batch& batch);
  /// This batch, and all that were handed out before it in this epoch, have been used by an optimizer step.
  void mark_used(const Batch& batch);
  /// Where the epoch stands, counting what was marked as used, on all ranks (they go in step).
  Cursor cursor() const;

  int64_t epoch() const { return epoch_; }
  /// Batches of each rank in a whole epoch; can differ a little between epochs where shards differ in size.
  int64_t batches_per_epoch(int64_t epoch) const;
  /// Batches that next() has still to give in this epoch.
  int64_t batches_left() const { return total_ - handed_out_; }
  const SkipCounter& skips() const { return skips_; }
  const Source& source() const { return *source_; }
  /// How long next() has waited for data in all.
  double wait_seconds() const { return wait_seconds_; }

 private:
  struct Pending;
  int64_t consumers() const { return options_.world_size * options_.workers; }
  void drop_pending();
  std::vector<int64_t> plan_sizes() const;
  void begin(int64_t epoch, uint64_t seed, bool shuffle, std::vector<CursorStage> stages, const std::vector<int64_t>& used);
  std::vector<BatchTurns> make_turns(const EpochPlan* plan, const std::vector<int64_t>& used) const;
  int64_t count_batches(const std::vector<BatchTurns>& turns, int64_t already) const;
  int64_t resampled_offset(int64_t consumer) const;
  void schedule();
  void refill();
  void fill(Pending& pending, size_t slot) const;
  std::shared_ptr<const Image> picture_of(const Sample& sample) const;
  std::shared_ptr<const Image> decoded(const Sample& sample, size_t picture) const;
  Batch collect(Pending& pending);
  void finish_epoch();

  std::shared_ptr<const Source> source_;
  LoaderOptions options_;
  BatchForm form_;
  EpochEnd end_;
  SkipCounter skips_;
  mutable PictureCache cache_;

  int64_t epoch_ = 0;
  uint64_t seed_ = 0;
  bool by_sample_ = false;  ///< the plan is made of shards of one sample each
  bool shuffle_ = true, begun_ = false, reported_ = false, whole_epoch_ = true;
  std::vector<CursorStage> stages_;
  std::optional<EpochPlan> plan_;
  std::vector<ResampledOrder> drawn_;  ///< of this rank's workers, in resampled mode
  std::optional<BatchTurns> ahead_;    ///< this rank, as far as batches are being prepared
  std::vector<BatchTurns> marked_;     ///< every rank, as far as batches were marked as used
  int64_t total_ = 0, scheduled_ = 0, handed_out_ = 0, marked_count_ = 0;
  int64_t first_ticket_ = 0;  ///< of this epoch; tickets are never used twice
  std::deque<std::shared_ptr<Pending>> pending_;
  double wait_seconds_ = 0;
  ThreadPool pool_;  ///< last: its threads use what stands above
};

}  // namespace vlm
