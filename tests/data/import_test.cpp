#include <gtest/gtest.h>

#include <cstdlib>

#include "data/picture_tree.h"
#include "error_of.h"
#include "vlm/data/import_pictures.h"
#include "vlm/data/import_pixels.h"
#include "vlm/data/import_text.h"

namespace vlm {

namespace import_test {

using testing_pictures::made_up_png;
using testing_pictures::made_up_svg;
using testing_pictures::put;
using testing_pictures::TemporaryFolder;
namespace fs = std::filesystem;

std::string reason_of(const std::string& png, const ImportLimits& limits = {}) {
  PixelBudget budget(1000);
  return prepare_picture(png, budget, limits).skipped;
}

/// One picture for every reason to skip one, and three that stay.
void make_openclipart(const TemporaryFolder& root) {
  const auto picture = [&](const std::string& stem, int seed, const std::string& svg, int height = 20, int width = 30) {
    put(root / ("png/" + stem + ".png"), made_up_png(height, width, seed));
    if (!svg.empty()) put(root / ("svg/" + stem + ".svg"), svg);
  };
  picture("animals/birds/owl_1", 1, made_up_svg("Wise Owl", "<rdf:li>night</rdf:li>", "an owl that sits"));
  picture("animals/birds/owl_2", 1, made_up_svg("Copy"));                     // duplicate
  picture("animals/birds/tall", 2, made_up_svg("Tall Bird"), 85, 20);         // aspect
  picture("animals/birds/tiny", 3, made_up_svg("Tiny Bird"), 15, 30);         // too_small
  picture("animals/birds/italian", 4, made_up_svg("Gufo", "", "", "it"));     // not_english
  picture("animals/birds/nodrawing", 5, "");                                  // no_svg
  picture("animals/birds/broken", 6, "<svg>");                                // bad_xml
  picture("animals/birds/latin", 6, made_up_svg("Caf\xE9 owl"));              // bad_xml: not UTF-8
  picture("animals/birds/silent", 7, "<svg/>");                               // no_metadata
  picture("animals/birds/12", 8, made_up_svg("12"));                          // no_words
  picture("special/examples/one", 9, made_up_svg("One Example"));             // excluded
  picture("shapes/stars/star_5pt2step", 10, made_up_svg("gramastar"));        // excluded, unless stars are wanted
  picture("recreation/games/cards/white/white_c_a", 11, made_up_svg("card"));
  picture("other/large", 12, made_up_svg("Large Thing"), 448, 600);
  put(root / "png/animals/birds/notpng.png", "GIF89a");                       // bad_image
  put(root / "svg/animals/birds/notpng.svg", made_up_svg("Not a picture"));
  Image blank(20, 20);
  put(root / "png/animals/birds/blank.png", encode_png(blank));
  put(root / "svg/animals/birds/blank.svg", made_up_svg("Nothing at all"));
  fs::create_symlink("owl_1.png", root / "png/animals/birds/owl_3.png");
}

ImportOptions options_for(PictureSource source, const fs::path& root, const fs::path& out) {
  ImportOptions options;
  options.source = source;
  options.root = root;
  options.out = out;
  options.threads = 2;
  return options;
}

std::string error_of(const ImportOptions& options) {
  return testing::error_of([&] { import_pictures(options); });
}

}  // namespace import_test

TEST(OverWhite, RoundsAsTheSpecificationDoes) {
  Image rgba(1, 4, 4);
  rgba.pixels = {0, 0, 0, 0, 10, 20, 30, 255, 0, 100, 255, 128, 7, 7, 7, 1};
  EXPECT_EQ(over_white(rgba).pixels, (std::vector<uint8_t>{255, 255, 255, 10, 20, 30, 127, 177, 255, 254, 254, 254}));
}

TEST(ShrinkShortSide, KeepsProportionsAndNeverEnlarges) {
  Image image = shrink_short_side(Image(300, 449), 224);
  EXPECT_EQ(image.height, 224);
  EXPECT_EQ(image.width, 335);
  image = shrink_short_side(Image(500, 250), 224);
  EXPECT_EQ(image.height, 448);
  image = shrink_short_side(Image(100, 900), 224);
  EXPECT_EQ(image.width, 900);
}

TEST(PreparePicture, JudgesByTheHeaderFirst) {
  using import_test::reason_of, import_test::made_up_png;
  ImportLimits few;
  few.most_pixels = 100;
  EXPECT_EQ(reason_of(made_up_png(10, 11, 1), few), "too_big") << "before too_small";
  EXPECT_EQ(reason_of(made_up_png(15, 100, 1)), "too_small") << "before aspect";
  EXPECT_EQ(reason_of(made_up_png(16, 65, 1)), "aspect");
  EXPECT_EQ(reason_of(made_up_png(16, 64, 1)), "");
  EXPECT_EQ(reason_of(made_up_png(20, 20, 1).substr(0, 60)), "bad_image");
  EXPECT_EQ(reason_of("nothing"), "bad_image");
  EXPECT_EQ(reason_of(encode_png(Image(20, 20, 4))), "blank") << "wholly transparent is white";
}

TEST(PixelDigest, TellsShapesAndPixelsApart) {
  Image a(2, 3), b(3, 2), c(2, 3);
  c.pixels.back() = 1;
  EXPECT_EQ(pixel_digest(a), pixel_digest(Image(2, 3)));
  EXPECT_NE(pixel_digest(a), pixel_digest(b));
  EXPECT_NE(pixel_digest(a), pixel_digest(c));
}

TEST(ImportOpenclipart, CountsEveryReason) {
  using namespace import_test;
  TemporaryFolder root, out;
  make_openclipart(root);
  const auto report = import_pictures(options_for(PictureSource::openclipart, root.path(), out.path()));
  const nlohmann::json skipped = report.manifest["skipped"];
  EXPECT_EQ(skipped, (nlohmann::json{{"symlink", 1}, {"excluded", 2}, {"duplicate", 1}, {"aspect", 1}, {"too_small", 1}, {"not_english", 1},
                                     {"no_svg", 1}, {"bad_xml", 2}, {"no_metadata", 1}, {"no_words", 1}, {"bad_image", 1}, {"blank", 1}}));
  EXPECT_EQ(report.manifest["looked_at"], 16);
  EXPECT_EQ(report.manifest["kept"], 3);
  EXPECT_EQ(report.manifest["origins"], (nlohmann::ordered_json{{"rule", 1}, {"title", 2}}));

  const auto members = testing_pictures::read_shards(out.path());
  const std::string key = "openclipart_" + picture_key(PictureSource::openclipart, "animals/birds/owl_1").substr(12);
  ASSERT_TRUE(members.count(key + ".txt"));
  EXPECT_EQ(members.at(key + ".txt"), "Wise Owl");
  EXPECT_EQ(members.at(key + ".cls"), "1");
  const auto json = nlohmann::json::parse(members.at(key + ".json"));
  EXPECT_EQ(json["captions"], (std::vector<std::string>{"Wise Owl", "Wise Owl, night", "an owl that sits"}));
  EXPECT_EQ(json["class"], "bird");
  EXPECT_EQ(json["questions"].size(), 3u);
  const Image large = decode_image(members.at(picture_key(PictureSource::openclipart, "other/large") + ".png"));
  EXPECT_EQ(large.height, 224);
  EXPECT_EQ(large.width, 300);

  int64_t rows = 0, shards = 0;
  for (const char* split : picture_splits) {
    for (const auto& row : testing_pictures::read_json(out / (std::string("captions_") + split + ".json"))) {
      EXPECT_TRUE(members.count(row["image"].get<std::string>()));
      ++rows;
    }
    for (const auto& row : testing_pictures::read_json(out / (std::string("vqa_") + split + ".json"))) EXPECT_EQ(row["answer"].size(), 10u);
  }
  const auto sizes = testing_pictures::read_json(out / "sizes.json");
  for (const auto& [name, count] : sizes.items()) shards += count.get<int64_t>();
  EXPECT_EQ(rows, 3);
  EXPECT_EQ(shards, 3);
}

TEST(ImportOpenclipart, LetsStarsAndOtherLanguagesInWhenAsked) {
  using namespace import_test;
  TemporaryFolder root, out;
  make_openclipart(root);
  auto options = options_for(PictureSource::openclipart, root.path(), out.path());
  options.with_stars = options.all_languages = true;
  EXPECT_EQ(import_pictures(options).manifest["kept"], 5);
  const auto members = testing_pictures::read_shards(out.path());
  const auto json = nlohmann::json::parse(members.at(picture_key(PictureSource::openclipart, "shapes/stars/star_5pt2step") + ".json"));
  EXPECT_EQ(json["captions"], (std::vector<std::string>{"a star with 5 points"}));
  EXPECT_EQ(json["questions"][0]["answer"], "5");
}

TEST(ImportOpenclipart, WritesTheSameBytesForAnyNumberOfThreads) {
  using namespace import_test;
  TemporaryFolder root, one, many;
  make_openclipart(root);
  auto options = options_for(PictureSource::openclipart, root.path(), one.path());
  options.threads = 1;
  import_pictures(options);
  options.threads = 5;
  options.out = many.path();
  import_pictures(options);
  EXPECT_EQ(testing_pictures::read_tree(one.path()), testing_pictures::read_tree(many.path()));
}

TEST(ImportTuxpaint, ReadsTextsAndCountsDrawingsWithoutPicture) {
  using namespace import_test;
  TemporaryFolder root, out;
  put(root / "animals/birds/owl.png", made_up_png(20, 20, 1));
  put(root / "animals/birds/owl.txt", "An owl.\nde.utf8=Eine Eule.\n");
  put(root / "animals/birds/owl.svg", "<svg/>");
  put(root / "animals/birds/wren.svg", "<svg/>");
  put(root / "animals/birds/mute.png", made_up_png(20, 20, 2));
  auto options = options_for(PictureSource::tuxpaint, root.path(), out.path());
  options.layout = PictureLayout::folder;
  const auto manifest = import_pictures(options).manifest;
  EXPECT_EQ(manifest["skipped"], (nlohmann::ordered_json{{"no_text", 1}, {"svg_only", 1}}));
  const std::string key = picture_key(PictureSource::tuxpaint, "animals/birds/owl");
  EXPECT_TRUE(fs::exists(out / ("images/" + key + ".png")));
  EXPECT_FALSE(fs::exists(out / "sizes.json"));
  const std::string split = picture_split(PictureSource::tuxpaint, "animals/birds/owl");
  const auto sample = nlohmann::json::parse(read_file(out / ("samples_" + split + ".jsonl")));
  EXPECT_EQ(sample["translations"]["de"], "Eine Eule.");
  EXPECT_EQ(sample["image"], key + ".png");
}

TEST(ImportPictures, LeavesAFinishedSetAndRefusesAnythingElse) {
  using namespace import_test;
  TemporaryFolder root, out;
  put(root / "owl.png", made_up_png(20, 20, 1));
  put(root / "owl.txt", "An owl.\n");
  auto options = options_for(PictureSource::tuxpaint, root.path(), out.path());
  EXPECT_FALSE(import_pictures(options).already_done);
  const auto before = testing_pictures::read_tree(out.path());
  EXPECT_TRUE(import_pictures(options).already_done);
  EXPECT_EQ(testing_pictures::read_tree(out.path()), before);
  options.layout = PictureLayout::folder;
  EXPECT_NE(error_of(options).find("--force"), std::string::npos);
  EXPECT_EQ(testing_pictures::read_tree(out.path()), before);
  options.force = true;
  EXPECT_EQ(error_of(options), "");
  EXPECT_FALSE(fs::exists(out / "train-000000.tar"));
  put(out / "thesis.tex", "precious");
  EXPECT_NE(error_of(options).find("thesis.tex"), std::string::npos) << "--force must not remove what is not a set's";
  EXPECT_TRUE(fs::exists(out / "manifest.json"));
}

TEST(ImportPictures, NameThePackageThatIsMissing) {
  using namespace import_test;
  TemporaryFolder root, out;
  EXPECT_NE(error_of(options_for(PictureSource::openclipart, root.path(), out.path())).find("apt install openclipart-png openclipart-svg"), std::string::npos);
  EXPECT_NE(error_of(options_for(PictureSource::tuxpaint, root / "none", out.path())).find("apt install tuxpaint-stamps-default"), std::string::npos);
  EXPECT_NE(error_of(options_for(PictureSource::tuxpaint, root.path(), out.path())).find("no PNG files"), std::string::npos);
  auto options = options_for(PictureSource::tuxpaint, root.path(), out.path());
  options.with_stars = true;
  EXPECT_NE(error_of(options).find("--with-stars"), std::string::npos);
}

/// With VLM_PICTURES_ROOT=/usr/share (or where the packages are unpacked) the counts of specs: real-data, section 5.
struct RealSet {
  PictureSource source;
  const char* folder;
  nlohmann::json skipped, origins, counts;  ///< counts: images, captions, labelled, questions of train, val and test
};

class RealPictures : public ::testing::TestWithParam<PictureSource> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(RealPictures);

namespace import_test {

RealSet real_set(PictureSource source) {
  if (source == PictureSource::tuxpaint) {
    return {source, "tuxpaint/stamps",
            {{"aspect", 4}, {"blank", 1}, {"duplicate", 1}, {"no_text", 11}, {"svg_only", 165}, {"too_small", 3}},
            {{"title", 776}},
            {{"train", {623, 623, 559, 1567}}, {"val", {75, 75, 67, 185}}, {"test", {78, 78, 71, 193}}}};
  }
  return {source, "openclipart",
          {{"aspect", 21}, {"blank", 5}, {"duplicate", 75}, {"excluded", 1388}, {"no_words", 84}, {"not_english", 244},
           {"symlink", 1221}, {"too_big", 15}, {"too_small", 10}},
          {{"title", 2679}, {"file", 2163}, {"rule", 216}},
          {{"train", {4100, 8297, 2178, 6207}}, {"val", {446, 907, 244, 683}}, {"test", {512, 1020, 274, 753}}}};
}

std::vector<PictureSource> real_sources() {
  const char* root = std::getenv("VLM_PICTURES_ROOT");
  std::vector<PictureSource> sources;
  for (const PictureSource source : {PictureSource::tuxpaint, PictureSource::openclipart}) {
    if (root && fs::is_directory(fs::path(root) / real_set(source).folder)) sources.push_back(source);
  }
  return sources;
}

}  // namespace import_test

TEST_P(RealPictures, GiveTheCountsOfTheSpecification) {
  using namespace import_test;
  const RealSet real = real_set(GetParam());
  TemporaryFolder out;
  auto options = options_for(real.source, fs::path(std::getenv("VLM_PICTURES_ROOT")) / real.folder, out.path());
  const nlohmann::json manifest = import_pictures(options).manifest;
  EXPECT_EQ(manifest["skipped"], real.skipped);
  EXPECT_EQ(manifest["origins"], real.origins);
  for (const char* split : picture_splits) {
    const auto& counts = manifest["counts"][split];
    EXPECT_EQ(nlohmann::json({counts["images"], counts["captions"], counts["labelled"], counts["questions"]}), real.counts[split]) << split;
  }
}

INSTANTIATE_TEST_SUITE_P(Debian, RealPictures, ::testing::ValuesIn(import_test::real_sources()),
                         [](const auto& info) { return std::string(source_name(info.param)); });

}  // namespace vlm
