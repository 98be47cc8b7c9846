#include "vlm/eval/ptb_abbreviations.h"

#include <string_view>
#include <unordered_set>

#include "vlm/text/unicode.h"

namespace vlm::ptb {

namespace ptb_lists {

/// Lower case: any case. A leading capital: only with a capital there, the rest in any case.
constexpr const char* kFirstClass[] = {
    "jan",  "feb",  "mar",  "apr",  "jun",  "jul",  "aug",  "sep",  "sept", "oct",  "nov",  "dec",  "mon",   "tue",   "tues",    "wed",
    "thu",  "thurs", "fri", "ala",  "ariz", "calif", "colo", "conn", "ct",  "dak",  "fla",  "ga",   "ind",   "kan",   "kans",    "ky",
    "md",   "mich", "minn", "mo",   "mont", "neb",  "nev",  "okla", "penn", "tenn", "va",   "vt",   "wis",   "wisc",  "wyo",     "Az",
    "Ark",  "Del",  "Ill",  "La",   "Mass", "Miss", "Ore",  "Pa",   "Tex",  "Wash", "inc",  "co",   "cos",   "corp",  "ltd",     "plc",
    "rt",   "bancorp", "bhd", "assn", "univ", "intl", "sys", "pty", "tel",  "est",  "ext",  "sq",   "jr",    "sr",    "bros",    "ed.d",
    "ph.d", "blvd", "rd",   "esq",  "etc",  "al",   "seq",  "bldg"};

constexpr const char* kSecondClass[] = {
    "mr",   "mrs",  "Ms",   "Miss", "dr",   "drs",   "prof", "profs", "sen",  "sens",  "rep",  "reps",  "atty",  "attys", "lt",   "col",
    "gen",  "messrs", "gov", "govs", "adm", "rev",   "maj",  "sgt",   "cpl",  "pvt",   "capt", "st",    "ste",   "ave",   "pres", "lieut",
    "hon",  "brig", "cmdr", "comdr", "pfc", "spc",   "supt", "supts", "det",  "mt",    "ft",   "adj",   "adv",   "asst",  "assoc", "ens",
    "insp", "mlle", "mme",  "msgr", "sfc",  "vs",    "alex", "wm",    "jos",  "cie",   "a.k.a", "cf",   "treas", "ph",    "invt", "elec",
    "natl", "mfg",  "mtg",  "dept"};

constexpr const char* kBeforeNumber[] = {"ca.", "fig.", "figs.", "prop.", "no.", "nos.", "art.", "bldg.", "pp.", "op."};

char32_t low(char32_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/// The length of `entry` where it stands at `at`, else 0.
size_t matched(const Text& text, size_t at, std::string_view entry) {
  for (size_t i = 0; i < entry.size(); ++i) {
    const auto wanted = static_cast<char32_t>(entry[i]);
    const bool exact = wanted >= 'A' && wanted <= 'Z';
    if ((exact ? text[at + i] : low(text[at + i])) != wanted) return 0;
  }
  return entry.size();
}

template <class List>
std::vector<size_t> all_matched(const Text& text, size_t at, const List& list) {
  std::vector<size_t> lengths;
  if (text[at] >= 0x80) return lengths;
  for (const char* entry : list) {
    if (low(static_cast<unsigned char>(entry[0])) != low(text[at])) continue;
    if (const size_t length = matched(text, at, entry)) lengths.push_back(length);
  }
  return lengths;
}

}  // namespace ptb_lists

std::vector<size_t> first_class_abbreviations(const Text& text, size_t at) { return ptb_lists::all_matched(text, at, ptb_lists::kFirstClass); }
std::vector<size_t> second_class_abbreviations(const Text& text, size_t at) { return ptb_lists::all_matched(text, at, ptb_lists::kSecondClass); }

size_t before_number_abbreviation(const Text& text, size_t at) {
  for (const char* entry : ptb_lists::kBeforeNumber) {
    if (const size_t length = ptb_lists::matched(text, at, entry)) return length;
  }
  return 0;
}

bool is_sentence_starter(const std::u32string& word) {
  static const std::unordered_set<std::u32string> starters = {
      U"About", U"According", U"Additionally", U"After", U"An",    U"A",    U"As",    U"At",   U"But",  U"Earlier", U"He",   U"Her",
      U"Here",  U"However",   U"If",           U"In",    U"It",    U"Last", U"Many",  U"More", U"Mr.",  U"Ms.",     U"Now",  U"Once",
      U"One",   U"Other",     U"Our",          U"She",   U"Since", U"So",   U"Some",  U"Such", U"That", U"The",     U"Their", U"Then",
      U"There", U"These",     U"They",         U"This",  U"We",    U"When", U"While", U"What", U"Yet",  U"You"};
  return starters.count(word) > 0;
}

bool is_file_extension(const std::u32string& word) {
  static const std::unordered_set<std::string> extensions = {"bmp", "gif", "gz", "htm", "html", "jar", "java", "jpeg", "jpg", "mov", "mp3", "pdf",
                                                             "php", "pl",  "png", "ppt", "ps", "py", "sql", "tar", "txt", "wav", "xml", "zip",
                                                             "bat", "c",   "class", "cgi", "cpp", "dll", "doc", "docx", "exe", "h", "x"};
  return word.size() <= 5 && extensions.count(lower(encode_utf8(word))) > 0;
}

}  // namespace vlm::ptb
