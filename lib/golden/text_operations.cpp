#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/golden/case.h"
#include "vlm/text/bert_tokenizer.h"
#include "vlm/text/clip_tokenizer.h"
#include "vlm/text/coop_prompts.h"
#include "vlm/text/ofa_tokenizer.h"
#include "vlm/text/sentencepiece_tokenizer.h"
#include "vlm/text/text_masking.h"
#include "vlm/text/text_repair.h"

namespace vlm::golden {

namespace text_operations {

using Rows = std::vector<std::vector<int64_t>>;

/// Rows as [N, width], filled up; width 0: that of the longest.
Tensor table(const Rows& rows, int64_t width, int64_t fill) {
  for (const auto& row : rows) width = std::max(width, static_cast<int64_t>(row.size()));
  Tensor out = at::full({static_cast<int64_t>(rows.size()), width}, fill, at::kLong);
  for (size_t r = 0; r < rows.size(); ++r)
    std::copy(rows[r].begin(), rows[r].end(), out.mutable_data_ptr<int64_t>() + static_cast<int64_t>(r) * width);
  return out;
}

/// The ids that a masked text keeps, with the case's choice in place of a random one.
std::vector<int64_t> masked(const std::vector<int64_t>& ids, int64_t keep, TextMask mask, const nlohmann::json& choice) {
  if (static_cast<int64_t>(ids.size()) <= keep) return ids;
  if (mask == TextMask::truncate) return mask_window(ids, keep, 0);
  if (choice.is_null()) fail("a text of ", ids.size(), " ids is to be masked to ", keep, ", but the case gives no choice");
  if (mask == TextMask::simple) return mask_window(ids, keep, choice.get<int64_t>());
  return mask_permuted(ids, keep, choice.get<std::vector<int64_t>>(), mask == TextMask::random);
}

Result clip_tokenize(const Case& c) {
  ClipTokenizerOptions options;
  options.clean = text_clean_named(c.param<std::string>("clean", "lower"));
  const auto tokenizer = make_clip_tokenizer(read_clip_merges(c.vocab()), options);
  const auto context = c.param<int64_t>("context_length", 77);
  const TextMask mask = text_mask_named(c.param<std::string>("reduction", "truncate"));
  const auto choices = c.params.value("choice", nlohmann::json::array());
  Rows rows;
  auto cleaned = nlohmann::json::array(), decoded = nlohmann::json::array();
  const auto texts = c.in_strings("texts");
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids =
        masked(tokenizer->encode(texts[i]), context - 2, mask, i < choices.size() ? choices[i] : nlohmann::json());
    rows.push_back(tokenizer->with_specials(ids, context));
    cleaned.push_back(tokenizer->clean(texts[i]));
    // Decoded is what a reader of padded ids would take for the text: all up to the first end.
    const auto& row = rows.back();
    const auto end = std::find(row.begin(), row.end(), tokenizer->specials().eos);
    decoded.push_back(tokenizer->decode({row.begin(), end == row.end() ? end : end + 1}));
  }
  Result result;
  result.set("out.ids", table(rows, context, tokenizer->specials().pad));
  result.set_strings("out.cleaned", cleaned);
  result.set_strings("out.decoded", decoded);
  return result;
}

Result hf_clip_tokenize(const Case& c) {
  ClipTokenizerOptions options;
  options.rules = ClipRules::hf;
  options.pad_id = c.param<int64_t>("pad_id", -1);
  const auto tokenizer = make_clip_tokenizer(read_clip_merges(c.vocab()), options);
  const auto context = c.param<int64_t>("context_length", 77);
  Rows rows, masks;
  for (const auto& text : c.in_strings("texts")) {
    rows.push_back(tokenizer->with_specials(tokenizer->encode(text), context));
    masks.emplace_back(rows.back().size(), 1);
  }
  Result result;
  result.set("out.ids", table(rows, context, tokenizer->specials().pad));
  result.set("out.attention_mask", table(masks, context, 0));
  return result;
}

Result clip_clean(const Case& c) {
  auto repaired = nlohmann::json::array(), cleaned = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) {
    repaired.push_back(repair_text(text));
    cleaned.push_back(basic_clean(text));
  }
  Result result;
  result.set_strings("out.fixed", repaired);
  result.set_strings("out.basic_clean", cleaned);
  return result;
}

Result sentencepiece_tokenize(const Case& c) {
  SentencePieceOptions options;
  options.clean_as_trained = false;
  const auto tokenizer = load_sentencepiece(c.file(c.params.at("model")), options);
  const auto& specials = tokenizer->specials();
  const auto agrees = [&](const char* name, int64_t got) {
    const auto wanted = c.param<int64_t>(name, got);
    if (wanted != got) fail("the model's ", name, " should be ", wanted, ", is ", got);
  };
  agrees("vocab_size", tokenizer->vocab_size());
  agrees("bos_id", specials.bos);
  agrees("eos_id", specials.eos);
  agrees("pad_id", specials.pad);
  agrees("unk_id", specials.unk);
  Rows rows;
  auto pieces = nlohmann::json::array(), decoded = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) {
    rows.push_back(tokenizer->encode(text));
    pieces.push_back(join(tokenizer->pieces(text), "\x01"));
    decoded.push_back(tokenizer->decode(rows.back()));
  }
  Result result;
  result.set("out.ids", table(rows, 0, -1));
  result.set_strings("out.pieces", pieces);
  result.set_strings("out.decoded", decoded);
  return result;
}

