#include "vlm/train/ofa_vocabulary.h"

#include <algorithm>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/data/sample.h"

namespace vlm {

OfaVocabulary::OfaVocabulary(const Instructed& model, std::shared_ptr<const Tokenizer> tokenizer)
    : tokenizer_(std::move(tokenizer)), tokens_(model.generation_tokens()), ids_(model.instruction_vocabulary()) {
  if (!tokenizer_) fail("OFA's objectives need a tokenizer");
  const int64_t words = tokenizer_->vocab_size(), whole = words + 1 + ids_.codes + ids_.bins;
  // OFA's own tokenizers hold mask, codes and bins, others the pieces of texts alone.
  if (words != ids_.size && whole != ids_.size) {
    fail_usage("the model has ", ids_.size, " ids, but the tokenizer's ", words, " with one <mask>, ", ids_.codes, " codes of pictures and ", ids_.bins,
               " bins are ", whole, "; set model.config.vocab_size to ", whole, " (num_codes and num_bins can be smaller)");
  }
  const SpecialIds& specials = tokenizer_->specials();
  if (specials.bos != tokens_.begin || specials.eos != tokens_.end || specials.pad != tokens_.pad) {
    fail_usage("the tokenizer's bos, pad and eos are ", specials.bos, ", ", specials.pad, " and ", specials.eos, ", the model's ", tokens_.begin, ", ",
               tokens_.pad, " and ", tokens_.end, "; set model.config.bos_token_id, pad_token_id and eos_token_id to the tokenizer's");
  }
}

std::vector<int64_t> OfaVocabulary::source(std::vector<int64_t> ids) const {
  ids.insert(ids.begin(), tokens_.begin);
  ids.push_back(tokens_.end);
  return ids;
}

std::vector<int64_t> OfaVocabulary::box(const std::array<double, 4>& pixels, double size) const {
  std::vector<int64_t> out;
  const auto last = static_cast<double>(ids_.bins - 1);
  for (const double x : pixels) out.push_back(ids_.first_bin + static_cast<int64_t>(std::nearbyint(std::clamp(x / size, 0.0, 1.0) * last)));
  return out;
}

std::vector<int64_t> OfaVocabulary::codes(const std::vector<int64_t>& codes, const std::string& place) const {
  std::vector<int64_t> out;
  for (const int64_t code : codes) {
    if (code < 0 || code >= ids_.codes) throw SampleError("bad_row", place, concat("codes of pictures are 0 to ", ids_.codes - 1));
    out.push_back(ids_.first_code + code);
  }
  return out;
}

OfaReply OfaVocabulary::reply(const std::vector<int64_t>& prompt, const std::vector<int64_t>& answer, bool ends, double weight) const {
  std::vector<int64_t> all = prompt;
  all.insert(all.end(), answer.begin(), answer.end());
  if (ends) all.push_back(tokens_.end);
  OfaReply out;
  out.weight = weight;
  out.begin = prompt.size() - 1;
  out.previous.assign(all.begin(), all.end() - 1);
  out.target.assign(all.begin() + 1, all.end());
  std::fill_n(out.target.begin(), out.begin, tokens_.pad);
  return out;
}

}  // namespace vlm
