#include <gtest/gtest.h>

#include "data/read_rows.h"

namespace vlm::test {

TEST(CocoCaptions, JudgesAnnotationsInOrderAndKeepsTheirImages) {
  const TemporaryFolder folder;
  const Rows rows = read_rows(file_with(folder, "c.json", R"({"annotations": [
      {"image_id": 2, "caption": " b\n"}, {"image_id": 9, "caption": 3}, {"image_id": 1, "caption": 3}, {"image_id": 1, "caption": " "},
      {"image_id": 1, "caption": "a"}, {"image_id": "1", "caption": "a"}, 7, {"image_id": 1.0, "caption": "c"}],
      "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}, {"id": 3, "file_name": "3.jpg"}, {"id": 4}]})"));
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(rows.samples[0].captions, (Texts{"a", "c"}));
  EXPECT_EQ(rows.samples[0].images.at(0).name, "1.jpg");
  EXPECT_EQ(rows.samples[1].captions, Texts{"b"});
  EXPECT_EQ(rows.samples[1].meta.at("image_id"), 2);
  EXPECT_EQ(rows.skipped, (Texts{"bad_row=2", "image_without_caption=1", "no_caption=1", "unknown_image=3"}));
}

TEST(CocoCaptions, AreRefusedWithoutTheirLists) {
  const TemporaryFolder folder;
  SourceOptions options = file_with(folder, "c.json", R"({"images": []})");
  options.type = "coco_captions";
  EXPECT_NE(refusal(options).find("no list 'annotations'"), std::string::npos);
  for (const char* content : {R"({"images": {}, "annotations": []})", "[]", "{", "", "3"}) {
    options = file_with(folder, "c.json", content);
    options.type = "coco_captions";
    EXPECT_NE(refusal(options), "") << content;
  }
}

TEST(KarpathySplits, GoWhereRestvalIsSent) {
  const TemporaryFolder folder;
  SourceOptions options = file_with(folder, "k.json", R"({"images": [
      {"filepath": "v", "filename": "a.jpg", "imgid": 1, "split": "restval", "sentences": [{"raw": "A"}, {"raw": " "}, {}]},
      {"filename": "b.jpg", "cocoid": 7, "imgid": 2, "split": "train", "sentences": [{"raw": "B"}]},
      {"filename": "c.jpg", "imgid": 3, "split": "test", "sentences": []},
      {"imgid": 4, "split": "val", "sentences": []},
      {"filename": "e.jpg", "split": "dev", "sentences": []}], "dataset": "coco"})");
  options.split = "train";
  Rows rows = read_rows(options);
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(rows.samples[0].images[0].name, "v/a.jpg");
  EXPECT_EQ(rows.samples[0].captions, Texts{"A"});
  EXPECT_EQ(rows.samples[0].meta.at("image_id"), 1);
  EXPECT_EQ(rows.samples[1].meta.at("image_id"), 7);
  EXPECT_EQ(rows.skipped, Texts{"bad_split=1"});
  options.restval = "drop";
  EXPECT_EQ(read_rows(options).samples.size(), 1u);
  options.restval = "val";
  options.split = "val";
  rows = read_rows(options);
  EXPECT_EQ(rows.samples.size(), 1u);
  EXPECT_EQ(rows.skipped, (Texts{"bad_row=1", "bad_split=1"}));
  options.split = "";
  EXPECT_EQ(read_rows(options).skipped, (Texts{"bad_row=1", "bad_split=1", "no_caption=1"}));
  options.split = "valid";
  EXPECT_NE(refusal(options).find("did you mean 'val'"), std::string::npos);
}

