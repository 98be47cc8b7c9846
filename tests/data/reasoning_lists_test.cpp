#include <gtest/gtest.h>

#include "data/read_rows.h"
#include "vlm/data/reasoning_lists.h"
#include "vlm/data/refcoco.h"

namespace vlm::test {

TEST(SnliVe, PassesOverBlankLinesAndJudgesTheOthersInOrder) {
  const TemporaryFolder folder;
  const Rows rows = read_rows(file_with(
      folder, "s.jsonl",
      "{\"Flickr30K_ID\": 12, \"gold_label\": \"entailment\", \"sentence2\": \" h \", \"pairID\": \"p\"}\r\n \t\n\n"
      "{\"Flickr30K_ID\": \"1\", \"gold_label\": \"-\", \"sentence2\": \"h\"}\n{\"gold_label\": \"-\"}\n[1]\n{\"a\": "
      "\"\xff\"}\n" +
          std::string(100000, '[') +
          "\n{\"Flickr30K_ID\": \"7\", \"gold_label\": \"neutral\", \"sentence1\": \" p\", \"sentence2\": \"h2\"}"));
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(rows.samples[0].images[0].name, "12.jpg");
  EXPECT_EQ(rows.samples[0].captions, Texts{"h"});
  EXPECT_EQ(rows.samples[0].label, 2);
  EXPECT_EQ(rows.samples[0].meta.at("premise"), "");
  EXPECT_EQ(rows.samples[1].label, 1);
  EXPECT_EQ(rows.samples[1].meta.at("premise"), "p");
  EXPECT_EQ(rows.skipped, (Texts{"bad_json=2", "bad_label=1", "bad_row=2"}));
  EXPECT_NE(rows.places[0].find("s.jsonl: line 4"), std::string::npos) << rows.places[0];
}

TEST(AlbefEntailment, TakesNumbersAndNamesOfPictures) {
  const TemporaryFolder folder;
  const Rows rows = read_rows(file_with(folder, "ve.json", R"([{"image": 3, "sentence": "A.", "label": "contradiction"},
      {"image": "n", "sentence": "B", "label": "neutral"}, {"image": 1.5, "sentence": "B", "label": "neutral"}, {"image": 3, "sentence": "A", "label": 1}])"));
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(rows.samples[0].images[0].name, "3.jpg");
  EXPECT_EQ(rows.samples[0].label, 0);
  EXPECT_EQ(rows.samples[1].images[0].name, "n.jpg");
  EXPECT_EQ(rows.skipped, (Texts{"bad_label=1", "bad_row=1"}));
}

TEST(Nlvr2, HasTwoPicturesAndExchangesThemWithTheirSides) {
  const TemporaryFolder folder;
  const Rows rows = read_rows(file_with(folder, "n.json", R"([{"sentence": "s left", "label": "True", "images": ["l", "r"]},
      {"sentence": "s", "label": true, "images": ["l", "r"]}, {"sentence": "s", "label": "True", "images": ["l", "r", "m"]},
      {"sentence": "s", "label": "x", "images": ["l"]}, {"sentence": " ", "label": "True", "images": ["l", "r"]}])"));
  ASSERT_EQ(rows.samples.size(), 1u);
  EXPECT_EQ(rows.skipped, (Texts{"bad_label=1", "bad_row=3"}));
  int swapped = 0;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Sample sample = rows.samples[0];
    SplitMix64 random(seed);
    const bool did = swap_nlvr2(sample, random);
    swapped += did;
    EXPECT_EQ(sample.images[0].name, did ? "r" : "l");
    EXPECT_EQ(sample.captions[0], did ? "s right" : "s left");
  }
  EXPECT_GT(swapped, 30);
  EXPECT_LT(swapped, 70);
  EXPECT_EQ(swap_left_right("the left one is right of leftovers"), "the right one is left of leftovers");
}

namespace reasoning_lists_test {

SourceOptions refs(const TemporaryFolder& folder, const std::string& list) {
  write_bytes(folder / "instances.json", R"({"images": [{"id": 1, "file_name": "1.jpg", "width": 9, "height": 8}],
      "annotations": [{"id": 10, "bbox": [1, 2, 3.5, 4]}, {"id": 11, "bbox": [1, 2, 0, 4]}, {"id": 12, "bbox": [1, 2, 3]}], "categories": []})");
  return file_with(folder, "refs.json", list);
}

