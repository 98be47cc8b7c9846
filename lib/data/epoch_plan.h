#pragma once
/// Who reads which sample when (specs: data, section 8). The order follows from seed and epoch alone, every sample comes exactly
/// once an epoch whatever the number of consumers, and a run can go on from a cursor with any number of them.
///
/// A consumer is one worker of one rank: number rank * workers + worker.

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace vlm {

struct SampleId {
  int64_t shard = 0, index = 0;
  bool operator==(const SampleId&) const = default;
};

/// What a number of consumers had used of an epoch before it went on with another number of them.
struct CursorStage {
  int64_t consumers = 0;
  std::vector<int64_t> consumed;  ///< positions that each consumer has used, skipped samples too
  bool operator==(const CursorStage&) const = default;
};

/// Where an epoch stands: what checkpoints hold as cursor.json.
struct Cursor {
  uint64_t seed = 0;
  int64_t epoch = 0;
  int64_t world_size = 1, workers = 1;
  bool shuffle = true;
  bool resampled = false;
  bool by_sample = false;            ///< LoaderOptions::shuffle_by
  std::vector<int64_t> consumed;     ///< one for each consumer
  std::string sizes_hash;            ///< Source::sizes_hash()
  int64_t step = 0;                  ///< optimizer steps, as the trainer counts them
  bool finished = false;             ///< the epoch is over: going on begins the next one
  std::vector<CursorStage> earlier;  ///< oldest first
  std::vector<int64_t> draws;        ///< resampled: shards that each consumer has begun …
  std::vector<int64_t> positions;    ///< … and how far it is in the last one

  int64_t consumers() const { return world_size * workers; }
  nlohmann::ordered_json to_json() const;
  /// Throws an Error if a key is missing, of the wrong type or out of its range, or the version is another.
  static Cursor from_json(const nlohmann::json& json);
  static Cursor load(const std::filesystem::path& file);
};

/// The whole order of one epoch: a number for each sample, in an order that the seed decides.
class EpochOrder {
 public:
  EpochOrder(std::vector<int64_t> sizes, uint64_t seed, int64_t epoch, bool shuffle);

  int64_t size() const { return ends_.empty() ? 0 : ends_.back(); }
  int64_t shard_count() const { return static_cast<int64_t>(sizes_.size()); }
  /// The i-th shard of the order, where it begins in the order and how large it is.
  int64_t shard(int64_t i) const { return shards_[static_cast<size_t>(i)]; }
  int64_t begin(int64_t i) const { return i == 0 ? 0 : ends_[static_cast<size_t>(i - 1)]; }
  int64_t shard_size(int64_t i) const { return sizes_[static_cast<size_t>(shard(i))]; }
  /// Which shard of the order the position lies in.
  int64_t shard_at(int64_t position) const;
  /// Positions within a shard, in the order in which they are read.
  std::vector<int64_t> within(int64_t shard) const;

 private:
  std::vector<int64_t> sizes_, shards_, ends_;
  uint64_t seed_, epoch_;
  bool shuffle_;
};

/// The lists of all consumers for one epoch, or for what is left of it. Not for several threads at once: the shuffle of the
/// shard that a consumer is in is kept between calls.
class EpochPlan {
 public:
  /// From the epoch's start.
  EpochPlan(std::vector<int64_t> sizes, uint64_t seed, int64_t epoch, int64_t consumers, bool shuffle);
  /// What `stages` have left, dealt anew, sample by sample. Counts beyond the end of a list (EpochEnd::pad) mean all of it.
  EpochPlan(std::vector<int64_t> sizes, uint64_t seed, int64_t epoch, int64_t consumers, bool shuffle,
            const std::vector<CursorStage>& stages);

  int64_t consumers() const { return consumers_; }
  /// Positions in the list of a consumer.
  int64_t length(int64_t consumer) const;
  SampleId at(int64_t consumer, int64_t position) const;
  /// The list from a position on.
  std::vector<SampleId> list(int64_t consumer, int64_t from = 0) const;

 private:
  void deal();
  int64_t order_position(int64_t consumer, int64_t position) const;
  void remove(const CursorStage& stage);

  EpochOrder order_;
  int64_t consumers_;
  bool redealt_ = false;
  std::vector<int64_t> left_;                    ///< positions of the order, if redealt_
  std::vector<std::vector<int64_t>> list_ends_;  ///< by consumer: its length after each of its shards; empty: dealt by samples
  struct Shuffled {
    int64_t shard = -1;
    std::vector<int64_t> within;
  };
  mutable std::map<int64_t, Shuffled> current_;  ///< by consumer
};

/// Shards drawn with replacement for ever (specs: data, 8.4): "exactly once" does not hold.
class ResampledOrder {
 public:
  /// `weights` empty: all shards alike. Throws if nothing that can be drawn holds a sample.
  ResampledOrder(std::vector<int64_t> sizes, std::vector<double> weights, uint64_t seed, int64_t epoch, int64_t consumer);

  /// The next shard that is drawn; the sample at() goes on with it.
  int64_t draw();
  SampleId next();
  /// Passes over that many samples.
  void skip(int64_t samples);
  int64_t draws() const { return draws_; }        ///< shards begun
  int64_t position() const { return position_; }  ///< samples read in the last of them

 private:
  std::vector<int64_t> sizes_;
  std::vector<double> cumulated_;
  uint64_t seed_, epoch_, consumer_, state_;
  int64_t shard_ = -1, draws_ = 0, position_ = 0;
  std::vector<int64_t> within_;  ///< empty until a sample of the shard is asked for
};

/// What becomes of uneven ends: every sample, batches of fewer at the end (exact); all ranks stop after the fewest full
/// batches that any has (drop); short ranks begin again until all have had as many full batches (pad).
enum class EpochEnd { exact, drop, pad };
/// Throws a usage error for another word.
EpochEnd parse_epoch_end(const std::string& word);

/// Whose turn it is on a rank: its workers' lists are cut into batches, which come in turn, one of each worker.
class BatchTurns {
 public:
  struct Turn {
    int64_t worker = -1;           ///< -1: nothing is left here while other ranks go on
    int64_t begin = 0, count = 0;  ///< positions in the worker's list; with `pad` they are to be taken modulo its length
  };
  /// `lengths` and `used`: of each worker of the rank.
  BatchTurns(std::vector<int64_t> lengths, std::vector<int64_t> used, int64_t batch_size, EpochEnd end);
  /// Batches until this rank's lists are used up, as `end` counts them.
  int64_t remaining() const;
  Turn next();
  const std::vector<int64_t>& used() const { return used_; }

 private:
  std::vector<int64_t> lengths_, used_;
  int64_t batch_size_;
  EpochEnd end_;
};

}  // namespace vlm
