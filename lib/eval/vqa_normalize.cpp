#include "vlm/eval/vqa_normalize.h"

#include <unordered_map>

#include "vlm/core/strings.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace vqa_words {

constexpr std::string_view kPunctuation = ";/[]\"{}()=+\\_-><@`,?!";

/// The benchmark passes a flag where the number of replacements belongs; the flag is worth 32.
constexpr int kMostDots = 32;

const std::unordered_map<std::string, std::string>& numbers() {
  static const std::unordered_map<std::string, std::string> table = {
      {"none", "0"}, {"zero", "0"}, {"one", "1"},   {"two", "2"},   {"three", "3"}, {"four", "4"},
      {"five", "5"}, {"six", "6"},  {"seven", "7"}, {"eight", "8"}, {"nine", "9"},  {"ten", "10"}};
  return table;
}

/// The benchmark's own table, without the rows whose capitals no lower-cased word can match.
const std::unordered_map<std::string, std::string>& contractions() {
  static const std::unordered_map<std::string, std::string> table = {
      {"'ow'sat", "'ow's'at"}, {"'ows'at", "'ow's'at"}, {"aint", "ain't"}, {"arent", "aren't"}, {"cant", "can't"},
      {"couldn'tve", "couldn't've"}, {"couldnt", "couldn't"}, {"couldnt've", "couldn't've"}, {"couldve", "could've"},
      {"didnt", "didn't"}, {"doesnt", "doesn't"}, {"dont", "don't"}, {"hadn'tve", "hadn't've"}, {"hadnt", "hadn't"},
      {"hadnt've", "hadn't've"}, {"hasnt", "hasn't"}, {"havent", "haven't"}, {"he'dve", "he'd've"}, {"hed", "he'd"},
      {"hed've", "he'd've"}, {"hes", "he's"}, {"howd", "how'd"}, {"howll", "how'll"}, {"hows", "how's"},
      {"isnt", "isn't"}, {"it'dve", "it'd've"}, {"itd", "it'd"}, {"itd've", "it'd've"}, {"itll", "it'll"},
      {"maam", "ma'am"}, {"mightn'tve", "mightn't've"}, {"mightnt", "mightn't"}, {"mightnt've", "mightn't've"},
      {"mightve", "might've"}, {"mustnt", "mustn't"}, {"mustve", "must've"}, {"neednt", "needn't"}, {"notve", "not've"},
      {"oclock", "o'clock"}, {"oughtnt", "oughtn't"}, {"ow's'at", "'ow's'at"}, {"shant", "shan't"},
      {"she'dve", "she'd've"}, {"shed've", "she'd've"}, {"shouldn'tve", "shouldn't've"}, {"shouldnt", "shouldn't"},
      {"shouldnt've", "shouldn't've"}, {"shouldve", "should've"}, {"somebody'd", "somebodyd"},
      {"somebody'dve", "somebody'd've"}, {"somebodyd've", "somebody'd've"}, {"somebodyll", "somebody'll"},
      {"somebodys", "somebody's"}, {"someone'dve", "someone'd've"}, {"someoned", "someone'd"},
      {"someoned've", "someone'd've"}, {"someonell", "someone'll"}, {"someones", "someone's"},
      {"something'dve", "something'd've"}, {"somethingd", "something'd"}, {"somethingd've", "something'd've"},
      {"somethingll", "something'll"}, {"thats", "that's"}, {"there'dve", "there'd've"}, {"thered", "there'd"},
      {"thered've", "there'd've"}, {"therere", "there're"}, {"theres", "there's"}, {"they'dve", "they'd've"},
      {"theyd", "they'd"}, {"theyd've", "they'd've"}, {"theyll", "they'll"}, {"theyre", "they're"}, {"theyve", "they've"},
      {"twas", "'twas"}, {"wasnt", "wasn't"}, {"we'dve", "we'd've"}, {"wed've", "we'd've"}, {"werent", "weren't"},
      {"weve", "we've"}, {"whatll", "what'll"}, {"whatre", "what're"}, {"whats", "what's"}, {"whatve", "what've"},
      {"whens", "when's"}, {"whered", "where'd"}, {"wheres", "where's"}, {"whereve", "where've"}, {"who'dve", "who'd've"},
      {"whod", "who'd"}, {"whod've", "who'd've"}, {"wholl", "who'll"}, {"whos", "who's"}, {"whove", "who've"},
      {"whyll", "why'll"}, {"whyre", "why're"}, {"whys", "why's"}, {"wont", "won't"}, {"wouldn'tve", "wouldn't've"},
      {"wouldnt", "wouldn't"}, {"wouldnt've", "wouldn't've"}, {"wouldve", "would've"}, {"y'all'dve", "y'all'd've"},
      {"y'alld've", "y'all'd've"}, {"y'allll", "y'all'll"}, {"yall", "y'all"}, {"yall'd've", "y'all'd've"},
      {"yall'll", "y'all'll"}, {"you'dve", "you'd've"}, {"youd", "you'd"}, {"youd've", "you'd've"}, {"youll", "you'll"},
      {"youre", "you're"}, {"youve", "you've"},
  };
  return table;
}

bool digit_at(std::string_view text, size_t at) {
  if (at >= text.size()) return false;
  return is_decimal_digit(next_code_point(text, at));
}

/// True if the character that ends before byte `end` is a digit.
bool digit_before(std::string_view text, size_t end) {
  if (end == 0) return false;
  size_t at = end - 1;
  while (at > 0 && end - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return is_decimal_digit(next_code_point(text, at));
}

bool has_digit_comma_digit(std::string_view text) {
  for (size_t comma = text.find(','); comma != std::string_view::npos; comma = text.find(',', comma + 1)) {
    if (digit_before(text, comma) && digit_at(text, comma + 1)) return true;
  }
  return false;
}

}  // namespace vqa_words

std::string vqa_without_punctuation(std::string_view text) {
  const bool thousands = vqa_words::has_digit_comma_digit(text);
  const auto goes = [&](char mark) {
    const char before[] = {' ', mark}, after[] = {mark, ' '};
    return thousands || text.find({before, 2}) != std::string_view::npos || text.find({after, 2}) != std::string_view::npos;
  };
  std::string spaced;
  for (const char c : text) {
    if (vqa_words::kPunctuation.find(c) == std::string_view::npos) {
      spaced += c;
    } else if (!goes(c)) {
      spaced += ' ';
    }
  }
  std::string out;
  int dots = 0;
  for (size_t at = 0; at < spaced.size(); ++at) {
    if (spaced[at] == '.' && dots < vqa_words::kMostDots && !vqa_words::digit_at(spaced, at + 1)) {
      ++dots;
    } else {
      out += spaced[at];
    }
  }
  return out;
}

std::string vqa_without_articles(std::string_view text) {
  std::vector<std::string> words;
  for (auto& word : split_white_space(lower(text))) {
    const auto number = vqa_words::numbers().find(word);
    if (number != vqa_words::numbers().end()) word = number->second;
    if (word == "a" || word == "an" || word == "the") continue;
    const auto contraction = vqa_words::contractions().find(word);
    words.push_back(contraction != vqa_words::contractions().end() ? contraction->second : word);
  }
  return join(words, " ");
}

std::string vqa_normalize(std::string_view text) { return vqa_without_articles(vqa_without_punctuation(text)); }

}  // namespace vlm