TEST(AlbefList, NumbersPicturesOverFilesAndTellsTypesOfIdsApart) {
  const TemporaryFolder folder;
  SourceOptions options = file_with(folder, "a.json", R"([{"image": "x.jpg", "caption": ["one", " "], "image_id": 1},
      {"image": "y.jpg", "caption": "two", "image_id": "1"}, {"image": "z.jpg", "caption": ["ok", 3], "image_id": 8},
      {"image": 5, "caption": "a"}, {"image": "q.jpg", "caption": []}, [], {"image": "z.jpg", "caption": "three"}])");
  write_bytes(folder / "sub/b.json",
              R"([{"image": "z.jpg", "caption": "four"}, {"image": "w.jpg", "caption": "five", "image_id": 1.0}])");
  write_bytes(folder / "sub/z.jpg", "picture");
  options.path += "::" + (folder / "sub/b.json").string();
  const Rows rows = read_rows(options);
  ASSERT_EQ(rows.samples.size(), 5u);
  const std::vector<int64_t> wanted = {0, 1, 2, 2, 0};
  for (size_t i = 0; i < 5; ++i) EXPECT_EQ(rows.samples[i].image_index, wanted[i]) << i;
  EXPECT_EQ(rows.samples[0].captions, Texts{"one"});
  EXPECT_EQ(rows.skipped, (Texts{"bad_row=3", "no_caption=1"}));
  // Each list's pictures lie beside it.
  EXPECT_EQ(open_source(options)->read_number(7).images[0].bytes, "picture");
  EXPECT_EQ(rows.samples[3].shard, "b.json");
}

TEST(Pictures, OfListsThatAreMissingAreBadWithTheirPlace) {
  const TemporaryFolder folder;
  const Rows rows = read_rows(
      file_with(folder, "a.json", R"([{"image": "x.jpg", "caption": "c"}, {"image": "../a.json/..", "caption": "c"}])"),
      true);
  EXPECT_EQ(rows.skipped, Texts{"bad_image=2"});
  EXPECT_NE(rows.places.at(0).find("a.json: 00000000 (x.jpg)"), std::string::npos) << rows.places[0];
}

TEST(Pictures, OfListsMayLieInTheTarsBesideThem) {
  const TemporaryFolder folder;
  write_bytes(folder / "set/a.tar", tar_of({{"d/x.png", "packed x"}, {"d/x.txt", "t"}, {"y.JPG", "packed y"}}));
  write_bytes(folder / "set/z.png", "a file");
  SourceOptions options =
      file_with(folder, "set/a.json", R"([{"image": "d/x.png", "caption": "c"}, {"image": "y.JPG", "caption": "c"},
      {"image": "z.png", "caption": "c"}, {"image": "none.png", "caption": "c"}])");
  Rows rows = read_rows(options, true);
  ASSERT_EQ(rows.samples.size(), 3u);
  EXPECT_EQ(rows.samples[0].images[0].bytes, "packed x");
  EXPECT_EQ(rows.samples[1].images[0].bytes, "packed y");
  EXPECT_EQ(rows.samples[2].images[0].bytes, "a file");
  EXPECT_EQ(rows.skipped, Texts{"bad_image=1"});
  std::filesystem::rename(folder / "set/a.tar", folder / "b.tar");
  options.image_root = (folder / "b.tar").string();
  EXPECT_EQ(read_rows(options, true).samples.size(), 2u);
}

TEST(JsonLists, ThatAreNestedTooDeeplyAreRefusedWithoutRecursion) {
  const TemporaryFolder folder;
  SourceOptions options =
      file_with(folder, "a.json", R"([{"image": "a", "caption": "b", "deep": )" + std::string(200000, '['));
  options.type = "albef_list";
  EXPECT_NE(refusal(options).find("64 levels"), std::string::npos);
  options = file_with(folder, "a.json", std::string(200000, '['));
  EXPECT_NE(refusal(options).find("64 levels"), std::string::npos);
}

TEST(VirtualShards, HoldAThousandRowsAndBearTheNameOfTheFile) {
  const TemporaryFolder folder;
  std::string list = "[";
  for (int i = 0; i < 2500; ++i) list += std::string(i ? "," : "") + R"({"image": "x.jpg", "caption": "c"})";
  const auto source = open_source(file_with(folder, "l.json", list + "]"));
  EXPECT_EQ(source->shard_sizes(), (std::vector<int64_t>{1000, 1000, 500}));
  EXPECT_EQ(source->shard_name(2), "l.json");
  EXPECT_EQ(source->describe(2, 499).key, "00002499");
}

}  // namespace vlm::test
