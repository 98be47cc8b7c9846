#include "vlm/text/bpe.h"

#include <algorithm>
#include <functional>
#include <limits>
#include <mutex>
#include <queue>

#include "vlm/text/unicode.h"

namespace vlm {

namespace bpe_detail {

constexpr size_t kShards = 64;
constexpr size_t kWordsPerShard = 2048;
constexpr size_t kLongestCachedWord = 48;
/// Words longer than this are merged with a queue: scanning takes quadratic time.
constexpr size_t kLongestScannedWord = 48;

uint64_t pair_of(int32_t left, int32_t right) { return (uint64_t(uint32_t(left)) << 32) | uint32_t(right); }

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

}  // namespace bpe_detail

void BpeMerges::add(int32_t left, int32_t right, int32_t merged) { merges_[bpe_detail::pair_of(left, right)] = {count_++, merged}; }

const BpeMerges::Merge* BpeMerges::find(int32_t left, int32_t right) const {
  const auto it = merges_.find(bpe_detail::pair_of(left, right));
  return it == merges_.end() ? nullptr : &it->second;
}

void BpeMerges::apply(std::vector<int32_t>& word) const {
  if (word.size() <= bpe_detail::kLongestScannedWord) {
    apply_scanning(word);
  } else {
    apply_queued(word);
  }
}

void BpeMerges::apply_scanning(std::vector<int32_t>& word) const {
  while (word.size() > 1) {
    const Merge* best = nullptr;
    int32_t left = 0, right = 0;
    for (size_t i = 0; i + 1 < word.size(); ++i) {
      const Merge* merge = find(word[i], word[i + 1]);
      if (merge && (!best || merge->rank < best->rank)) best = merge, left = word[i], right = word[i + 1];
    }
    if (!best) return;
    size_t out = 0;
    for (size_t i = 0; i < word.size(); ++out) {
      const bool pair = i + 1 < word.size() && word[i] == left && word[i + 1] == right;
      word[out] = pair ? best->merged : word[i];
      i += pair ? 2 : 1;
    }
    word.resize(out);
  }
}

void BpeMerges::apply_queued(std::vector<int32_t>& word) const {
  struct Candidate {
    int32_t rank;
    size_t at;
    int32_t left, right, merged;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  constexpr size_t kNone = std::numeric_limits<size_t>::max();
  const size_t size = word.size();
  std::vector<size_t> next(size), previous(size);
  std::vector<bool> gone(size);
  for (size_t i = 0; i < size; ++i) next[i] = i + 1 < size ? i + 1 : kNone, previous[i] = i > 0 ? i - 1 : kNone;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](size_t at) {
    if (at == kNone || next[at] == kNone) return;
    if (const Merge* merge = find(word[at], word[next[at]])) queue.push({merge->rank, at, word[at], word[next[at]], merge->merged});
  };
  for (size_t i = 0; i + 1 < size; ++i) offer(i);
  std::vector<size_t> merged;
  while (!queue.empty()) {
    // All occurrences of one pair go before the pairs that they give rise to are looked at.
    const int32_t rank = queue.top().rank;
    merged.clear();
    while (!queue.empty() && queue.top().rank == rank) {
      const Candidate candidate = queue.top();
      queue.pop();
      const size_t at = candidate.at;
      if (gone[at] || next[at] == kNone || word[at] != candidate.left || word[next[at]] != candidate.right) continue;
      const size_t right = next[at];
      word[at] = candidate.merged;
      gone[right] = true;
      next[at] = next[right];
      if (next[at] != kNone) previous[next[at]] = at;
      merged.push_back(at);
    }
    for (const size_t at : merged) {
      offer(previous[at]);
      offer(at);
    }
  }
  size_t out = 0;
  for (size_t at = 0; at != kNone; at = next[at]) word[out++] = word[at];
  word.resize(out);
}

struct WordCache::Shard {
  std::mutex mutex;
  std::unordered_map<std::string, std::vector<int64_t>, bpe_detail::StringHash, std::equal_to<>> words;
};

WordCache::WordCache() : shards_(std::make_unique<Shard[]>(bpe_detail::kShards)) {}
WordCache::~WordCache() = default;

bool WordCache::append(std::string_view word, std::vector<int64_t>& ids) const {
  if (word.size() > bpe_detail::kLongestCachedWord) return false;
  Shard& shard = shards_[bpe_detail::StringHash()(word) % bpe_detail::kShards];
  const std::lock_guard lock(shard.mutex);
  const auto it = shard.words.find(word);
  if (it == shard.words.end()) return false;
  ids.insert(ids.end(), it->second.begin(), it->second.end());
  return true;
}

void WordCache::remember(std::string_view word, const int64_t* first, size_t count) const {
  if (word.size() > bpe_detail::kLongestCachedWord) return;
  Shard& shard = shards_[bpe_detail::StringHash()(word) % bpe_detail::kShards];
  const std::lock_guard lock(shard.mutex);
  // Starting afresh costs a word in some thousand a second cut, and frequent words are back at once.
  if (shard.words.size() >= bpe_detail::kWordsPerShard) shard.words.clear();
  shard.words.emplace(std::string(word), std::vector<int64_t>(first, first + count));
}

ByteSymbols::ByteSymbols() {
  const auto stands_for_itself = [](int byte) { return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174; };
  char32_t spare = 256;
  for (const bool first : {true, false}) {
    for (int byte = 0; byte < 256; ++byte) {
      if (stands_for_itself(byte) != first) continue;
      const char32_t c = first ? char32_t(byte) : spare++;
      append_utf8(symbol[byte], c);
      byte_of_[c] = static_cast<unsigned char>(byte);
      order.push_back(static_cast<unsigned char>(byte));
    }
  }
}

std::string ByteSymbols::to_bytes(std::string_view piece) const {
  std::string out;
  for (size_t at = 0; at < piece.size();) {
    const char32_t c = next_code_point(piece, at);
    const auto it = byte_of_.find(c);
    if (it == byte_of_.end()) {
      append_utf8(out, c);
    } else {
      out += static_cast<char>(it->second);
    }
  }
  return out;
}

}  // namespace vlm
