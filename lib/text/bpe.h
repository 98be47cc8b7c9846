#pragma once
/// Byte-pair encoding (Sennrich et al., arXiv 1508.07909): the merges, and a cache of words that have been cut.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vlm {

/// Ranked merges of symbol ids.
class BpeMerges {
 public:
  /// The next merge in order of rank: adjacent `left` and `right` become `merged`. A pair that is added again gets the later rank.
  void add(int32_t left, int32_t right, int32_t merged);
  size_t size() const { return count_; }

  /// Until no pair of `word` is known: merges all occurrences of the pair of lowest rank, from the left, not overlapping.
  void apply(std::vector<int32_t>& word) const;

 private:
  struct Merge {
    int32_t rank, merged;
  };
  struct PairHash {
    size_t operator()(uint64_t pair) const { return static_cast<size_t>((pair * 0x9E3779B97F4A7C15ull) >> 20); }
  };
  const Merge* find(int32_t left, int32_t right) const;
  void apply_scanning(std::vector<int32_t>& word) const;
  void apply_queued(std::vector<int32_t>& word) const;

  std::unordered_map<uint64_t, Merge, PairHash> merges_;
  int32_t count_ = 0;
};

/// Ids of words seen before. Bounded; safe to use from several threads.
class WordCache {
 public:
  WordCache();
  ~WordCache();
  /// Appends the word's ids; false if it is not there.
  bool append(std::string_view word, std::vector<int64_t>& ids) const;
  /// Remembers the ids `first` .. `first + count`. Long words are not kept.
  void remember(std::string_view word, const int64_t* first, size_t count) const;

 private:
  struct Shard;
  std::unique_ptr<Shard[]> shards_;
};

/// The printable stand-ins of byte-level BPE: bytes 33-126, 161-172 and 174-255 stand for themselves, the others for the
/// code points from 256 on.
struct ByteSymbols {
  std::string symbol[256];         ///< UTF-8, by byte
  std::vector<unsigned char> order;  ///< bytes in the order of their ids
  ByteSymbols();
  /// The bytes of a piece; characters that stand for no byte are kept as they are.
  std::string to_bytes(std::string_view piece) const;

 private:
  std::unordered_map<char32_t, unsigned char> byte_of_;
};

}  // namespace vlm