Result siglip_tokenize(const Case& c) {
  SentencePieceOptions options;
  options.layout = SentencePieceLayout::siglip;
  options.clean = text_clean_named(c.param<std::string>("clean", "canonicalize"));
  options.pad_id = c.param<int64_t>("pad_id", -1);
  const auto tokenizer = load_sentencepiece(c.file(c.params.at("model")), options);
  const auto eos = c.param<int64_t>("eos_id", tokenizer->specials().eos);
  if (eos != tokenizer->specials().eos) fail("the model's eos_id should be ", eos, ", is ", tokenizer->specials().eos);
  const auto context = c.param<int64_t>("context_length", 64);
  Rows rows;
  auto canonical = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) {
    rows.push_back(tokenizer->encode_padded(text, context));
    canonical.push_back(tokenizer->clean(text));
  }
  Result result;
  result.set("out.ids", table(rows, context, tokenizer->specials().pad));
  result.set_strings("out.canonical", canonical);
  return result;
}

std::shared_ptr<const Tokenizer> bert_of(const Case& c) {
  BertTokenizerOptions options;
  const auto specials = c.param<std::string>("special_tokens", "cls");
  if (specials != "cls" && specials != "cls_sep") fail("special_tokens is cls or cls_sep, not '", specials, "'");
  options.layout = specials == "cls" ? BertLayout::cls : BertLayout::cls_sep;
  return make_bert_tokenizer(read_bert_vocabulary(c.vocab()), options);
}

Result bert_tokenize(const Case& c) {
  const auto tokenizer = bert_of(c);
  const auto most = c.param<int64_t>("max_length", 0);
  Rows rows, masks;
  auto tokens = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) {
    const auto ids = tokenizer->encode(text);
    rows.push_back(tokenizer->with_specials(ids, most > 0 ? most : static_cast<int64_t>(ids.size()) + 2));
    masks.emplace_back(rows.back().size(), 1);
    tokens.push_back(join(tokenizer->pieces(text), " "));
  }
  const int64_t width = c.param("pad_to_max", false) ? most : 0;
  Result result;
  result.set("out.input_ids", table(rows, width, tokenizer->specials().pad));
  result.set("out.attention_mask", table(masks, width, 0));
  result.set_strings("out.tokens", tokens);
  return result;
}

Result bert_decode(const Case& c) {
  const auto tokenizer = bert_of(c);
  const Tensor ids = c.in("ids").contiguous();
  auto texts = nlohmann::json::array(), captions = nlohmann::json::array();
  for (int64_t row = 0; row < ids.size(0); ++row) {
    const int64_t* first = ids.const_data_ptr<int64_t>() + row * ids.size(1);
    const int64_t count = c.has_in("lengths") ? c.in("lengths")[row].item<int64_t>() : ids.size(1);
    texts.push_back(tokenizer->decode({first, first + count}));
    captions.push_back(without_bert_specials(texts.back()));
  }
  Result result;
  result.set_strings("out.texts", texts);
  result.set_strings("out.captions", captions);
  return result;
}

Result ofa_tokenize(const Case& c) {
  const auto tokenizer = load_ofa_tokenizer(c.vocab());
  const bool use_bpe = c.param("use_bpe", true);
  std::vector<int64_t> all, lengths;
  auto decoded = nlohmann::json::array();
  for (const auto& text : c.in_strings("texts")) {
    const auto ids = use_bpe ? tokenizer->encode(text) : tokenizer->encode_symbols(text);
    lengths.push_back(static_cast<int64_t>(ids.size()));
    all.insert(all.end(), ids.begin(), ids.end());
    decoded.push_back(tokenizer->decode(ids));
  }
  Result result;
  result.set("out.ids", at::tensor(all, at::kLong));
  result.set("out.lengths", at::tensor(lengths, at::kLong));
  result.set_strings("out.decoded", decoded);
  return result;
}

Result coop_tokenize(const Case& c) {
  const auto vocab = c.params.contains("vocab") ? c.vocab() : c.root / "vocab" / "clip" / "bpe_simple_vocab_16e6.txt.gz";
  const auto tokenizer = make_clip_tokenizer(read_clip_merges(vocab));
  CoopPromptOptions options;
  options.n_ctx = c.param("n_ctx", options.n_ctx);
  options.ctx_init = c.param<std::string>("ctx_init", "");
  options.context_length = c.param("context_length", options.context_length);
  const CoopPrompts prompts = make_coop_prompts(*tokenizer, c.in_strings("classnames"), options);
  Result result;
  result.set("out.tokenized_prompts", table(prompts.ids, options.context_length, 0));
  result.set("out.name_lens", at::tensor(prompts.name_lengths, at::kLong));
  result.set("out.n_ctx", static_cast<double>(prompts.n_ctx));
  return result;
}

}  // namespace text_operations

void add_text_operations(Operations& operations) {
  operations["clip.tokenize"] = text_operations::clip_tokenize;
  operations["hf_clip.tokenize"] = text_operations::hf_clip_tokenize;
  operations["clip.clean"] = text_operations::clip_clean;
  operations["sentencepiece.tokenize"] = text_operations::sentencepiece_tokenize;
  operations["siglip.tokenize"] = text_operations::siglip_tokenize;
  operations["bert.tokenize"] = text_operations::bert_tokenize;
  operations["bert.decode"] = text_operations::bert_decode;
  operations["ofa.tokenize"] = text_operations::ofa_tokenize;
  operations["prompt.coop_tokenize"] = text_operations::coop_tokenize;
}

}  // namespace vlm::golden
