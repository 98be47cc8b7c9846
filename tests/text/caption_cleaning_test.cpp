#include <gtest/gtest.h>

#include "vlm/text/caption_cleaning.h"

namespace vlm {

TEST(CaptionCleaning, CountsWordsAtSingleSpaces) {
  EXPECT_EQ(albef_question("a  b c", 3), "a  b");
  EXPECT_EQ(albef_caption("a b c d", 2), "a b");
  EXPECT_EQ(albef_caption("a b", 0), "a b");
  EXPECT_EQ(albef_caption("a b", 5), "a b");
  EXPECT_EQ(ofa_target_caption("One, two... three", 2), "One two");
}

TEST(CaptionCleaning, LeavesOneWhiteSpaceCharacterAndCollapsesTwo) {
  EXPECT_EQ(albef_caption("a\tb"), "a\tb");
  EXPECT_EQ(albef_caption("a\t\tb"), "a b");
  EXPECT_EQ(albef_caption("a\xc2\xa0\xe3\x80\x80 b"), "a b");
  EXPECT_EQ(ofa_caption("\xc2\xa0"
                        "a"),
            "\xc2\xa0"
            "a");
  EXPECT_EQ(albef_caption(" a \n\n"), "a");
  EXPECT_EQ(albef_question(" a? \n"), " a \n");
}

TEST(CaptionCleaning, LooksForPersonsAfterDashesBecameSpaces) {
  EXPECT_EQ(albef_caption("<person>-<person>/x"), "person person x");
  EXPECT_EQ(albef_caption("<per,son>"), "person");
  EXPECT_EQ(ofa_question("<person>"), "<person>");
  EXPECT_EQ(ofa_caption("..<PERSON>.."), "person..");
}

TEST(CaptionCleaning, LowersCharactersOneByOne) {
  EXPECT_EQ(albef_caption("\xc3\x84\xce\xa3"), "\xc3\xa4\xcf\x83");
  EXPECT_EQ(ofa_target_caption("\xc3\x84"), "\xc3\x84");
}

TEST(CaptionCleaning, MplugLowersWholeStringsWhereAlbefLowersLetters) {
  EXPECT_EQ(mplug_caption("A-B, c!"), albef_caption("A-B, c!"));
  EXPECT_EQ(mplug_question("  A - b? "), albef_question("  A - b? "));
  EXPECT_EQ(mplug_caption("\u039F\u03A3 \u03A3"), "\u03BF\u03C2 \u03C3");
  EXPECT_EQ(albef_caption("\u039F\u03A3 \u03A3"), "\u03BF\u03C3 \u03C3");
}

}  // namespace vlm
