#include <gtest/gtest.h>

#include <chrono>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/text/html.h"
#include "vlm/text/text_cleaning.h"
#include "vlm/text/text_repair.h"
#include "vlm/text/unicode.h"

namespace vlm {

TEST(HtmlUnescape, ReplacesNamesWithAndWithoutSemicolon) {
  EXPECT_EQ(html_unescape("&lt;&gt;&amp;&quot;"), "<>&\"");
  EXPECT_EQ(html_unescape("&copy 2024 &ampx &notit; &notin;"), "© 2024 &x ¬it; ∉");
  EXPECT_EQ(html_unescape("&CounterClockwiseContourIntegral;"), "∳");
  EXPECT_EQ(html_unescape("&NotEqualTilde;"), "≂̸");
  EXPECT_EQ(html_unescape("&nosuchname; & &; &#; &#x; &"), "&nosuchname; & &; &#; &#x; &");
}

TEST(HtmlUnescape, FollowsTheRulesForNumbers) {
  EXPECT_EQ(html_unescape("&#65;&#x42;&#X43&#68"), "ABCD");
  EXPECT_EQ(html_unescape("&#128;&#0;&#xD800;&#x110000;&#99999999999999999999;"), "€\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(html_unescape("a&#1;b&#xFFFE;c&#x7F;d"), "abcd");
  EXPECT_EQ(html_unescape("&#13;"), "\r");
}

TEST(HtmlUnescape, DoesNotLookAtWhatAppears) { EXPECT_EQ(html_unescape("&amp;lt;"), "&lt;"); }

TEST(RepairText, LeavesEntitiesAloneFromTheFirstLineWithATagOn) {
  EXPECT_EQ(repair_text("&eacute;\n<b>&eacute;\n&eacute;"), "é\n<b>&eacute;\n&eacute;");
  EXPECT_EQ(repair_text("&lt;b&gt; &amp;amp;"), "<b> &");
}

TEST(RepairText, PeelsDeeplyNestedEntitiesInLinearTime) {
  std::string text = "&";
  for (int i = 0; i < 100000; ++i) text += "amp;";
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(repair_text(text + "lt;"), "<");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  EXPECT_EQ(repair_text("&#38;#38;AMP;&ampamp; &amp;nosuch;"), "&&ampamp; &nosuch;");
}

TEST(CleanText, TakesAnyBytesAndGivesValidText) {
  SplitMix64 random(5);
  const std::string_view parts[] = {"&",     "amp;",     "#x",           "41",       ";",
                                    "\x1b[", "\xE2\x80", "\xCC\x81",     "\xF0\x9F", "\xEF\xBC",
                                    "<",     "\r",       "\xED\xA0\x80", "a",        "\xCE\xA3"};
  for (int trial = 0; trial < 20000; ++trial) {
    std::string text;
    for (uint64_t n = random.below(12); n > 0; --n) {
      if (random.chance(0.5)) {
        text += static_cast<char>(random.below(256));
      } else {
        text += parts[random.below(std::size(parts))];
      }
    }
    const std::string valid = replace_malformed_utf8(text);
    EXPECT_TRUE(valid_utf8(valid));
    for (const char* name : {"none", "lower_only", "squash_lower", "whitespace", "lower", "canonicalize", "punctuation"}) {
      EXPECT_TRUE(valid_utf8(clean_text(valid, text_clean_named(name))));
      clean_text(text, text_clean_named(name));
    }
    EXPECT_EQ(repair_text(repair_text(text)), repair_text(text));
    EXPECT_EQ(nfc(nfc(text)), nfc(text));
    EXPECT_EQ(squash(text), squash(strip(text)));
  }
}

TEST(RepairText, KnowsEntitiesThatAreShouted) {
  EXPECT_EQ(repair_text("&EACUTE;&NTILDE; &SZLIG;"), "ÉÑ SS");
  EXPECT_EQ(repair_text("&Eacute; &eAcute;"), "É &eAcute;");
  EXPECT_EQ(repair_text("&GTRSIM;"), "&GTRSIM;");
}

TEST(RepairText, PlainsQuotesLigaturesWidthsAndControls) {
  EXPECT_EQ(repair_text("“a” ‘b’ ﬁ Ａ\u3000ŉ"), "\"a\" 'b' fi A 'n");
  EXPECT_EQ(repair_text("a\x07\x1b[31mb\x1b[0m\uFEFF"), "ab");
  EXPECT_EQ(repair_text("\x1b[;٣mx \x1b[3 y \x1b[m"), "x [3 y ");
  EXPECT_EQ(repair_text("a\r\nb\rc\u2028d"), "a\nb\nc\nd");
  EXPECT_EQ(repair_text("\u0085\u0093x\u0094"), "…\"x\"");
  EXPECT_EQ(repair_text("e\u0301 \u200B – «»"), "é \u200B – «»");
}

TEST(CleanText, HasTheModesOfTheFamilies) {
  const char* text = " Tom_&amp;_JERRY\t\u201Cquote\u201D,  it's ";
  EXPECT_EQ(clean_text(text, TextClean::lower), "tom_&_jerry \"quote\", it's");
  EXPECT_EQ(clean_text(text, TextClean::whitespace), "Tom_&_JERRY \"quote\", it's");
  EXPECT_EQ(clean_text(text, TextClean::canonicalize), "tom jerry quote its");
  EXPECT_EQ(clean_text("Snake_Case  X", TextClean::punctuation), "snakecase x");
  EXPECT_EQ(clean_text(" A  B ", TextClean::squash_lower), "a b");
  EXPECT_EQ(clean_text(" A  B ", TextClean::lower_only), " a  b ");
  EXPECT_EQ(clean_text(" A ", TextClean::none), " A ");
}

TEST(CleanText, NamesRoundTripAndTheNearestIsSuggested) {
  for (const char* name : {"none", "lower_only", "squash_lower", "whitespace", "lower", "canonicalize", "punctuation"}) {
    EXPECT_EQ(to_string(text_clean_named(name)), name);
  }
  try {
    text_clean_named("canonicalise");
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("did you mean 'canonicalize'"), std::string::npos);
    EXPECT_EQ(error.code(), ExitCode::usage);
  }
}

}  // namespace vlm
