#include "vlm/data/import_text.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace import_text {

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }
bool is_upper(char c) { return c >= 'A' && c <= 'Z'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Titles of a whole series or theme, which say nothing of one picture; in lower case.
bool is_series_title(const std::string& title) {
  static const std::set<std::string> titles = {
      "advertising", "aiga symbol signs", "australian maps", "blueberry - iconset", "boating rules illustration", "card",
      "chess pieces", "etiquette icons", "gold-theme", "gramastar", "homes clipart", "inservice presentation", "io",
      "lemon svg theme", "map symbols", "pc connectors", "plastik-icon-theme", "r16 sibmission", "road signs", "sallite",
      "simple arrows", "svg road signs", "various cliparts"};
  return titles.count(title) > 0;
}

std::string space_camel_case(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i && is_lower(text[i - 1]) && is_upper(text[i])) out += ' ';
    out += text[i];
  }
  return out;
}

std::string replaced(std::string_view text, char from, char to) {
  std::string out(text);
  std::replace(out.begin(), out.end(), from, to);
  return out;
}

std::string_view without_trailing(std::string_view text, std::string_view characters) {
  const size_t last = text.find_last_not_of(characters);
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// Without a leading "Clipart by <no hyphens> - " and one final remark that belongs to a series.
std::string_view without_series(std::string_view title) {
  constexpr std::string_view by = "Clipart by ";
  if (starts_with(title, by)) {
    const size_t hyphen = title.find('-', by.size());
    const bool spaced = hyphen != std::string_view::npos && hyphen > by.size() && title[hyphen - 1] == ' ' &&
                        hyphen + 1 < title.size() && title[hyphen + 1] == ' ';
    if (spaced) title.remove_prefix(hyphen + 2);
  }
  for (const std::string_view remark : {" - RPG map elements", " - body part", " - clothing"}) {
    if (ends_with(title, remark)) return title.substr(0, title.size() - remark.size());
  }
  return title;
}

/// What the folder tells beyond a name that does not say it.
std::string with_folder(std::string_view stem, const std::string& name) {
  const std::string lower = vlm::lower(name);
  const auto says = [&](std::string_view word) { return contains(lower, word); };
  if (starts_with(stem, "signs_and_symbols/flags/") && !contains(stem, "/semaphore/") && !says("flag")) return "flag of " + name;
  if (starts_with(stem, "computer/icons/") && !says("icon")) return name + " icon";
  if (starts_with(stem, "transportation/roadsigns/") && !says("sign")) return name + " road sign";
  if (contains(stem, "aiga") && !says("symbol")) return name + " symbol";
  return name;
}

bool is_english(std::string_view stem, std::string_view language) {
  if (contains(vlm::lower(stem), "_archit")) return false;
  const std::string lower = vlm::lower(language);
  return lower.empty() || starts_with(lower, "en") || starts_with(lower, "al") || starts_with(lower, "n/");
}

/// "de", "pt_BR", "ca@valencia", "sr@latin".
bool is_language_tag(std::string_view tag) {
  size_t letters = 0;
  while (letters < tag.size() && (is_lower(tag[letters]) || is_upper(tag[letters]))) ++letters;
  if (letters < 2 || letters > 3) return false;
  for (size_t at = letters; at < tag.size();) {
    if (tag[at] != '_' && tag[at] != '@') return false;
    const size_t begin = ++at;
    while (at < tag.size() && (is_lower(tag[at]) || is_upper(tag[at]))) ++at;
    if (at == begin) return false;
  }
  return true;
}

/// Words of a squashed text.
int64_t number_of_words(std::string_view text) { return text.empty() ? 0 : 1 + std::count(text.begin(), text.end(), ' '); }

PictureText skipped(const char* reason) {
  PictureText text;
  text.skipped = reason;
  return text;
}

}  // namespace import_text

bool has_word(std::string_view text) {
  int row = 0;
  for (const char c : text) {
    row = import_text::is_lower(c) || import_text::is_upper(c) ? row + 1 : 0;
    if (row == 3) return true;
  }
  return false;
}

