#include "vlm/infer/explain_texts.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bicubic2d.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/infer/grad_cam.h"
#include "vlm/text/caption_cleaning.h"

namespace vlm {

namespace explained_texts {

/// A word, and the places of its ids.
struct Word {
  std::string text;
  std::vector<int64_t> places;
};

/// Pieces that go on with a word belong to it, specials to none: WordPiece marks those that go on ("##s"), SentencePiece those that begin.
std::vector<Word> words_of(const Tokenizer& tokenizer, const std::vector<int64_t>& ids) {
  constexpr std::string_view begins = "\xe2\x96\x81", goes_on = "##";
  std::vector<std::string> pieces;
  for (const int64_t id : ids) pieces.push_back(tokenizer.is_special(id) ? std::string() : tokenizer.id_to_piece(id));
  const bool marks_beginnings = std::any_of(pieces.begin(), pieces.end(), [&](const std::string& piece) { return starts_with(piece, begins); });
  std::vector<Word> out;
  for (size_t i = 0; i < pieces.size(); ++i) {
    std::string& piece = pieces[i];
    if (piece.empty()) continue;
    const bool marked = starts_with(piece, marks_beginnings ? begins : goes_on);
    if (marked) piece.erase(0, marks_beginnings ? begins.size() : goes_on.size());
    if (marked == marks_beginnings || out.empty()) out.emplace_back();
    out.back().text += piece;
    out.back().places.push_back(static_cast<int64_t>(i));
  }
  std::erase_if(out, [](const Word& word) { return word.text.empty(); });
  return out;
}

}  // namespace explained_texts

HeatPeak peak_of(const Tensor& map) {
  if (map.dim() != 2 || map.numel() == 0) fail("a map is [H, W], not ", map.sizes());
  const Tensor values = map.detach().to(at::kFloat).cpu().contiguous();
  const float* begin = values.const_data_ptr<float>();
  const int64_t best = std::max_element(begin, begin + values.numel()) - begin;
  return {best % values.size(1), best / values.size(1), static_cast<double>(begin[best])};
}

Tensor heat_on_picture(const Tensor& map, const PicturePlacement& placement, int64_t pixels_height, int64_t pixels_width) {
  const int64_t height = placement.picture.height, width = placement.picture.width;
  if (map.dim() != 2 || height < 1 || width < 1) fail("a map [s, s'] is put over a picture, not ", map.sizes(), " over ", width, " x ", height);
  const auto pixel = [](double x) { return static_cast<int64_t>(std::lround(x)); };
  const int64_t left = pixel(placement.left / placement.width_ratio), top = pixel(placement.top / placement.height_ratio);
  const std::array<int64_t, 2> seen{std::max<int64_t>(1, pixel(static_cast<double>(pixels_height) / placement.height_ratio)),
                                    std::max<int64_t>(1, pixel(static_cast<double>(pixels_width) / placement.width_ratio))};
  const Tensor large = at::upsample_bicubic2d(map.detach().to(at::kFloat).cpu().unsqueeze(0).unsqueeze(0), seen, /*align_corners=*/false)[0][0];
  const int64_t x0 = std::max<int64_t>(0, left), x1 = std::min(width, left + seen[1]), y0 = std::max<int64_t>(0, top), y1 = std::min(height, top + seen[0]);
  Tensor out = at::zeros({height, width});
  if (x0 < x1 && y0 < y1) out.slice(0, y0, y1).slice(1, x0, x1).copy_(large.slice(0, y0 - top, y1 - top).slice(1, x0 - left, x1 - left));
  return out;
}

bool explains(const TextPipeline& pipeline) { return shows_heat(pipeline.model()); }

void must_explain(const TextPipeline& pipeline) {
  must_show_heat(pipeline.model());
}

std::vector<ExplainedText> explain_texts(const TextPipeline& pipeline, const PictureBatch& batch, const std::vector<std::string>& texts, int64_t layer, bool with_words) {
  AttentionExplainable& model = must_show_heat(pipeline.model());
  if (texts.size() != batch.placements.size()) fail("there are ", texts.size(), " texts for ", batch.placements.size(), " pictures");
  const Tokenizer& tokenizer = pipeline.tokenizer();
  const int64_t longest = require<DualEncoder>(pipeline.model(), "show where words are", "it has no two towers").context_length();
  std::vector<std::string> cleaned;
  for (const auto& text : texts) cleaned.push_back(clean_caption(model.caption_rules(), text));
  const TextRows rows = special_rows(tokenizer, cleaned, longest);
  const Tensor heat = grad_cam_of_words(model, batch.pixels, rows.ids, rows.mask, layer).detach();  // [B, L, s, s]
  std::vector<ExplainedText> out;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    const auto on_picture = [&](const Tensor& map) { return heat_on_picture(map, batch.placements[i], batch.pixels.size(2), batch.pixels.size(3)); };
    ExplainedText& text = out.emplace_back();
    const auto ids = tokenizer.with_specials(tokenizer.encode(cleaned[i]), longest);
    // Padding, which depends on the other texts of the batch, would only make the whole map weaker.
    text.heat = on_picture(heat[row].slice(0, 0, static_cast<int64_t>(ids.size())).mean(0));
    if (!with_words) continue;
    for (const auto& word : explained_texts::words_of(tokenizer, ids)) {
      text.words.push_back({word.text, on_picture(heat[row].index_select(0, at::tensor(word.places, at::kLong)).mean(0))});
    }
  }
  return out;
}

}  // namespace vlm
