#pragma once
/// Keys and values of the tokens that a decoder has seen, and attention over them.

#include "vlm/models/layers/basic.h"

namespace vlm {

/// Grows as tokens come; rows can be chosen and repeated as a search asks for.
class KeyValueCache {
 public:
  /// k, v: [R, H, n, d]. Afterwards keys() and values() hold them behind what was there.
  void append(const Tensor& k, const Tensor& v);
  /// [R, H, L, d].
  Tensor keys() const { return keys_.narrow(2, 0, length_); }
  Tensor values() const { return values_.narrow(2, 0, length_); }
  int64_t length() const { return length_; }
  /// rows: [R'], int64.
  void select(const Tensor& rows);

 private:
  Tensor keys_, values_;  // [R, H, capacity, d]
  int64_t length_ = 0;
};

/// [B, L, D] -> [B, H, L, d].
Tensor split_heads(const Tensor& x, int64_t heads);

/// Attention of q: [R, n, D] over keys and values [B, H, L, d], where R = B K: the K rows of a picture share its keys.
/// mask, if given, is added: [R, 1, n, L] (B must equal R then) or [B, 1, 1, L], which all queries share. Returns [R, n, D].
Tensor attend_cached(const Tensor& q, const Tensor& keys, const Tensor& values, int64_t heads, const Tensor& mask = {});

/// Which keys n new queries see behind `past` old tokens: causal, and no padding. key_mask: [R, past + n] (1: a token) or
/// undefined. Returns what is to be added, [R or 1, 1, n, past + n], or an undefined tensor where nothing is hidden.
Tensor decoding_mask(int64_t n, int64_t past, const Tensor& key_mask);

}  // namespace vlm