std::string clean_title(std::string_view title) {
  using namespace import_text;
  const std::string spaced = space_camel_case(squash(replaced(title, '_', ' ')));
  std::string_view rest = spaced;
  if (has_word(rest) && is_digit(rest.back())) rest = without_trailing(without_trailing(rest, "0123456789"), " #");
  rest = without_trailing(rest, " -");
  const size_t first = rest.find_first_not_of(" -");
  return std::string(first == std::string_view::npos ? std::string_view() : rest.substr(first));
}

std::string file_name_words(std::string_view stem) {
  using namespace import_text;
  static const std::set<std::string> dropped = {"aiga", "bw", "bwh", "ell", "fs", "gnome", "inv", "mime", "svg"};
  std::string spaced = space_camel_case(stem.substr(stem.find_last_of('/') + 1));
  for (char& c : spaced) {
    if (c == '_' || c == '-' || c == '.') c = ' ';
  }
  std::vector<std::string> words;
  for (const std::string& part : split(spaced, " ")) {
    const std::string word = vlm::lower(without_trailing(part, "0123456789"));
    if (word.size() >= 2 && !dropped.count(word)) words.push_back(word);
  }
  return join(words, " ");
}

std::vector<std::string> clean_keywords(const std::vector<std::string>& keywords) {
  using namespace import_text;
  static const std::set<std::string> dropped = {"clip art", "clipart", "hash", "icons", "lemon", "lemon theme icon",
                                                "svg", "theme", "unsorted"};
  std::vector<std::string> out;
  for (const std::string& keyword : keywords) {
    const std::string word = vlm::lower(squash(replaced(keyword, '_', ' ')));
    if (!has_word(word) || starts_with(word, "hash") || starts_with(word, "0x") || dropped.count(word)) continue;
    if (std::find(out.begin(), out.end(), word) == out.end()) out.push_back(word);
  }
  return out;
}

std::optional<CardName> card_name(std::string_view stem) {
  constexpr std::string_view cards = "recreation/games/cards/";
  if (!starts_with(stem, cards)) return std::nullopt;
  const auto path = split(stem.substr(cards.size()), "/");
  if (path.size() != 2) return std::nullopt;
  const std::string& folder = path[0];
  if (folder != "bordered" && folder != "ornamental" && folder != "simple" && folder != "white") return std::nullopt;
  const auto parts = split(path[1], "_");
  const auto all = [](const std::string& part, auto test) { return !part.empty() && std::all_of(part.begin(), part.end(), test); };
  const auto is_letter = [](char c) { return import_text::is_lower(c) || import_text::is_upper(c); };
  const auto is_plain = [&](char c) { return is_letter(c) || import_text::is_digit(c); };
  if (parts.size() < 2 || parts.size() > 3 || !all(parts[0], is_letter) || !all(parts[1], is_plain)) return std::nullopt;
  if (parts.size() == 3 && !all(parts[2], is_plain)) return std::nullopt;

  static const std::map<std::string, std::string> suits = {{"c", "clubs"}, {"d", "diamonds"}, {"h", "hearts"}, {"s", "spades"}};
  static const std::map<std::string, std::string> ranks = {
      {"a", "ace"}, {"2", "two"}, {"3", "three"}, {"4", "four"}, {"5", "five"}, {"6", "six"}, {"7", "seven"},
      {"8", "eight"}, {"9", "nine"}, {"10", "ten"}, {"j", "jack"}, {"q", "queen"}, {"k", "king"}};
  CardName card;
  card.group = parts.size() == 3 ? parts[1] + "_" + parts[2] : parts[1];
  const auto suit = suits.find(parts[1]);
  const auto rank = parts.size() == 3 ? ranks.find(parts[2]) : ranks.end();
  if (suit != suits.end() && rank != ranks.end()) card.suit = suit->second, card.rank = rank->second;
  return card;
}

int star_points(std::string_view stem) {
  int points = 0, steps = 0, end = 0;
  const std::string text(stem);
  if (std::sscanf(text.c_str(), "shapes/stars/star_%4dpt%4dstep%n", &points, &steps, &end) != 2) return 0;
  return end == static_cast<int>(text.size()) && points > 0 ? points : 0;
}

