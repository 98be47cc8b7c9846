#include <gtest/gtest.h>

#include <cstdlib>
#include <set>
#include <thread>

#include "data/make_data.h"
#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/data/image_folder.h"
#include "vlm/data/shard_patterns.h"
#include "vlm/data/skips.h"
#include "vlm/data/source.h"
#include "vlm/data/webdataset.h"
#include "vlm/io/atomic_file.h"

namespace vlm::test {

namespace source_test {

std::unique_ptr<Source> open(const std::filesystem::path& path, SourceOptions options = {}) {
  options.path = path.string();
  options.write_index = false;
  return open_source(options);
}

/// The reason for which reading the first sample fails, or "".
std::string reason(const std::vector<std::pair<std::string, std::string>>& members, SourceOptions options = {}) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.tar", tar_of(members));
  try {
    open(folder / "a.tar", options)->read(0, 0);
  } catch (const SampleError& error) {
    return error.reason();
  }
  return "";
}

std::vector<std::string> names(const std::vector<ShardFile>& shards) {
  std::vector<std::string> out;
  for (const auto& shard : shards) out.push_back(shard.path.filename().string());
  return out;
}

}  // namespace source_test

using Names = std::vector<std::string>;
using source_test::reason;

TEST(BraceExpansion, FollowsTheRulesForRangesAlternativesAndEscapes) {
  EXPECT_EQ(expand_braces("{08..12}"), (Names{"08", "09", "10", "11", "12"}));
  EXPECT_EQ(expand_braces("{00..2}"), (Names{"00", "01", "02"}));
  EXPECT_EQ(expand_braces("{-02..1}"), (Names{"-02", "-01", "000", "001"}));
  EXPECT_EQ(expand_braces("{0..2}"), (Names{"0", "1", "2"}));
  EXPECT_EQ(expand_braces("{5..0..-2}"), (Names{"5", "3", "1"}));
  EXPECT_EQ(expand_braces("{1..3..0}"), (Names{"1", "2", "3"}));
  EXPECT_EQ(expand_braces("{Y..b}"), (Names{"Y", "Z", "a", "b"}));
  EXPECT_EQ(expand_braces("{e..a..2}"), (Names{"e", "c", "a"}));
  EXPECT_EQ(expand_braces("{a..3}{one}{}"), (Names{"{a..3}{one}{}"}));
  EXPECT_EQ(expand_braces("{1..2,x}"), (Names{"1..2", "x"}));
  EXPECT_EQ(expand_braces("a{,b, c}"), (Names{"a", "ab", "a c"}));
  EXPECT_EQ(expand_braces("{{a,b}}"), (Names{"{a}", "{b}"}));
  EXPECT_EQ(expand_braces("{a,b}{1..2}"), (Names{"a1", "a2", "b1", "b2"}));
  EXPECT_EQ(expand_braces("\\{a,b\\}{c\\,d,e}"), (Names{"{a,b}c,d", "{a,b}e"}));
  EXPECT_THROW(expand_braces("{a,b"), Error);
  EXPECT_THROW(expand_braces("a}b"), Error);
}

TEST(BraceExpansion, RefusesToFillTheMemory) {
  EXPECT_THROW(expand_braces("{0..999999999999}"), Error);
  EXPECT_THROW(expand_braces("{1..9999}{1..9999}"), Error);
  EXPECT_THROW(expand_braces(std::string(100000, '{') + std::string(100000, '}')), Error);
}

