#pragma once
/// Captions of imported pictures from what stands beside them (specs: real-data, section 3).

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/data/import_classes.h"
#include "vlm/data/import_svg.h"

namespace vlm {

/// What is known of a picture in words.
struct PictureText {
  std::string skipped;                ///< why the picture has no text ("no_text", "no_words" …); empty if it has one
  std::string origin;                 ///< where captions[0] comes from: "title", "file" or "rule"
  std::vector<std::string> captions;  ///< captions[0] is the name that evaluation uses
  std::map<std::string, std::string> translations;  ///< by language tag ("de", "pt_BR", "ca@valencia")
  std::string suit, rank;             ///< of a playing card: "clubs" …, "ace", "two" … "king"; empty for jokers
  int points = 0;                     ///< of a star polygon; 0 for all else
};

struct ClipartTextOptions {
  bool all_languages = false;  ///< keep pictures whose text is not English
};

/// True if three ASCII letters stand in a row somewhere.
bool has_word(std::string_view text);
/// A title made readable: `_` to space, "aB" to "a B", a trailing number removed, spaces and '-' stripped.
std::string clean_title(std::string_view title);
/// Words of the last part of a stem: "animals/giraffe_ganson01" gives "giraffe ganson".
std::string file_name_words(std::string_view stem);
/// Keywords squashed, in lower case, without repetitions and those that say nothing.
std::vector<std::string> clean_keywords(const std::vector<std::string>& keywords);

/// A playing card of openclipart by its file name. `group` names what its four drawings share: "c_10", "jk_b".
struct CardName {
  std::string suit, rank, group;  ///< suit and rank are empty for a joker
};
std::optional<CardName> card_name(std::string_view stem);
/// The number of points of `shapes/stars/star_<n>pt<k>step`; 0 for any other stem.
int star_points(std::string_view stem);

/// Text of a Tux Paint stamp from the content of its `.txt` file.
PictureText tuxpaint_text(std::string_view content);
/// Text of a clip art from its stem and what its SVG says.
PictureText openclipart_text(std::string_view stem, const SvgMetadata& metadata, const ClipartTextOptions& options = {});
/// Text of a star polygon: its number of points.
PictureText star_text(int points);

/// "train", "val" or "test": pictures of one numbered series, and the drawings of one playing card, share a split.
std::string picture_split(PictureSource source, std::string_view stem);
/// `<source>_` and 16 hexadecimal digits of a 64-bit number, which `number` gets.
std::string picture_key(PictureSource source, std::string_view stem, uint64_t* number = nullptr);

}  // namespace vlm