PictureText tuxpaint_text(std::string_view content) {
  using namespace import_text;
  if (!valid_utf8(content)) return skipped("not_utf8");
  if (starts_with(content, "\xEF\xBB\xBF")) content.remove_prefix(3);
  std::vector<std::string> lines = split(content, "\n");
  std::string name = squash(lines[0]);
  if (ends_with(name, ".") && !ends_with(name, "..")) name.pop_back();
  name = squash(name);
  if (name.empty() || contains(name, ".utf8=")) return skipped("no_text");
  PictureText text;
  text.origin = "title";
  text.captions = {name};
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t mark = lines[i].find(".utf8=");
    if (mark == std::string::npos || !is_language_tag(lines[i].substr(0, mark))) continue;
    const std::string translation = squash(lines[i].substr(mark + 6));
    if (!translation.empty()) text.translations.emplace(lines[i].substr(0, mark), translation);
  }
  return text;
}

PictureText star_text(int points) {
  PictureText text;
  text.origin = "rule";
  text.captions = {"a star with " + std::to_string(points) + " points"};
  text.points = points;
  return text;
}

PictureText openclipart_text(std::string_view stem, const SvgMetadata& metadata, const ClipartTextOptions& options) {
  using namespace import_text;
  const std::string title = squash(metadata.title), description = squash(metadata.description);
  if (!options.all_languages && !is_english(stem, squash(metadata.language))) return skipped("not_english");

  PictureText text;
  std::string name;
  if (const auto card = card_name(stem)) {
    text.origin = "rule";
    text.suit = card->suit, text.rank = card->rank;
    name = card->suit.empty() ? "a joker, a playing card" : "the " + card->rank + " of " + card->suit + ", a playing card";
  } else {
    const std::string cleaned = clean_title(without_series(title)), lower = vlm::lower(cleaned);
    const std::string raw = vlm::lower(title);
    const bool says_nothing = lower.empty() || is_series_title(lower) || starts_with(raw, "clipart by nicu buculei - ") ||
                              starts_with(raw, "part of the flat icon collection") ||
                              starts_with(raw, "svg gradient collection") || contains(title, "@") || contains(title, "http") ||
                              !has_word(cleaned);
    text.origin = says_nothing ? "file" : "title";
    name = says_nothing ? file_name_words(stem) : cleaned;
    if (!has_word(name)) return skipped("no_words");
    name = with_folder(stem, name);
  }
  text.captions.push_back(name);

  const std::string lower = vlm::lower(name);
  std::vector<std::string> keywords;
  for (const std::string& keyword : clean_keywords(metadata.keywords)) {
    if (keywords.size() < 6 && !contains(lower, keyword)) keywords.push_back(keyword);
  }
  if (!keywords.empty()) text.captions.push_back(name + ", " + join(keywords, ", "));

  const int64_t words = number_of_words(description);
  const std::string lower_description = vlm::lower(description);
  const bool sound = words >= 3 && words <= 40 && !contains(description, "@") && !contains(description, "http") &&
                     !contains(description, "HASH(");
  if (sound && lower_description != lower && lower_description != vlm::lower(title)) text.captions.push_back(description);
  return text;
}

std::string picture_split(PictureSource source, std::string_view stem) {
  std::string group = std::string(source_name(source)) + "/";
  const auto card = source == PictureSource::openclipart ? card_name(stem) : std::nullopt;
  if (card) {
    group += "card/" + card->group;
  } else {
    group = vlm::lower(group + std::string(import_text::without_trailing(stem, "0123456789_-.")));
  }
  const uint64_t h = fnv1a64(group) % 100;
  return h < 80 ? "train" : h < 90 ? "val" : "test";
}

std::string picture_key(PictureSource source, std::string_view stem, uint64_t* number) {
  const uint64_t h = fnv1a64(concat(source_name(source), "/", stem));
  if (number) *number = h;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(h));
  return concat(source_name(source), "_", digits);
}

}  // namespace vlm