TEST(ShardList, KnowsPatternsListsFoldersAndVariables) {
  const TemporaryFolder folder;
  for (const char* name : {"f/b.tar", "f/sub/a.tar", "f/a.tar", "f/a.txt"}) write_bytes(folder / name, "");
  write_bytes(folder / "list.txt", "# a comment\r\n f/b.tar \n\nx.tar\n");
  ::setenv("WDS_SHARDS_OF_TEST", folder.path().c_str(), 1);
  const auto shards = list_shards("${SHARDS_OF_TEST}/f::" + (folder / "list.txt").string() + "::y-{1..2}.tar");
  EXPECT_EQ(source_test::names(shards), (Names{"a.tar", "b.tar", "a.tar", "b.tar", "x.tar", "y-1.tar", "y-2.tar"}));
  EXPECT_EQ(shards[3].path, folder / "f/b.tar");
  EXPECT_EQ(shards[4].part, 1);
  EXPECT_EQ(shards.back().part, 2);
  EXPECT_THROW(list_shards("${NOT_SET_IN_TEST}/a.tar"), Error);
  EXPECT_THROW(list_shards("a.tar::"), Error);
  EXPECT_THROW(list_shards((folder / "none.txt").string()), Error);
}

TEST(WebDataset, GivesTheFirstReasonInOrder) {
  const std::string picture = bmp(2, 2, 1, 2, 3);
  SourceOptions json;
  json.caption_key = "json.caption";
  EXPECT_EQ(reason({{"a.png", picture}, {"a.txt", "x"}}), "");
  EXPECT_EQ(reason({{"a.txt", "\xff"}}), "no_image");
  EXPECT_EQ(reason({{"a.png", picture}}), "no_caption");
  EXPECT_EQ(reason({{"a.png", picture}, {"a.txt", " \xc2\xa0\n"}, {"a.cls", "x"}}), "no_caption");
  EXPECT_EQ(reason({{"a.png", picture}, {"a.txt", "x\xff"}, {"a.cls", "x"}}), "bad_text");
  EXPECT_EQ(reason({{"a.png", picture}, {"a.txt", "x"}, {"a.json", "{"}}), "");
  for (const char* label : {"x", "", "1.0", "1 2", "99999999999999999999", "+-1"})
    EXPECT_EQ(reason({{"a.png", picture}, {"a.txt", "x"}, {"a.cls", label}}), "bad_label") << label;
  for (const char* label : {" 3\n", "-3", "+3"})
    EXPECT_EQ(reason({{"a.png", picture}, {"a.txt", "x"}, {"a.cls", label}}), "") << label;
  EXPECT_EQ(reason({{"a.png", picture}, {"a.json", "{"}}, json), "bad_json");
  EXPECT_EQ(reason({{"a.json", "{"}}, json), "no_image");
  EXPECT_EQ(reason({{"a.png", picture}, {"a.json", "{\"caption\": \"\xff\"}"}}, json), "bad_json");
  EXPECT_EQ(reason({{"a.png", picture}, {"a.txt", "x"}}, json), "no_caption");
  for (const char* text : {"[]", "{}", "{\"caption\": 3}", "{\"caption\": \" \"}"})
    EXPECT_EQ(reason({{"a.png", picture}, {"a.json", text}}, json), "no_caption") << text;
}

TEST(WebDataset, TakesKeysInOrderOfPreferenceAndAllCaptionsOfAField) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.tar", tar_of({{"a.webp", "W"},
                                        {"a.jpg", "J"},
                                        {"a.txt", " one\ntwo "},
                                        {"a.json", R"({"captions": [" x ", "", 3, "y"], "n": 1})"},
                                        {"a.cls", "7"}}));
  SourceOptions options;
  options.image_key = "webp; JPG";
  auto sample = source_test::open(folder / "a.tar", options)->read(0, 0);
  EXPECT_EQ(sample.images.at(0).name, "webp");
  EXPECT_EQ(sample.images.at(0).bytes, "W");
  EXPECT_EQ(sample.captions, Names{"one\ntwo"});
  EXPECT_EQ(sample.label, 7);
  EXPECT_EQ(sample.meta["n"], 1);
  EXPECT_EQ(sample.fields, (Names{"cls", "jpg", "json", "txt", "webp"}));
  options.captions_field = "captions";
  EXPECT_EQ(source_test::open(folder / "a.tar", options)->read(0, 0).captions, (Names{"x", "y"}));
  options.caption_key = options.image_key = "";
  sample = source_test::open(folder / "a.tar", options)->read(0, 0);
  EXPECT_TRUE(sample.captions.empty());
  EXPECT_TRUE(sample.images.empty());
}

