#include <gtest/gtest.h>

#include "error_of.h"
#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/data/import_questions.h"
#include "vlm/data/import_svg.h"
#include "vlm/data/import_text.h"

namespace vlm {

namespace import_text_test {

SvgMetadata titled(const std::string& title) {
  SvgMetadata metadata;
  metadata.title = title;
  return metadata;
}

std::string name_of(const std::string& stem, const std::string& title) {
  const PictureText text = openclipart_text(stem, titled(title));
  return text.skipped.empty() ? text.captions.at(0) : "skipped: " + text.skipped;
}

std::string message_of(const std::string& xml) {
  return testing::error_of([&] { expand_xml_entities(xml); });
}

}  // namespace import_text_test

TEST(CleanTitle, SeparatesWordsAndDropsTrailingNumbers) {
  EXPECT_EQ(clean_title("  big_red\n house "), "big red house");
  EXPECT_EQ(clean_title("redHouse"), "red House");
  EXPECT_EQ(clean_title("House 12"), "House");
  EXPECT_EQ(clean_title("House #2"), "House");
  EXPECT_EQ(clean_title("house01"), "house");
  EXPECT_EQ(clean_title("- House - 3"), "House");
  EXPECT_EQ(clean_title("A1 2"), "A1 2") << "without a word the number is all there is";
  EXPECT_EQ(clean_title("4 cats"), "4 cats");
  EXPECT_EQ(clean_title(" -- "), "");
  EXPECT_EQ(clean_title(""), "");
}

TEST(FileNameWords, KeepOnlyPartsThatSaySomething) {
  EXPECT_EQ(file_name_words("animals/giraffe_ganson01"), "giraffe ganson");
  EXPECT_EQ(file_name_words("a/redCar-2.x_bw"), "red car");
  EXPECT_EQ(file_name_words("x/aiga_svg_12"), "");
}

TEST(HasWord, NeedsThreeLettersInARow) {
  EXPECT_TRUE(has_word("12 cat"));
  EXPECT_FALSE(has_word("ab cd 12"));
  EXPECT_FALSE(has_word("äöü"));
}

TEST(CleanKeywords, AreLoweredUniqueAndTelling) {
  EXPECT_EQ(clean_keywords({" Red_Car", "red car", "clip_art", "HASH(0x1)", "0xabcdef", "ab", "Theme", "tree", ""}),
            (std::vector<std::string>{"red car", "tree"}));
}

TEST(OpenclipartText, UsesTheTitleUnlessItNamesASeries) {
  using import_text_test::name_of;
  EXPECT_EQ(name_of("animals/x_frog", "Green Frog 2"), "Green Frog");
  EXPECT_EQ(name_of("animals/x_frog", "Clipart by Ann Other - Green Frog"), "Green Frog");
  EXPECT_EQ(name_of("animals/x_frog", "Clipart by Nicu Buculei - Green Frog"), "frog");
  EXPECT_EQ(name_of("animals/x_frog", "Gramastar"), "frog");
  EXPECT_EQ(name_of("animals/x_frog", "mail me@there"), "frog");
  EXPECT_EQ(name_of("animals/x_frog", "see http://there"), "frog");
  EXPECT_EQ(name_of("animals/x_frog", "ab 12"), "frog");
  EXPECT_EQ(name_of("maps/castle", "Old Castle - RPG map elements"), "Old Castle");
  EXPECT_EQ(name_of("animals/x_1", "12"), "skipped: no_words");
  EXPECT_EQ(openclipart_text("animals/frog", import_text_test::titled("")).origin, "file");
  EXPECT_EQ(openclipart_text("animals/frog", import_text_test::titled("A frog")).origin, "title");
}

TEST(OpenclipartText, SaysWhatTheFolderTells) {
  using import_text_test::name_of;
  EXPECT_EQ(name_of("signs_and_symbols/flags/fr", "France"), "flag of France");
  EXPECT_EQ(name_of("signs_and_symbols/flags/fr", "French Flag"), "French Flag");
  EXPECT_EQ(name_of("signs_and_symbols/flags/semaphore/alpha", "Alpha"), "Alpha");
  EXPECT_EQ(name_of("computer/icons/mail", "Mail"), "Mail icon");
  EXPECT_EQ(name_of("transportation/roadsigns/stop", "Stop"), "Stop road sign");
  EXPECT_EQ(name_of("transportation/aiga-symbols/bus", "Bus"), "Bus symbol");
  EXPECT_EQ(name_of("computer/icons/aiga_bus", "Bus icon"), "Bus icon symbol") << "the icon rule does not hold, the next one does";
}

TEST(OpenclipartText, NamesPlayingCardsByRule) {
  using import_text_test::name_of;
  EXPECT_EQ(name_of("recreation/games/cards/white/white_c_a", "Card"), "the ace of clubs, a playing card");
  EXPECT_EQ(name_of("recreation/games/cards/simple/simple_h_10", "x"), "the ten of hearts, a playing card");
  EXPECT_EQ(name_of("recreation/games/cards/simple/simple_jk_b", "x"), "a joker, a playing card");
  EXPECT_FALSE(card_name("recreation/games/cards/as_coeur"));
  EXPECT_FALSE(card_name("recreation/games/cards/cardbacks/back_c_a"));
  EXPECT_EQ(card_name("recreation/games/cards/bordered/bordered_s_q")->group, "s_q");
}

TEST(OpenclipartText, AddsKeywordsAndADescription) {
  SvgMetadata metadata = import_text_test::titled("Red Cat");
  metadata.keywords = {"cat", "animal", "pet", "one1aaa", "two2aaa", "thr3aaa", "fou4aaa", "fiv5aaa"};
  metadata.description = " a cat that\nsleeps ";
  const PictureText text = openclipart_text("animals/cat", metadata);
  EXPECT_EQ(text.captions, (std::vector<std::string>{"Red Cat", "Red Cat, animal, pet, one1aaa, two2aaa, thr3aaa, fou4aaa",
                                                     "a cat that sleeps"}));
  for (const char* useless : {"two words", "write to a@b or so", "see http://x or so", "HASH(0x1) or so", "RED CAT"}) {
    metadata.description = useless;
    EXPECT_EQ(openclipart_text("animals/cat", metadata).captions.size(), 2u) << useless;
  }
}

TEST(OpenclipartText, LeavesOutOtherLanguagesUnlessAsked) {
  SvgMetadata metadata = import_text_test::titled("Castello");
  for (const char* language : {"it", "FR", "es-ES"}) {
    metadata.language = language;
    EXPECT_EQ(openclipart_text("a/b_castle", metadata).skipped, "not_english") << language;
  }
  EXPECT_EQ(openclipart_text("a/b_castle", metadata, {true}).skipped, "");
  for (const char* language : {"", "en", "EN", "English", "all", "N/A"}) {
    metadata.language = language;
    EXPECT_EQ(openclipart_text("a/b_castle", metadata).skipped, "") << language;
  }
  EXPECT_EQ(openclipart_text("a/carte_Architetto_01", metadata).skipped, "not_english");
}

TEST(TuxpaintText, TakesTheFirstLineAndKeepsTranslations) {
  const PictureText text = tuxpaint_text("\xEF\xBB\xBF" "A  big\tbird.\r\nde.utf8=Ein Vogel.\r\npt_BR.utf8= Um p\xC3\xA1ssaro \n"
                                         "ca@valencia.utf8=x\nnonsense\nfour.utf8=y\nfr.utf8=\n");
  EXPECT_EQ(text.captions, (std::vector<std::string>{"A big bird"}));
  EXPECT_EQ(text.origin, "title");
  EXPECT_EQ(text.translations, (std::map<std::string, std::string>{{"ca@valencia", "x"}, {"de", "Ein Vogel."}, {"pt_BR", "Um p\xC3\xA1ssaro"}}));
  EXPECT_EQ(tuxpaint_text("Wait...").captions.at(0), "Wait...");
}

TEST(TuxpaintText, SaysWhyThereIsNone) {
  EXPECT_EQ(tuxpaint_text("").skipped, "no_text");
  EXPECT_EQ(tuxpaint_text(" \nde.utf8=Vogel\n").skipped, "no_text");
  EXPECT_EQ(tuxpaint_text(".").skipped, "no_text");
  EXPECT_EQ(tuxpaint_text("de.utf8=Vogel\n").skipped, "no_text");
  EXPECT_EQ(tuxpaint_text("A bird\nde.utf8=\xFF\n").skipped, "not_utf8");
}

TEST(StarPoints, AreReadFromTheNameAlone) {
  EXPECT_EQ(star_points("shapes/stars/star_17pt5step"), 17);
  EXPECT_EQ(star_points("shapes/stars/star_17pt5step_x"), 0);
  EXPECT_EQ(star_points("shapes/stars/star"), 0);
  EXPECT_EQ(star_text(17).captions.at(0), "a star with 17 points");
}

TEST(PictureSplit, KeepsSeriesAndCardsTogether) {
  const auto split = [](const char* stem) { return picture_split(PictureSource::openclipart, stem); };
  EXPECT_EQ(split("animals/mammals/cow"), "val");
  EXPECT_EQ(split("animals/mammals/Cow_-.12"), "val");
  EXPECT_EQ(split("animals/mammals/cat"), "train");
  for (const char* stem : {"recreation/games/cards/white/white_jk_b", "recreation/games/cards/ornamental/ornamental_jk_b"}) EXPECT_EQ(split(stem), "val");
  EXPECT_EQ(picture_split(PictureSource::tuxpaint, "a"), "test");
}

TEST(PictureKey, IsFnv1aOfSourceAndStem) {
  uint64_t number = 0;
  EXPECT_EQ(picture_key(PictureSource::tuxpaint, "animals/birds/parrot", &number), "tuxpaint_0c5df72a9bdf98cc");
  EXPECT_EQ(number, 0x0c5df72a9bdf98ccull);
  EXPECT_EQ(question_id(number, 3), 6650354683);
}

TEST(PictureClass, IsThatOfTheLongestFolder) {
  const auto clipart = [](const char* stem) { return picture_class(PictureSource::openclipart, stem); };
  EXPECT_EQ(clipart("people/joe"), "person");
  EXPECT_EQ(clipart("people/smilies/joe"), "face");
  EXPECT_EQ(clipart("peoples/joe"), "");
  EXPECT_EQ(clipart("signs_and_symbols/flags/semaphore/a"), "");
  EXPECT_EQ(clipart("signs_and_symbols/money"), "money");
  EXPECT_EQ(clipart("tools/toys/car"), "toy");
  EXPECT_EQ(picture_class(PictureSource::tuxpaint, "symbols/alphabets/asl/a"), "hand sign");
  EXPECT_EQ(picture_class(PictureSource::tuxpaint, "vehicles/ship/x"), "boat");
  EXPECT_EQ(picture_classes(PictureSource::openclipart).size(), 50u);
  EXPECT_EQ(picture_classes(PictureSource::tuxpaint).size(), 30u);
}

TEST(PictureQuestions, AskWhatThePictureAnswers) {
  const std::vector<std::string> classes = {"bird", "boat", "cat"};
  PictureText text;
  text.origin = "title";
  text.captions = {"An old-fashioned Cat"};
  auto questions = picture_questions("k4", 7, text, "bird", classes);  // FNV-1a of "k4|yn" is odd
  ASSERT_EQ(questions.size(), 3u);
  EXPECT_EQ(questions[0].answer, "bird");
  EXPECT_EQ(questions[1].question, "is this a picture of the kind \"bird\"?");
  EXPECT_EQ(questions[1].answer, "yes");
  EXPECT_EQ(questions[2].answer, "old-fashioned cat");
  EXPECT_EQ(questions[2].id, 72);
  questions = picture_questions("k3", 7, text, "bird", classes);  // even, and (h >> 8) mod 2 is 1
  EXPECT_EQ(questions[1].question, "is this a picture of the kind \"cat\"?");
  EXPECT_EQ(questions[1].answer, "no");
  text.origin = "file";
  EXPECT_TRUE(picture_questions("k1", 7, text, "", classes).empty());
  text.origin = "rule", text.suit = "clubs", text.rank = "ace", text.points = 5;
  questions = picture_questions("k1", 7, text, "", classes);
  ASSERT_EQ(questions.size(), 3u);
  EXPECT_EQ(questions[0].answer + " " + questions[1].answer + " " + questions[2].answer, "clubs ace 5");
}

TEST(AnswerFromName, IsShortAndPlain) {
  EXPECT_EQ(answer_from_name("Some bananas"), "bananas");
  EXPECT_EQ(answer_from_name("The a team"), "a team");
  EXPECT_EQ(answer_from_name("a cat on a"), "cat on a");
  EXPECT_EQ(answer_from_name("one two three four"), "");
  EXPECT_EQ(answer_from_name("Caf\xC3\xA9"), "");
  EXPECT_EQ(answer_from_name("cat 2"), "");
}

TEST(XmlEntities, AreExpandedWhereTheyCount) {
  EXPECT_EQ(expand_xml_entities("<?xml version='1.0'?><!DOCTYPE a PUBLIC \"-//x\" \"y>z\" [<!-- > ] --><!ELEMENT a (b)>"
                                "<!ENTITY who \"B&#111;b\"><!ENTITY hello 'Hi &who;'><!ENTITY who \"late\">]>"
                                "<a x=\"&who;\">&hello; &amp; &#65;<!-- &who; &x --><![CDATA[&who; & ]]></a>"),
            "<?xml version='1.0'?><a x=\"Bob\">Hi Bob &amp; &#65;<!-- &who; &x --><![CDATA[&who; & ]]></a>");
  EXPECT_EQ(expand_xml_entities("<!DOCTYPE a [<!ENTITY out SYSTEM \"file:///etc/passwd\"><!ENTITY % p \"x\">%p;]><a>&out;</a>"), "<a></a>");
}

TEST(XmlEntities, CannotBeBombs) {
  std::string bomb = "<!DOCTYPE a [<!ENTITY e0 \"0123456789\">";
  for (int i = 1; i < 12; ++i) {
    bomb += "<!ENTITY e" + std::to_string(i) + " \"";
    for (int k = 0; k < 10; ++k) bomb += "&e" + std::to_string(i - 1) + ";";
    bomb += "\">";
  }
  EXPECT_NE(import_text_test::message_of(bomb + "]><a>&e11;</a>").find("more than"), std::string::npos);
  bomb.replace(bomb.find("0123456789"), 10, "");
  EXPECT_NE(import_text_test::message_of(bomb + "]><a>&e11;</a>").find("more than a million"), std::string::npos);
  EXPECT_NE(import_text_test::message_of("<!DOCTYPE a [<!ENTITY e \"&e;\">]><a>&e;</a>").find("deep"), std::string::npos);
  EXPECT_NE(import_text_test::message_of("<a>&nobody;</a>").find("'nobody' is not declared"), std::string::npos);
  EXPECT_NE(import_text_test::message_of("<!DOCTYPE a [<!ENTITY e \"x\">").find("never closed"), std::string::npos);
}

TEST(SvgMetadata, GoesByNamespacesNotPrefixes) {
  const auto metadata = read_svg_metadata(
      "<!DOCTYPE svg [<!ENTITY dc \"http://purl.org/dc/elements/1.1/\">]>"
      "<svg><q:Work xmlns:d=\"&dc;\" xmlns:q=\"urn:q\" xmlns:r=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">"
      "<title>no</title><d:title>A <b>red</b> <![CDATA[<cat>]]></d:title><d:creator><d:title>Ann</d:title></d:creator>"
      "<d:language>en</d:language><r:Bag><r:li>cat</r:li><li>no</li><r:li/></r:Bag></q:Work><Work xmlns:d=\"&dc;\"><d:title>late</d:title></Work></svg>");
  ASSERT_TRUE(metadata);
  EXPECT_EQ(metadata->title, "A red <cat>");
  EXPECT_EQ(metadata->language, "en");
  EXPECT_EQ(metadata->description, "");
  EXPECT_EQ(metadata->keywords, (std::vector<std::string>{"cat", ""}));
  EXPECT_FALSE(read_svg_metadata("<svg/>"));
  EXPECT_THROW(read_svg_metadata("<svg><a></svg>"), Error);
  EXPECT_THROW(read_svg_metadata(""), Error);
}

}  // namespace vlm
