#include "vlm/eval/ptb_rules.h"

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <vector>

#include "vlm/eval/ptb_abbreviations.h"
#include "vlm/text/unicode.h"

namespace vlm::ptb {

constexpr size_t kNo = static_cast<size_t>(-1);

// ---- classes of characters ----

bool is_space(char32_t c) { return c != 0 && is_white_space(c); }
bool is_capital(char32_t c) { return c >= 'A' && c <= 'Z'; }
bool is_ascii_letter(char32_t c) { return is_capital(c) || (c >= 'a' && c <= 'z'); }
bool is_ascii_digit(char32_t c) { return c >= '0' && c <= '9'; }
bool is_ascii_alnum(char32_t c) { return is_ascii_letter(c) || is_ascii_digit(c); }
bool is_word_letter(char32_t c) {
  if (c < 0x80) return is_ascii_letter(c);
  return is_letter(c) || is_mark(c) || c == 0xAD;
}
bool is_digit(char32_t c) { return c < 0x80 ? is_ascii_digit(c) : is_decimal_digit(c); }
bool is_alnum(char32_t c) { return is_word_letter(c) || is_digit(c); }
bool is_apostrophe(char32_t c) { return c == '\'' || c == 0x2019 || c == 0x92; }
bool is_apostrophe_like(char32_t c) { return is_apostrophe(c) || c == '`' || c == 0x2018 || c == 0x201B || c == 0x91; }
bool is_hyphen(char32_t c) { return c == '-' || c == '_' || c == 0x58A || c == 0x2010 || c == 0x2011; }
bool is_one_of(char32_t c, std::string_view set) { return c != 0 && c < 0x80 && set.find(static_cast<char>(c)) != set.npos; }
char32_t low(char32_t c) { return is_capital(c) ? c + 32 : c; }

/// Characters of addresses: all but white space and some marks.
bool is_address(char32_t c, std::string_view excluded) { return c != 0 && !is_space(c) && !is_one_of(c, excluded); }
constexpr std::string_view kNotInUrl = "\"<>|(){}";

// ---- pieces of rules: where a match that starts at `at` ends, kNo if there is none ----

/// An ASCII literal in lower case, matched in any case; "'" stands for any apostrophe unless `plain`.
size_t literal(const Text& text, size_t at, std::string_view wanted, bool plain = false) {
  for (const char c : wanted) {
    const bool matches = c == '\'' && !plain ? is_apostrophe(text[at]) : low(text[at]) == static_cast<char32_t>(c);
    if (!matches) return kNo;
    ++at;
  }
  return at;
}

template <class Is>
size_t run(const Text& text, size_t at, Is is) {
  while (is(text[at])) ++at;
  return at;
}

/// A letter, letters and digits, then any number of: one of . ! ? directly followed by a letter and letters and digits.
size_t word(const Text& text, size_t at) {
  if (!is_word_letter(text[at])) return kNo;
  at = run(text, at, is_alnum);
  while (is_one_of(text[at], ".!?") && is_word_letter(text[at + 1])) at = run(text, at + 1, is_alnum);
  return at;
}

/// One of m s d re ve ll.
size_t clitic(const Text& text, size_t at) {
  for (const auto form : {"re", "ve", "ll", "m", "s", "d"}) {
    if (const size_t end = literal(text, at, form); end != kNo) return end;
  }
  return kNo;
}

/// Letters with a dot between each two.
size_t dotted_letters(const Text& text, size_t at) {
  if (!is_ascii_letter(text[at])) return kNo;
  ++at;
  while (text[at] == '.' && is_ascii_letter(text[at + 1])) at += 2;
  return at;
}

size_t tag_name(const Text& text, size_t at) {
  if (!is_ascii_letter(text[at])) return kNo;
  return run(text, at, [](char32_t c) { return is_ascii_alnum(c) || is_one_of(c, "_:.-"); });
}

size_t tag(const Text& text, size_t at) {
  if (text[at] != '<' || !text.tag_end_ahead(at)) return kNo;
  const auto close = [&](size_t place) { return text[place] == '>' ? place + 1 : kNo; };
  if (is_one_of(text[at + 1], "!?")) {
    if (!is_ascii_letter(text[at + 2]) && text[at + 2] != '-') return kNo;
    return close(run(text, at + 2, [](char32_t c) { return c != 0 && c != '>' && c != '\n'; }));
  }
  const bool closing = text[at + 1] == '/';
  size_t end = tag_name(text, at + 1 + closing);
  if (end == kNo) return kNo;
  if (closing) return close(run(text, end, is_space));
  for (;;) {
    const size_t name = run(text, end, is_space);
    if (name == end) break;
    const size_t name_end = tag_name(text, name);
    if (name_end == kNo) break;
    end = name_end;
    const size_t equals = run(text, end, is_space);
    if (text[equals] != '=') continue;
    const size_t quote = run(text, equals + 1, is_space);
    if (!is_one_of(text[quote], "\"'")) return kNo;
    const size_t value_end = run(text, quote + 1, [](char32_t c) { return c != 0 && c != '"' && c != '\'' && c != '\n'; });
    if (!is_one_of(text[value_end], "\"'")) return kNo;
    end = value_end + 1;
  }
  end = run(text, end, is_space);
  if (text[end] == '/') end = run(text, end + 1, is_space);
  return close(end);
}

/// Two or more characters of an address that do not end in punctuation; the last one that will do.
size_t address_rest(const Text& text, size_t at, std::string_view excluded, std::string_view not_last) {
  size_t end = run(text, at, [&](char32_t c) { return is_address(c, excluded); });
  while (end > at && is_one_of(text[end - 1], not_last)) --end;
  return end >= at + 2 ? end : kNo;
}

size_t web_path(const Text& text, size_t at) {
  if (text[at] != '/') return at;
  const size_t end = address_rest(text, at + 1, "\"<>|()", ".!?,-(){}");
  return end == kNo ? at : end;
}

/// www.parts.tld/path, or parts.com/path.
size_t web_address(const Text& text, size_t at) {
  const auto longest = [&](size_t place, auto is_part, auto domain) {
    size_t best = kNo;
    for (;;) {
      const size_t part = run(text, place, is_part);
      if (part == place || text[part] != '.') return best;
      place = part + 1;
      for (const size_t end : domain(place)) {
        const size_t whole = web_path(text, end);
        if (best == kNo || whole > best) best = whole;
      }
    }
  };
  size_t best = kNo;
  if (const size_t www = literal(text, at, "www."); www != kNo) {
    best = longest(
        www, [](char32_t c) { return is_address(c, "\"<>|.!?(){},"); },
        [&](size_t place) {
          std::vector<size_t> ends;
          const size_t letters = std::min(run(text, place, is_ascii_letter), place + 4);
          for (size_t end = place + 2; end <= letters; ++end) ends.push_back(end);
          return ends;
        });
  }
  const auto is_plain_part = [](char32_t c) { return !(c >= 0x2C && c <= 0x5F) && is_address(c, "\"`'<>|.!?(){},$"); };
  const size_t plain = longest(at, is_plain_part, [&](size_t place) {
    std::vector<size_t> ends;
    for (const auto name : {"com", "net", "org", "edu"}) {
      if (const size_t end = literal(text, place, name); end != kNo) ends.push_back(end);
    }
    return ends;
  });
  if (best == kNo) return plain;
  return plain == kNo ? best : std::max(best, plain);
}

size_t email(const Text& text, size_t at) {
  if (text[at] == '<') ++at;
  if (!is_ascii_alnum(text[at]) || !text.at_sign_ahead(at)) return kNo;
  const auto is_part = [](char32_t c) { return is_address(c, kNotInUrl); };
  const size_t end = run(text, at, is_part);
  for (size_t sign = end; sign-- > at + 1;) {
    if (text[sign] != '@' || !is_part(text[sign + 1]) || text[sign + 1] == '.') continue;
    size_t domain = sign + 1;
    while (is_part(text[domain]) && (text[domain] != '.' || (is_part(text[domain + 1]) && text[domain + 1] != '.'))) ++domain;
    return text[domain] == '>' ? domain + 1 : domain;
  }
  return kNo;
}

size_t number(const Text& text, size_t at) {
  if (is_one_of(text[at], "+-")) ++at;
  size_t end = run(text, at, is_digit);
  while (is_one_of(text[end], ".:,") && is_digit(text[end + 1])) end = run(text, end + 1, is_digit);
  return end > at ? end : kNo;
}

/// `least` to `most` digits, greedily; kNo if there are fewer.
size_t digits(const Text& text, size_t at, size_t least, size_t most, bool ascii = false) {
  size_t end = at;
  while (end < at + most && (ascii ? is_ascii_digit(text[end]) : is_digit(text[end]))) ++end;
  return end >= at + least ? end : kNo;
}

size_t date(const Text& text, size_t at) {
  size_t end = digits(text, at, 1, 2);
  if (end == kNo || !is_one_of(text[end], "-/")) return kNo;
  end = digits(text, end + 1, 1, 2);
  if (end == kNo || !is_one_of(text[end], "-/")) return kNo;
  return digits(text, end + 1, 2, 4);
}

size_t slash(const Text& text, size_t at) {
  if (text[at] == '/') return at + 1;
  return text[at] == '\\' && text[at + 1] == '/' ? at + 2 : kNo;
}

size_t fraction(const Text& text, size_t at) {
  const auto plain = [&](size_t place) {
    const size_t above = digits(text, place, 1, 4);
    const size_t line = above == kNo ? kNo : slash(text, above);
    return line == kNo ? kNo : digits(text, line, 1, 4);
  };
  const size_t whole = digits(text, at, 1, 4);
  if (whole != kNo && is_one_of(text[whole], "- ")) {
    if (const size_t end = plain(whole + 1); end != kNo) return end;
  }
  return plain(at);
}

/// Up to three parts joined by slashes, each letters and digits with up to two "-letters".
size_t slashed(const Text& text, size_t at) {
  size_t best = kNo;
  for (int part = 0; part < 3; ++part) {
    size_t end = run(text, at, is_ascii_alnum);
    if (end == at) return best;
    for (int i = 0; i < 2 && text[end] == '-' && is_ascii_letter(text[end + 1]); ++i) end = run(text, end + 1, is_ascii_letter);
    best = end;
    at = slash(text, end);
    if (at == kNo) return best;
  }
  return best;
}

/// All places where a telephone number may end; its parts overlap, so they are followed side by side.
size_t telephone(const Text& text, size_t at) {
  using Places = std::vector<size_t>;
  const auto some_digits = [&](const Places& from, size_t least, size_t most) {
    Places out;
    for (const size_t place : from) {
      for (size_t count = 1; count <= most && is_ascii_digit(text[place + count - 1]); ++count) {
        if (count >= least) out.push_back(place + count);
      }
    }
    return out;
  };
  const auto is_separator = [](char32_t c) { return c == '-' || c == ' ' || c == 0xA0; };
  const auto one = [&](const Places& from, auto is, bool optional) {
    Places out;
    for (const size_t place : from) {
      if (is(text[place])) out.push_back(place + 1);
      if (optional) out.push_back(place);
    }
    return out;
  };
  const auto joined = [](Places a, const Places& b) {
    a.insert(a.end(), b.begin(), b.end());
    return a;
  };
  const auto is_dot = [](char32_t c) { return c == '.'; };
  Places start = {at};
  if (text[at] == '+') start = joined(start, {at + 1});
  if (text[at] == '+' && text[at + 1] == '+') start.push_back(at + 2);
  Places head;
  if (text[at] == '(') {
    for (const size_t place : some_digits({at + 1}, 2, 3)) {
      if (text[place] == ')') head.push_back(place + 1);
    }
    head = one(head, [](char32_t c) { return c == ' ' || c == 0xA0; }, true);
  } else {
    const Places country = joined(start, one(some_digits(start, 2, 4), is_separator, false));
    head = one(some_digits(country, 2, 4), is_separator, false);
  }
  Places ends = some_digits(one(some_digits(head, 3, 4), is_separator, true), 3, 5);
  const Places country = joined(start, one(some_digits(start, 2, 4), is_dot, false));
  const Places area = one(some_digits(country, 2, 4), is_dot, false);
  ends = joined(ends, some_digits(one(some_digits(area, 3, 4), is_dot, false), 3, 5));
  return ends.empty() ? kNo : *std::max_element(ends.begin(), ends.end());
}

/// A smiley; the character behind it, neither letter nor digit, is not part of what is returned.
size_t smiley(const Text& text, size_t at) {
  const auto from_eyes = [&](size_t place) {
    if (!is_one_of(text[place], ":;=")) return kNo;
    for (const size_t nose : {size_t(1), size_t(0)}) {
      if (nose && !is_one_of(text[place + 1], "-o*'")) continue;
      const size_t mouth = place + 1 + nose;
      if (is_one_of(text[mouth], "()DPdpO\\{@|[]") && text[mouth + 1] != 0 && !is_ascii_alnum(text[mouth + 1])) return mouth + 1;
    }
    return kNo;
  };
  return from_eyes(is_one_of(text[at], "<>") ? at + 1 : at);
}

size_t eyes(const Text& text, size_t at) {
  constexpr std::string_view kEyes = "-^x=~<>'";
  const auto is_eye = [&](char32_t c) { return is_one_of(c, kEyes); };
  if (is_eye(text[at]) && text[at + 1] == '_' && is_eye(text[at + 2])) return at + 3;
  if (text[at] != '(' || !is_eye(text[at + 1])) return kNo;
  if (is_one_of(text[at + 2], "_.") && is_eye(text[at + 3]) && text[at + 4] == ')') return at + 5;
  if (text[at + 1] != '-' && text[at + 2] == '-' && text[at + 3] != '-' && (is_eye(text[at + 3]) || text[at + 3] == '`') && text[at + 4] == ')') {
    return at + 5;
  }
  return is_eye(text[at + 2]) && text[at + 3] == ')' ? at + 4 : kNo;
}

size_t dots(const Text& text, size_t at) {
  size_t end = std::min(run(text, at, [](char32_t c) { return c == '.'; }), at + 5);
  size_t best = end >= at + 3 ? end : kNo;
  end = at + 1;
  for (size_t count = 1; count < 5 && text[end] == ' ' && text[end + 1] == '.'; ++count) {
    end += 2;
    if (count >= 2 && (best == kNo || end > best)) best = end;
  }
  return best;
}

/// Letters and digits with dots and commas, then parts behind hyphens: letters and digits, or dotted letters and a dot.
size_t hyphenated(const Text& text, size_t at) {
  if (!is_ascii_alnum(text[at])) return kNo;
  std::vector<size_t> open = {run(text, at, [](char32_t c) { return is_ascii_alnum(c) || c == '.' || c == ','; })};
  size_t best = kNo;
  while (!open.empty()) {
    const size_t hyphen = open.back();
    open.pop_back();
    if (text[hyphen] != '-') continue;
    const auto reach = [&](size_t end) {
      open.push_back(end);
      if (best == kNo || end > best) best = end;
    };
    const size_t plain = run(text, hyphen + 1, is_ascii_alnum);
    if (plain > hyphen + 1) reach(plain);
    const size_t letters = dotted_letters(text, hyphen + 1);
    if (letters != kNo && letters > hyphen + 2 && text[letters] == '.') reach(letters + 1);
  }
  return best;
}

/// Groups of letters and digits with hyphens between them.
size_t hyphenated_groups(const Text& text, size_t at) {
  const auto group = [&](size_t place) {
    const bool elided = is_one_of(low(text[place]), "dol") && is_apostrophe_like(text[place + 1]) && is_alnum(text[place + 2]) && is_alnum(text[place + 3]);
    const size_t begin = elided ? place + 2 : place;
    const size_t end = run(text, begin, is_alnum);
    return end > begin ? end : kNo;
  };
  size_t end = group(at);
  while (end != kNo && is_hyphen(text[end])) {
    const size_t next = group(end + 1);
    if (next == kNo) break;
    end = next;
  }
  return end;
}

size_t joined_capitals(const Text& text, size_t at) {
  size_t end = run(text, at, is_capital);
  size_t best = kNo;
  while (end > at && is_one_of(text[end], "+&") && is_capital(text[end + 1])) best = end = run(text, end + 1, is_capital);
  return best;
}

size_t file_name(const Text& text, size_t at) {
  size_t best = kNo;
  size_t end = run(text, at, is_alnum);
  while (end > at && text[end] == '.' && is_alnum(text[end + 1])) {
    const size_t begin = end + 1;
    end = run(text, begin, is_alnum);
    if ((is_space(text[end]) || is_one_of(text[end], ".?!,")) && is_file_extension(text.slice(begin, end - begin))) best = end;
  }
  return best;
}

/// Words that hold an apostrophe.
size_t apostrophe_word(const Text& text, size_t at) {
  size_t best = kNo;
  const auto reach = [&](size_t end) {
    if (end != kNo && (best == kNo || end > best)) best = end;
  };
  for (const auto form : {"'n'", "'n", "l'", "d'", "j'", "dunkin'", "somethin'", "ol'", "'em", "'till", "'til", "'cause", "cont'd.",
                          "cont'd", "c'est", "nor'easter", "c'mon", "e'er", "s'mores", "ev'ry", "li'l", "nat'l", "o'o"}) {
    reach(literal(text, at, form));
  }
  if (is_apostrophe(text[at]) && text[at + 1] >= '2' && text[at + 1] <= '9') reach(literal(text, at + 2, "0s"));
  const char32_t first = text[at];
  if (((is_capital(first) && first != 'I' && first != 'Y') || first == 'n') && is_apostrophe_like(text[at + 1]) &&
      is_word_letter(text[at + 2]) && is_word_letter(text[at + 3])) {
    reach(run(text, at + 2, is_word_letter));
  }
  const size_t letters = run(text, at, is_word_letter);
  if (letters >= at + 2 && is_one_of(low(text[letters - 1]), "aeiouy") && is_apostrophe_like(text[letters]) &&
      (is_one_of(text[letters + 1], "aeiou") || is_capital(text[letters + 1]))) {
    reach(run(text, letters + 1, is_word_letter));
  }
  return best;
}

bool is_other_symbol(char32_t c) {
  if (is_one_of(c, "+%&~^|\\")) return true;
  if (c >= 0xA7 && c <= 0xBF) return !is_letter(c);
  return c == 0xD7 || c == 0xF7 || (c >= 0x2016 && c <= 0x2044) || (c >= 0x2100 && c <= 0x218F) || (c >= 0x2190 && c <= 0x2BFF) ||
         (c >= 0x3001 && c <= 0x3020);
}

bool is_quote(char32_t c) {
  return c == '`' || c == 0x2018 || c == 0x201B || c == 0x2039 || c == 0x2019 || c == 0x203A || c == 0x201C || c == 0x201D || c == 0xAB ||
         c == 0xBB;
}

bool is_currency(char32_t c) { return (c >= 0xA2 && c <= 0xA5) || (c >= 0x20A0 && c <= 0x20CF) || c == 0x58F || c == 0x60B || c == 0xE3F || c == 0xFDFC; }

// ---- the table ----

class Matcher {
 public:
  Matcher(const Text& text, size_t at) : text_(text), at_(at) {}
  Match best() const { return best_; }