TEST(WebDataset, CountsCutAndMissingShardsOnceAndReadsOn) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {3, 2, 4});
  const std::string whole = read_file(folder / "s-000000.tar");
  write_bytes(folder / "s-000000.tar", whole.substr(0, 1024 * 3 + 540));  // inside the second picture
  std::filesystem::remove(folder / "s-000001.tar");
  const auto source = source_test::open((folder.path() / "s-{000000..000002}.tar").string());
  EXPECT_EQ(source->shard_sizes(), (std::vector<int64_t>{1, 0, 4}));
  ASSERT_EQ(source->problems().size(), 2u);
  EXPECT_EQ(source->problems()[0].reason(), "truncated_shard");
  EXPECT_EQ(source->read_number(1).key, "k00005");
  EXPECT_THROW(source_test::open(folder / "none.tar"), Error);
}

TEST(WebDataset, NeverCrashesOnShardsCutAnywhere) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {3});
  const std::string whole = read_file(folder / "s-000000.tar");
  SplitMix64 random(11);
  for (int round = 0; round < 200; ++round) {
    std::string bytes = whole.substr(0, random.below(whole.size() + 1));
    for (int i = 0; i < 3 && !bytes.empty(); ++i) bytes[random.below(bytes.size())] ^= static_cast<char>(random.below(3));
    write_bytes(folder / "x.tar", bytes);
    const auto source = source_test::open(folder / "x.tar");
    for (int64_t n = 0; n < source->size(); ++n) {
      try {
        source->read_number(n);
      } catch (const SampleError&) {
      }
    }
  }
}

TEST(WebDataset, StopsWhenAShardChangedUnderTheRun) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {3});
  const auto source = source_test::open(folder / "s-000000.tar");
  make_shards(folder.path(), {2});
  try {
    source->read(0, 0);
    FAIL();
  } catch (const SampleError&) {
    FAIL() << "this is no matter of one sample";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("changed"), std::string::npos);
  }
}

TEST(WebDataset, IsReadByManyThreadsThroughMoreShardsThanStayOpen) {
  const TemporaryFolder folder;
  make_shards(folder.path(), std::vector<int>(100, 2));
  const auto source = source_test::open(folder.path());
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      SplitMix64 random(static_cast<uint64_t>(t));
      for (int i = 0; i < 1000; ++i) {
        const auto n = static_cast<int64_t>(random.below(200));
        const Sample sample = source->read_number(n);
        wrong += sample.number != n || sample.captions.at(0) != "caption " + std::to_string(n);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(WebDataset, PairsUpsamplingFactorsWithParts) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {1, 1, 1});
  SourceOptions options;
  const std::string path = (folder / "s-00000{0..1}.tar").string() + "::" + (folder / "s-000002.tar").string();
  options.upsampling_factors = "1::2.5";
  EXPECT_EQ(source_test::open(path, options)->shard_weights(), (std::vector<double>{1, 1, 2.5}));
  for (const char* wrong : {"1", "1::-1", "1::x", "0::0", "1::nan"}) {
    options.upsampling_factors = wrong;
    EXPECT_THROW(source_test::open(path, options), Error) << wrong;
  }
}

TEST(Source, HashTellsOtherSizesAndOtherNamesApart) {
  const TemporaryFolder a, b;
  make_shards(a.path(), {2, 3});
  make_shards(b.path(), {2, 3});
  EXPECT_EQ(source_test::open(a.path())->sizes_hash(), source_test::open(b.path())->sizes_hash());
  std::filesystem::rename(b / "s-000001.tar", b / "t-000001.tar");
  EXPECT_NE(source_test::open(a.path())->sizes_hash(), source_test::open(b.path())->sizes_hash());
  make_shards(a.path(), {2, 4});
  EXPECT_NE(source_test::open(a.path())->sizes_hash(), source_test::open(b.path())->sizes_hash());
}

