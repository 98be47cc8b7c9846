#pragma once
/// BLEU (Papineni et al., 2002) as coco-caption computes it (specs: eval, 2).

#include <cstdint>
#include <vector>

#include "vlm/eval/caption_item.h"

namespace vlm {

/// Which of several references gives the length that a candidate is held against.
enum class BleuLength {
  closest,   ///< the one whose length differs least; of two, the shorter
  shortest,
  average,
};

struct BleuOptions {
  int64_t n = 4;
  BleuLength length = BleuLength::closest;
};

struct Bleu {
  std::vector<double> corpus;                 ///< BLEU-1 .. BLEU-n of the set
  std::vector<std::vector<double>> per_item;  ///< the same of each item
};

/// Items are token strings. An item without an n-gram has a tiny score, not zero. Throws if an item has no reference.
Bleu bleu(const std::vector<CaptionItem>& items, const BleuOptions& options = {});

/// By its name above; throws a usage error that lists the names.
BleuLength bleu_length_named(const std::string& name);

}  // namespace vlm
