#include "vlm/text/unicode.h"

#include <gtest/gtest.h>

namespace vlm {

TEST(Unicode, DecodesAndEncodesEveryCharacterToItself) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string bytes;
    append_utf8(bytes, c);
    size_t at = 0;
    ASSERT_EQ(next_code_point(bytes, at), c);
    ASSERT_EQ(at, bytes.size());
    ASSERT_TRUE(valid_utf8(bytes)) << std::hex << uint32_t(c);
  }
}

TEST(Unicode, KnowsMalformedBytes) {
  for (const char* bad : {"\x80", "a\xC0\xAF", "\xC1\xBF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xF5\x80\x80\x80", "\xC3", "caf\xE9", "\xE2\x82"}) {
    EXPECT_FALSE(valid_utf8(bad)) << bad;
  }
  EXPECT_TRUE(valid_utf8(""));
  EXPECT_TRUE(valid_utf8("caf\xC3\xA9 \xF0\x9F\x98\x80"));
}

TEST(Unicode, ReplacesEachMaximalPartOfAMalformedCharacterOnce) {
  EXPECT_EQ(replace_malformed_utf8("a\xE2\x82z"), "a\xEF\xBF\xBDz");
  EXPECT_EQ(replace_malformed_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(replace_malformed_utf8("\xF0\x9F\x98"), "\xEF\xBF\xBD");
  EXPECT_EQ(replace_malformed_utf8("\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Unicode, StripsAndSquashesAllWhiteSpaceButNotZeroWidthSpace) {
  EXPECT_EQ(strip("\xC2\xA0\x1C a b\xE3\x80\x80\n"), "a b");
  EXPECT_EQ(strip(" \t\n"), "");
  EXPECT_EQ(strip("\xE2\x80\x8B x"), "\xE2\x80\x8B x");
  EXPECT_EQ(squash("  a\t\r\n b\xE2\x80\x83\x1F"
                   "c\xC2\x85"),
            "a b c");
  EXPECT_EQ(squash("\xE2\x80\x8B x"), "\xE2\x80\x8B x");
  EXPECT_EQ(squash(""), "");
}

TEST(Unicode, StripKeepsMalformedBytesAtTheEnds) {
  EXPECT_EQ(strip(" \x80\xA0 "), "\x80\xA0");
  EXPECT_EQ(strip("\x85"), "\x85");
}

TEST(Unicode, LowerCasesSigmaByItsPlaceInTheWord) {
  EXPECT_EQ(lower("ΣΣ ΟΔΟΣ Σ"), "σς οδος σ");
  EXPECT_EQ(lower("ΑΣ'Β ΑΣ' Β"), "ασ'β ας' β");
  EXPECT_EQ(lower("AΣ\xCC\x81"
                  "1"),
            "aς\xCC\x81"
            "1");
  EXPECT_EQ(lower_each("ΣΣ"), "σσ");
}

TEST(Unicode, LowerCasesDottedI) {
  EXPECT_EQ(lower("İI"), "i\xCC\x87i");
  EXPECT_EQ(lower_each("İ"), "i\xCC\x87");
  EXPECT_EQ(lower_simple("İ"), "i");
  EXPECT_EQ(lower("KÖLN ẞ ǅ"), "köln ß ǆ");
}

TEST(Unicode, NormalFormsComposeAndFold) {
  EXPECT_EQ(nfc("e\xCC\x81"), "é");
  EXPECT_EQ(nfc("ﬁ"), "ﬁ");
  EXPECT_EQ(nfkc("ﬁ²"), "fi2");
  EXPECT_EQ(nfc(std::string("a\0b\xC3\xA9", 5)), std::string("a\0b\xC3\xA9", 5));
}

TEST(Unicode, TellsLettersFromNumbersFromMarks) {
  EXPECT_TRUE(is_letter(U'é'));
  EXPECT_TRUE(is_letter(U'の'));
  EXPECT_FALSE(is_letter(0x301));
  EXPECT_TRUE(is_number(U'²'));
  EXPECT_TRUE(is_number(U'Ⅳ'));
  EXPECT_FALSE(is_number(U'a'));
}

}  // namespace vlm
