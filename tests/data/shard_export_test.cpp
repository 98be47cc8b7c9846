#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/read_rows.h"
#include "vlm/data/sample_json.h"
#include "vlm/data/shard_export.h"
#include "vlm/data/source_check.h"
#include "vlm/data/source_stats.h"
#include "vlm/io/atomic_file.h"

namespace vlm::test {

namespace shard_export_test {

/// Twelve NLVR2 rows, the pictures of the fourth missing.
SourceOptions nlvr2(const TemporaryFolder& folder) {
  std::string list = "[";
  for (int i = 0; i < 12; ++i) {
    const std::string name = "p " + std::to_string(i);
    if (i != 3) {
      write_bytes(folder / (name + ".l.png"), bmp(2, 2, static_cast<uint8_t>(i), 0, 0));
      write_bytes(folder / (name + ".r.png"), bmp(3, 2, static_cast<uint8_t>(i), 1, 0));
    }
    list += (i ? "," : "") + ("{\"sentence\": \"s " + std::to_string(i) + "\", \"label\": \"" + (i % 2 ? "True" : "False") +
                              "\", \"images\": [\"" + name + ".l.png\", \"" + name + ".r.png\"], \"identifier\": \"d-" +
                              std::to_string(i) + "\"}");
  }
  return file_with(folder, "n.json", list + "]");
}

/// All of a sample but where it lies.
std::vector<std::string> contents(const SourceOptions& options) {
  std::vector<std::string> out;
  for (const auto& sample : read_rows(options, true).samples) {
    std::string text = sample_to_json(sample).dump();
    for (const auto& image : sample.images) {
      const Image pixels = decode_image(image.bytes);
      text += std::to_string(pixels.width) + " " + std::to_string(pixels.pixels[0]) + " " + std::to_string(pixels.pixels[1]);
    }
    out.push_back(text);
  }
  return out;
}

}  // namespace shard_export_test

TEST(ShardExport, GivesBackTheSameSamplesInTheSameOrder) {
  const TemporaryFolder folder;
  const SourceOptions from = shard_export_test::nlvr2(folder);
  const auto done = export_shards(*open_source(from), {.out = folder / "out", .prefix = "train", .samples_per_shard = 4});
  EXPECT_EQ(done.samples, 11);
  EXPECT_EQ(done.skipped, 1);
  EXPECT_EQ(done.reasons.at("bad_image"), 1);
  ASSERT_EQ(done.shards.size(), 3u);
  EXPECT_EQ(done.shards[2].filename(), "train-000002.tar");
  SourceOptions back;
  back.path = (folder / "out").string();
  EXPECT_EQ(shard_export_test::contents(back), shard_export_test::contents(from));
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "out/sizes.json")),
            nlohmann::json({{"train-000000.tar", 4}, {"train-000001.tar", 4}, {"train-000002.tar", 3}}));
  // From shards to shards nothing changes either.
  export_shards(*open_source(back), {.out = folder / "again", .bytes_per_shard = 1});
  SourceOptions again;
  again.path = (folder / "again").string();
  EXPECT_EQ(shard_export_test::contents(again), shard_export_test::contents(from));
  EXPECT_EQ(open_source(again)->shard_count(), 11);
}

TEST(ShardExport, WritesTheSameBytesForAnyNumberOfThreadsAndReplacesOnlyIfTold) {
  const TemporaryFolder folder;
  const auto source = open_source(shard_export_test::nlvr2(folder));
  export_shards(*source, {.out = folder / "a", .threads = 1});
  export_shards(*source, {.out = folder / "b", .threads = 5});
  EXPECT_EQ(read_file(folder / "a/shard-000000.tar"), read_file(folder / "b/shard-000000.tar"));
  EXPECT_THROW(export_shards(*source, {.out = folder / "a"}), Error);
  export_shards(*source, {.out = folder / "a", .prefix = "other"});
  export_shards(*source, {.out = folder / "a", .samples_per_shard = 6, .force = true});
  EXPECT_EQ(nlohmann::json::parse(read_file(folder / "a/sizes.json")).size(), 3u);
  // A run that fails leaves what was there.
  EXPECT_THROW(export_shards(*source, {.out = folder / "a", .strict = true, .force = true}), SampleError);
  EXPECT_TRUE(std::filesystem::exists(folder / "a/shard-000001.tar"));
  EXPECT_FALSE(std::filesystem::exists(folder / "a/.shard.part"));
}