std::string one_ref(const std::string& rest) { return R"({"ref_id": 5, "split": "testA", )" + rest + "}"; }

}  // namespace reasoning_lists_test

TEST(RefCoco, CountsEachRefOnceByTheFirstReason) {
  using reasoning_lists_test::one_ref;
  const TemporaryFolder folder;
  const std::string sentences =
      R"("sentences": [{"sent_id": 1, "sent": "a"}, {"sent_id": 2, "sent": " "}, {"sent_id": 3, "sent": "b "}])";
  const Rows rows = read_rows(reasoning_lists_test::refs(
      folder, "\xef\xbb\xbf [" + one_ref(R"("ann_id": 10, "image_id": 1, )" + sentences) + "," +
                  one_ref(R"("ann_id": 10, )" + sentences) + "," +
                  one_ref(R"("ann_id": 99, "image_id": 99, "sentences": [])") + "," +
                  one_ref(R"("ann_id": 99, "image_id": 99, )" + sentences) + "," +
                  one_ref(R"("ann_id": 11, "image_id": 99, )" + sentences) + "," +
                  one_ref(R"("ann_id": 12, "image_id": 1, )" + sentences) + "," +
                  one_ref(R"("ann_id": 10, "image_id": 99, )" + sentences) + "," +
                  one_ref(R"("ann_id": 10, "image_id": 1, "sentences": [{"sent": "no id"}])") + "]"));
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(*rows.samples[0].box, (std::array<double, 4>{1, 2, 4.5, 6}));
  EXPECT_EQ(rows.samples[1].captions, Texts{"b"});
  EXPECT_EQ(rows.samples[1].meta.at("sent_id"), 3);
  EXPECT_EQ(rows.skipped, (Texts{"bad_box=2", "bad_row=2", "no_caption=1", "unknown_annotation=1", "unknown_image=1"}));
}

TEST(RefCoco, SelectsSplitsAsTheReleaseDoes) {
  EXPECT_TRUE(takes_ref_split("testA", "testA"));
  EXPECT_TRUE(takes_ref_split("testA", "testAB"));
  EXPECT_FALSE(takes_ref_split("testA", "testB"));
  EXPECT_TRUE(takes_ref_split("test", "testB"));
  EXPECT_FALSE(takes_ref_split("train", "testA"));
  EXPECT_TRUE(takes_ref_split("val", "val"));
  EXPECT_TRUE(takes_ref_split("", "anything"));
}

TEST(RefCoco, RefusesPicklesAndSaysWhy) {
  const TemporaryFolder folder;
  EXPECT_NE(refusal(file_with(folder, "refs(unc).p", "\x80\x02]q")).find("6.1"), std::string::npos);
  SourceOptions options = reasoning_lists_test::refs(folder, "(lp0\n");
  options.type = "refcoco";
  EXPECT_NE(refusal(options).find("6.1"), std::string::npos);
}

TEST(GroundingList, TakesBoxesWhereThereAre) {
  const TemporaryFolder folder;
  const Rows rows =
      read_rows(file_with(folder, "g.json", R"([{"image": "a.jpg", "text": "t", "ref_id": 1, "box": [0, 1, 2, 3]},
      {"image": "a.jpg", "text": "u", "ref_id": "r"}, {"image": "b.jpg", "text": " ", "ref_id": 1}, {"text": "t", "ref_id": 1},
      {"image": "a.jpg", "text": "t", "ref_id": 1, "box": [2, 1, 2, 3]}])"));
  ASSERT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(*rows.samples[0].box, (std::array<double, 4>{0, 1, 2, 3}));
  EXPECT_FALSE(rows.samples[1].box);
  EXPECT_EQ(rows.samples[1].image_index, 0);
  EXPECT_EQ(rows.skipped, (Texts{"bad_box=1", "bad_row=1", "no_caption=1"}));
}

}  // namespace vlm::test