  /// A match that ends at `end` and has looked at everything before `seen`.
  void offer(size_t end, size_t seen, Gives gives) {
    if (end == kNo || end <= at_ || seen - at_ <= best_.length) return;
    best_ = {seen - at_, end - at_, gives};
  }
  void offer(size_t end, Gives gives = Gives::itself) { offer(end, end, gives); }
  /// The same, and with a final "." where one of , ; : follows.
  void offer_with_dot(size_t end) {
    offer(end);
    if (end != kNo && text_[end] == '.' && is_one_of(text_[end + 1], ",;:")) offer(end + 1, end + 2, Gives::itself);
  }

  void words();
  void addresses();
  void clitics_and_numbers();
  void abbreviations();
  void marks();

 private:
  char32_t operator[](size_t offset) const { return text_[at_ + offset]; }

  const Text& text_;
  size_t at_;
  Match best_;
};

void Matcher::words() {
  for (const auto form : {"c++", "c#", "f#"}) offer(literal(text_, at_, form));
  const std::pair<const char*, size_t> split_words[] = {{"cannot", 3}, {"'twas", 3}, {"'tis", 2},  {"gonna", 2},
                                                        {"gotta", 2},  {"lemme", 2}, {"gimme", 2}, {"wanna", 2}};
  for (const auto& [form, back] : split_words) {
    if (const size_t end = literal(text_, at_, form, true); end != kNo) offer(end - back, end, Gives::itself);
  }
  offer(tag(text_, at_));
  if ((*this)[0] >= 0x2013 && (*this)[0] <= 0x2015) offer(at_ + 1, Gives::dashes);
  const size_t word_end = word(text_, at_);
  if (word_end != kNo && is_apostrophe(text_[word_end])) {
    if (const size_t seen = clitic(text_, word_end + 1); seen != kNo) offer(word_end, seen, Gives::itself);
  }
  const size_t letters = run(text_, at_, is_ascii_letter);
  if (letters >= at_ + 2 && low(text_[letters - 1]) == 'n' && low(text_[letters - 2]) != 'n' && is_apostrophe_like(text_[letters]) &&
      low(text_[letters + 1]) == 't') {
    offer(letters - 1, letters + 2, Gives::itself);
  }
  offer(word_end);
  offer(apostrophe_word(text_, at_));
  if (low((*this)[0]) == 'y' && is_apostrophe((*this)[1]) && is_word_letter((*this)[2])) offer(at_ + 2, at_ + 3, Gives::itself);
}

void Matcher::addresses() {
  for (const auto scheme : {"http://", "https://"}) {
    if (const size_t begin = literal(text_, at_, scheme); begin != kNo) offer(address_rest(text_, begin, kNotInUrl, ".!?,-"));
  }
  offer(web_address(text_, at_));
  offer(email(text_, at_));
  if ((*this)[0] == '@' && (is_ascii_letter((*this)[1]) || (*this)[1] == '_')) {
    offer(run(text_, at_ + 1, [](char32_t c) { return is_ascii_alnum(c) || c == '_'; }));
  }
  if ((*this)[0] == '#' && is_word_letter((*this)[1])) offer(run(text_, at_ + 1, is_word_letter));
}

void Matcher::clitics_and_numbers() {
  if (is_apostrophe((*this)[0])) {
    for (const auto form : {"re", "ve", "ll", "m", "s", "d"}) {
      const size_t end = literal(text_, at_ + 1, form);
      if (end == kNo) continue;
      if (text_[end] != 0 && !is_ascii_letter(text_[end])) offer(end, end + 1, Gives::clitic);
      if ((*this)[0] != '\'') offer(end, Gives::clitic);
    }
  }
  if (low((*this)[0]) == 'n' && is_apostrophe_like((*this)[1]) && low((*this)[2]) == 't' && (*this)[3] != 0 && !is_ascii_letter((*this)[3])) {
    offer(at_ + 3, at_ + 4, Gives::clitic);
  }
  offer(date(text_, at_));
  offer(number(text_, at_));
  offer(fraction(text_, at_), Gives::brackets);
  if (((*this)[0] >= 0xBC && (*this)[0] <= 0xBE) || (*this)[0] == 0x2153 || (*this)[0] == 0x2154) offer(at_ + 1, Gives::fraction);
  offer(slashed(text_, at_));
  const size_t capitals = run(text_, at_, is_capital);
  if (text_[capitals] == '$') offer(capitals + 1);
  if ((*this)[0] == '#') offer(at_ + 1);
  if (is_currency((*this)[0])) offer(at_ + 1, Gives::currency);
}

void Matcher::abbreviations() {
  const size_t letters = dotted_letters(text_, at_);
  // White space, then a tag or a word that begins a sentence, then white space: here the dot ends the sentence, too.
  if (letters != kNo && text_[letters] == '.' && is_space(text_[letters + 1])) {
    const size_t next = run(text_, letters + 1, is_space);
    size_t seen = tag(text_, next);
    if (seen == kNo) {
      const size_t end = run(text_, next, [](char32_t c) { return is_ascii_letter(c) || c == '.'; });
      if (is_sentence_starter(text_.slice(next, end - next))) seen = end;
    }
    if (seen != kNo && is_space(text_[seen])) offer(letters + 1, seen + 1, letters == at_ + 1 ? Gives::letter_and_stop : Gives::two_tokens);
  }
  const size_t stem = at_ + before_number_abbreviation(text_, at_);
  if (stem > at_) {
    const size_t digit = text_[stem] == ' ' ? stem + 1 : stem;
    if (is_digit(text_[digit])) offer(stem, digit + 1, Gives::itself);
  }
  for (const size_t length : first_class_abbreviations(text_, at_)) {
    const size_t end = at_ + length;
    if (text_[end] != '.') continue;
    if (is_space(text_[end + 1])) {
      const size_t sentence_tag = tag(text_, end + 2);
      if (sentence_tag != kNo) offer(end + 1, sentence_tag, Gives::two_tokens);
      if (is_space(text_[end + 2]) || is_capital(text_[end + 2])) offer(end + 1, end + 3, Gives::two_tokens);
    }
    offer(end + 1, end + 3, Gives::itself);
  }
  for (const size_t length : second_class_abbreviations(text_, at_)) {
    const size_t end = at_ + length;
    if (text_[end] == '.') offer(end + 1);
    if (text_[end] == ' ') offer(end, end + 1, Gives::itself);
  }
  if (letters != kNo) {
    if (text_[letters] == '.') offer(letters + 1);
    if (is_space(text_[letters])) offer(letters, letters + 1, Gives::itself);
  }
  if (is_apostrophe((*this)[0]) && is_digit((*this)[1]) && is_digit((*this)[2]) && is_space((*this)[3])) offer(at_ + 3, at_ + 4, Gives::itself);
  if (const size_t end = file_name(text_, at_); end != kNo) offer(end, end + 1, Gives::itself);
  const size_t word_end = word(text_, at_);
  if (word_end != kNo && text_[word_end] == '.' && is_one_of(text_[word_end + 1], ",;:")) offer(word_end + 1, word_end + 2, Gives::itself);
  offer(telephone(text_, at_), Gives::brackets);
}

void Matcher::marks() {
  const char32_t c = (*this)[0];
  if (c == '"') {
    if (is_ascii_alnum((*this)[1]) || (*this)[1] == '$') offer(at_ + 1, at_ + 2, Gives::opening);
    offer(at_ + 1, Gives::closing);
  }
  if (c == '<' || c == '>') offer((*this)[1] == c ? at_ + 2 : at_ + 1);
  if (const size_t end = smiley(text_, at_); end != kNo) offer(end, end + 1, Gives::brackets);
  offer(eyes(text_, at_), Gives::brackets);
  if (is_one_of(c, "{}[]()")) offer(at_ + 1, Gives::bracket);
  const auto same = [&] { return run(text_, at_, [&](char32_t other) { return other == c; }); };
  if (c == '-') {
    const size_t end = same();
    offer(end, end == at_ + 3 || end == at_ + 4 ? Gives::dashes : Gives::itself);
  }
  if (c == '.') offer(dots(text_, at_), Gives::ellipsis);
  if (c == 0x2026) offer(at_ + 1, Gives::ellipsis);
  if (is_one_of(c, "@#_*")) offer(same());
  if (is_one_of(c, "?!")) offer(run(text_, at_, [](char32_t other) { return other == '?' || other == '!'; }));
  if (is_one_of(c, ",;:.=/") || c == 0xA1 || c == 0xBF) offer(at_ + 1);
  offer_with_dot(hyphenated(text_, at_));
  offer_with_dot(hyphenated_groups(text_, at_));
  offer_with_dot(joined_capitals(text_, at_));
  if (c == '\'') {
    if (is_ascii_letter((*this)[1]) && (*this)[2] != 0 && !is_space((*this)[2])) offer(at_ + 1, at_ + 3, Gives::backquote);
    offer((*this)[1] == '\'' ? at_ + 2 : at_ + 1);
  }
  if (is_quote(c)) offer(is_quote((*this)[1]) ? at_ + 2 : at_ + 1, Gives::quotes);
  if (c == '\\' && (*this)[1] == '*') offer(at_ + 2);
  if (is_other_symbol(c)) offer(at_ + 1);
  if (c == '&' && (*this)[1] == '#') {
    const size_t end = run(text_, at_ + 2, is_ascii_digit);
    if (end > at_ + 2 && text_[end] == ';') offer(end + 1);
  }
}

Text::Text(std::u32string caption) : text_(std::move(caption)) {
  for (char32_t& c : text_) {
    if ((c >= 0x0A && c <= 0x0D) || c == 0x85 || c == 0x2028 || c == 0x2029) c = ' ';
    if (c == 0) c = 0xFFFD;
  }
  size_ = text_.size();
  last_tag_end_ = text_.rfind(U'>') == std::u32string::npos ? 0 : text_.rfind(U'>') + 1;
  text_ += U"\na";
}

bool Text::at_sign_ahead(size_t at) const {
  if (at >= searched_from_ && at < searched_until_) return false;
  size_t end = at;
  while (end < size_ && !is_space(text_[end])) {
    if (text_[end] == '@') return true;
    ++end;
  }
  searched_from_ = at;
  searched_until_ = end;
  return false;
}

Match match_at(const Text& text, size_t at) {
  Matcher matcher(text, at);
  matcher.words();
  matcher.addresses();
  matcher.clitics_and_numbers();
  matcher.abbreviations();
  matcher.marks();
  const Match best = matcher.best();
  return best.consumed > 0 ? best : Match{1, 1, Gives::nothing};
}

}  // namespace vlm::ptb