TEST(ImageFolder, NumbersClassesAndPicturesInByteOrder) {
  const TemporaryFolder folder;
  for (const char* name :
       {"zebra/p.png", "Apple/p.JPEG", "Apple/deeper/z.webp", "Apple/notes.txt", "big_cat/x.jpg", "stray.png", "other.txt"})
    write_bytes(folder / name, "x");
  std::filesystem::create_directories(folder / "empty");
  std::filesystem::create_directory_symlink(folder / "Apple", folder / "Apple/round");
  const auto source = source_test::open(folder.path());
  EXPECT_EQ(source->class_names(), (Names{"Apple", "big cat", "empty", "zebra"}));
  Names keys;
  std::vector<int64_t> labels;
  for (int64_t n = 0; n < source->size(); ++n) {
    keys.push_back(source->read_number(n).key);
    labels.push_back(source->read_number(n).label.value());
  }
  EXPECT_EQ(keys, (Names{"Apple/deeper/z.webp", "Apple/p.JPEG", "big_cat/x.jpg", "zebra/p.png"}));
  EXPECT_EQ(labels, (std::vector<int64_t>{0, 0, 1, 3}));
  ASSERT_EQ(source->problems().size(), 1u);
  EXPECT_EQ(source->problems()[0].reason(), "stray_file");
  std::filesystem::remove(folder / "zebra/p.png");
  EXPECT_THROW(source->read_number(3), SampleError);
}

TEST(ImageFolder, TakesClassNamesFromAFileOfTheRightLength) {
  const TemporaryFolder folder;
  write_bytes(folder / "set/n01/p.png", "x");
  write_bytes(folder / "set/n02/p.png", "x");
  write_bytes(folder / "names", "tench\ngoldfish\n");
  SourceOptions options;
  options.classnames = (folder / "names").string();
  EXPECT_EQ(source_test::open(folder / "set", options)->class_names(), (Names{"tench", "goldfish"}));
  write_bytes(folder / "names", "tench\n");
  EXPECT_THROW(source_test::open(folder / "set", options), Error);
}

TEST(ImageFolder, IsCutIntoShardsOfAThousand) {
  const TemporaryFolder folder;
  for (int i = 0; i < 2001; ++i) write_bytes(folder / ("c/" + std::to_string(10000 + i) + ".png"), "");
  const auto source = source_test::open(folder.path());
  EXPECT_EQ(source->shard_sizes(), (std::vector<int64_t>{1000, 1000, 1}));
  EXPECT_EQ(source->read(2, 0).key, "c/12000.png");
  EXPECT_EQ(source->shard_name(1), folder.path().filename().string());
}

TEST(OpenSource, RefusesWhatIsNoDataSet) {
  const TemporaryFolder folder;
  EXPECT_THROW(open_source({}), Error);
  EXPECT_THROW(source_test::open(folder.path()), Error);
  SourceOptions options;
  options.type = "webdatset";
  EXPECT_THROW(source_test::open(folder.path(), options), Error);
  options = {};
  options.alpha = "green";
  EXPECT_THROW(source_test::open(folder.path(), options), Error);
}

TEST(SkipCounter, SumsUpByReasonAndJudgesTheShare) {
  SkipCounter skips("pets");
  skips.use(8);
  skips.skip(SampleError("no_image", "a"));
  skips.skip(SampleError("bad_text", "b"));
  EXPECT_EQ(skips.summary(), "pets: 8 samples, 2 skipped (bad_text=1, no_image=1)");
  EXPECT_NO_THROW(skips.check(0.2));
  EXPECT_THROW(skips.check(0.19), Error);
  EXPECT_NO_THROW(SkipCounter("empty").check(0));
  SkipCounter strict("pets", true);
  EXPECT_THROW(strict.skip(SampleError("no_image", "a")), SampleError);
}

}  // namespace vlm::test