TEST(ShardExport, MakesKeysThatShardsCanHoldAndKeepsTheOldOnes) {
  const TemporaryFolder folder;
  write_bytes(folder / "x.png", bmp(1, 1, 0, 0, 0));
  std::string list;
  for (const char* id : {"a.b", "a,b", "/", "__x__/y", "\xc3\xa4", "/abs/c"})
    list += std::string(list.empty() ? "" : ",") + R"({"question_id": ")" + id +
            R"(", "question": "q", "image": "x.png", "dataset": "vqa"})";
  const SourceOptions from = file_with(folder, "q.json", "[" + list + "]");
  export_shards(*open_source(from), {.out = folder / "out"});
  SourceOptions back;
  back.path = (folder / "out").string();
  back.write_index = false;
  const Rows rows = read_rows(back);
  std::vector<std::string> keys;
  for (const auto& sample : rows.samples) keys.push_back(sample.key);
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(keys, (Texts{"/", "/abs/c", "__x__/y", "a,b", "a.b", "\xc3\xa4"}));
}

TEST(ForeignJson, ThatOnlyLooksLikeASampleCostsOneSample) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.tar", tar_of({{"a.png", "x"},
                                        {"a.json", R"({"vlm_sample": 1, "captions": 3})"},
                                        {"b.png", "x"},
                                        {"b.txt", "t"},
                                        {"b.json", R"({"note": "vlm_sample"})"},
                                        {"c.txt", "t"},
                                        {"c.json", R"({"vlm_sample": 1, "images": ["c"]})"},
                                        {"d.png", "x"},
                                        {"d.txt", "t"},
                                        {"d.json", std::string(100000, '[')}}));
  SourceOptions options;
  options.path = (folder / "a.tar").string();
  const Rows rows = read_rows(options, true);
  EXPECT_EQ(rows.samples.size(), 2u);
  EXPECT_EQ(rows.skipped, (Texts{"bad_json=1", "no_image=1"}));
}

TEST(SourceCheck, CountsWhatIsBadAndReportsEverySampleInOrder) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {30, 20}, {7, 41});
  SourceOptions options;
  options.path = folder.path().string();
  options.write_index = false;
  const auto source = open_source(options);
  std::vector<int64_t> numbers, bad;
  const SourceCheck check =
      check_source(*source, {.threads = 3}, [&](const ScannedSample* scanned, const SampleError* error) {
        numbers.push_back(scanned->number);
        if (error) bad.push_back(scanned->number);
      });
  EXPECT_EQ(numbers.size(), 50u);
  EXPECT_TRUE(std::is_sorted(numbers.begin(), numbers.end()));
  EXPECT_EQ(bad, (std::vector<int64_t>{7, 41}));
  EXPECT_EQ(check.summary(), folder.path().string() + ": 48 samples, 2 skipped (bad_image=2)");
  EXPECT_THROW(check_source(*source, {.strict = true}, [](auto, auto) {}), SampleError);
}

TEST(SourceStats, CountsWordsLabelsAndSizes) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {20}, {3});
  SourceOptions options;
  options.path = folder.path().string();
  options.write_index = false;
  const auto source = open_source(options);
  const SourceStats stats = source_stats(*source, "webdataset");
  EXPECT_EQ(stats.samples, 19);
  EXPECT_EQ(stats.commonest_words(1).at(0), (std::pair<std::string, int64_t>{"caption", 19}));
  EXPECT_EQ(stats.words_seen_once(), 19);
  EXPECT_EQ(stats.labels.size(), 10u);
  EXPECT_EQ(stats.formats.at("bmp"), 19);
  EXPECT_EQ(stats.width.quantile(1), 2);
  EXPECT_EQ(stats.caption_words.mean(), 2);
  const auto pictures = sheet_pictures(*source, 7, 1, 16);
  EXPECT_EQ(pictures.size(), 7u);
  const Image sheet = contact_sheet(pictures, 16, 4);
  EXPECT_EQ(sheet.width, 8 + 4 * 24);
  EXPECT_EQ(sheet.height, 8 + 2 * 24);
  EXPECT_EQ(sheet_pictures(*source, 100, 1, 16).size(), 19u);
}

}  // namespace vlm::test
