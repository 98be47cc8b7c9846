#include <gtest/gtest.h>

#include <cstdlib>

#include "data/make_data.h"
#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/data/shard_index.h"
#include "vlm/data/tar_reader.h"
#include "vlm/io/atomic_file.h"

namespace vlm::test {

namespace tar_test {

TarContents read(const std::string& bytes) { return read_tar(*memory_bytes(bytes)); }

void set_checksum(std::string& header) {
  std::fill(header.begin() + 148, header.begin() + 156, ' ');
  unsigned sum = 0;
  for (const unsigned char c : header.substr(0, 512)) sum += c;
  std::snprintf(header.data() + 148, 7, "%06o", sum);
  header[155] = ' ';
}

/// A member of any type.
std::string member(char type, const std::string& path, const std::string& data) {
  std::string header = tar_header(path, data.size());
  header[156] = type;
  set_checksum(header);
  return header + data + tar_padding(data.size());
}

std::vector<std::string> paths(const TarContents& contents) {
  std::vector<std::string> out;
  for (const auto& m : contents.members) out.push_back(m.path);
  return out;
}

}  // namespace tar_test

using tar_test::member;
using tar_test::paths;

TEST(TarReader, ReadsWhatTheWriterWroteForNamesOfAnyLength) {
  std::vector<std::pair<std::string, std::string>> members;
  for (const size_t length : {1, 90, 96, 97, 99, 150, 252, 300, 1000}) {
    members.emplace_back(std::string(length, 'n') + ".txt", "flat");
    std::string deep;
    while (deep.size() < length) deep += "folder/";
    members.emplace_back(deep + "x.txt", std::string(length, 'b'));
  }
  const std::string bytes = tar_of(members);
  const TarContents contents = tar_test::read(bytes);
  ASSERT_EQ(contents.members.size(), members.size());
  EXPECT_FALSE(contents.truncated);
  for (size_t i = 0; i < members.size(); ++i) {
    EXPECT_EQ(contents.members[i].path, members[i].first);
    EXPECT_EQ(bytes.substr(contents.members[i].offset, contents.members[i].size), members[i].second);
  }
}

TEST(TarReader, TakesGnuLongNames) {
  const std::string name(180, 'x');
  EXPECT_EQ(paths(tar_test::read(member('L', "././@LongLink", name + '\0') + member('0', "short", "data") + tar_end())),
            std::vector<std::string>{name});
}

TEST(TarReader, TakesPathAndSizeOfPaxRecordsForTheNextMemberOnly) {
  std::string lying = tar_header("a", 0);
  const std::string bytes = member('x', "PaxHeaders/a", "12 path=b/c\n9 size=3\n") + lying + "abc" + tar_padding(3) +
                            member('0', "d", "x") + tar_end();
  const auto contents = tar_test::read(bytes);
  ASSERT_EQ(paths(contents), (std::vector<std::string>{"b/c", "d"}));
  EXPECT_EQ(bytes.substr(contents.members[0].offset, contents.members[0].size), "abc");
}

TEST(TarReader, PassesOverFoldersLinksAndDevices) {
  std::string link = tar_header("link", 5000);  // a size that no data follow
  link[156] = '2';
  tar_test::set_checksum(link);
  EXPECT_EQ(paths(tar_test::read(member('5', "folder/", "") + link + member('3', "device", "") +
                                 member('g', "global", "9 path=z\n") + member('7', "kept", "data") + tar_end())),
            std::vector<std::string>{"kept"});
}

TEST(TarReader, KeepsMembersWhoseDataAreWholeAndReportsACutElsewhere) {
  const std::string one = member('0', "a.txt", "aaa"), two = member('0', "b.txt", "bbb");
  const std::string all = one + two;
  for (size_t length = 0; length <= all.size(); ++length) {
    const auto contents = tar_test::read(all.substr(0, length));
    const size_t whole = length >= one.size() + 515 ? 2 : length >= 515 ? 1 : 0;
    EXPECT_EQ(contents.members.size(), whole) << length;
    EXPECT_EQ(contents.truncated, length % 1024 != 0) << length;
  }
}

TEST(TarReader, StopsAtABrokenHeader) {
  std::string bytes = member('0', "a.txt", "aaa") + member('0', "b.txt", "bbb") + tar_end();
  bytes[1024] ^= 1;
  const auto contents = tar_test::read(bytes);
  EXPECT_TRUE(contents.truncated);
  EXPECT_EQ(paths(contents), std::vector<std::string>{"a.txt"});
}

TEST(TarReader, NeverBelievesADeclaredSize) {
  for (const uint64_t size : {uint64_t(1), uint64_t(077777777777), uint64_t(1) << 50}) {
    const auto contents = tar_test::read(tar_header("a.txt", size));
    EXPECT_TRUE(contents.truncated);
    EXPECT_TRUE(contents.members.empty());
  }
  std::string binary = tar_header("a.txt", 0);
  binary.replace(124, 12, std::string("\x80") + std::string(3, '\0') + std::string(8, '\xff'));
  tar_test::set_checksum(binary);
  EXPECT_TRUE(tar_test::read(binary).truncated);
}

TEST(TarReader, SurvivesRandomDamage) {
  const std::string whole = member('x', "p", "12 path=b/c\n") + member('0', "a", "aaa") +
                            member('L', "l", std::string(200, 'q')) + member('0', "b.txt", "bbb") +
                            member('S', "sparse", "xx") + tar_end();
  SplitMix64 random(7);
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = whole.substr(0, random.chance(0.5) ? whole.size() : random.below(whole.size()));
    for (uint64_t i = random.below(6); i > 0 && !bytes.empty(); --i)
      bytes[random.below(bytes.size())] = static_cast<char>(random.next());
    // With a right checksum the damage gets further.
    for (size_t at = 0; at + 512 <= bytes.size(); at += 512) {
      if (!random.chance(0.5) || bytes[at] == 0) continue;
      std::string header = bytes.substr(at, 512);
      tar_test::set_checksum(header);
      bytes.replace(at, 512, header);
    }
    for (const auto& m : tar_test::read(bytes).members) {
      ASSERT_LE(m.offset, bytes.size());
      ASSERT_LE(m.size, bytes.size() - m.offset);
    }
  }
}

TEST(ShardIndex, SplitsNamesAtTheFirstDotAndGroupsNeighbours) {
  TarContents contents;
  for (const char* path : {"a/b.c/x1.seg.png", "a/b.c/x1.TXT", "__meta__", "__a__/y.txt", "noext", "a/.hidden", "x.txt",
                           "x.png", "x.txt", "__no.txt"}) {
    contents.members.push_back({path, 0, 0});
  }
  const auto index = group_members(contents);
  std::vector<std::pair<std::string, std::vector<std::string>>> got;
  for (const auto& sample : index.samples) {
    got.push_back({sample.key, {}});
    for (const auto& m : sample.members) got.back().second.push_back(m.ext);
  }
  EXPECT_EQ(got, (decltype(got){{"a/b.c/x1", {"seg.png", "txt"}}, {"x", {"txt", "png"}}, {"x", {"txt"}}, {"__no", {"txt"}}}));
}

TEST(ShardIndex, IsKeptInAFileUntilTheShardChanges) {
  const TemporaryFolder folder;
  const auto shard = folder / "a.tar";
  write_bytes(shard, tar_of({{"x.txt", "one"}}));
  const IndexFiles files{folder / "cache", true};
  EXPECT_EQ(files.load(shard).samples.size(), 1u);
  const auto kept = folder / "a.tar.idx.json";
  ASSERT_TRUE(std::filesystem::exists(kept));
  // An index of the same stamp is believed …
  std::string text = read_file(kept);
  text.replace(text.find("\"x\""), 3, "\"y\"");
  write_bytes(kept, text);
  EXPECT_EQ(files.load(shard).samples[0].key, "y");
  // … but not one that is damaged or points outside the shard …
  for (const std::string& bad : {std::string("{"), std::string("[]"), text.substr(0, text.size() / 2), [&] {
                                   std::string far = text;
                                   return far.replace(far.find("512"), 3, "99999999");
                                 }()}) {
    write_bytes(kept, bad);
    EXPECT_EQ(files.load(shard).samples.at(0).key, "x");
  }
  // … nor one of another version of the shard.
  write_bytes(shard, tar_of({{"x.txt", "one"}, {"z.txt", "two"}}));
  EXPECT_EQ(files.load(shard).samples.size(), 2u);
}

TEST(ShardIndex, GoesToTheCacheFolderWhereTheShardsCannotBeWritten) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.tar", tar_of({{"x.txt", "one"}}));
  // A folder of the index's name is in the way: that holds for root, too.
  std::filesystem::create_directories(folder / "a.tar.idx.json/x");
  IndexFiles{folder / "cache", true}.load(folder / "a.tar");
  EXPECT_FALSE(std::filesystem::is_empty(folder / "cache"));
}

TEST(GzipShards, AreUnpackedAndWhatPrecedesACutIsKept) {
  const TemporaryFolder folder;
  SplitMix64 random(3);
  std::string noise(200000, '\0');
  for (char& c : noise) c = static_cast<char>(random.next());
  const std::string tar = tar_of({{"x.txt", "one"}, {"y.bin", noise}});
  const auto file = folder / "a.tar.gz";
  write_bytes(folder / "a.tar", tar);
  ASSERT_EQ(std::system(("gzip '" + (folder / "a.tar").string() + "'").c_str()), 0);
  bool cut = true;
  EXPECT_EQ(open_shard_bytes(file, cut)->size(), tar.size());
  EXPECT_FALSE(cut);
  const std::string packed = read_file(file);
  write_bytes(file, packed.substr(0, packed.size() / 2));
  const auto index = IndexFiles{folder / "cache", false}.load(file);
  EXPECT_TRUE(index.truncated);
  ASSERT_EQ(index.samples.size(), 1u);
  EXPECT_EQ(index.samples[0].key, "x");
  EXPECT_THROW(unpack_gzip_bytes(folder / "a.tar.gz", 1000, cut), Error);
}

TEST(ShardWriter, WritesTheSameBytesWhateverTheOrderOfSamplesAndMembers) {
  const TemporaryFolder a, b;
  ShardWriter one(a.path(), "s", 2), two(b.path(), "s", 2);
  one.add("x 1", {{"txt", "t"}, {"jpg", "j"}, {"cls", "3"}, {"json", "{}"}});
  one.add("b", {{"txt", ""}});
  one.add("c", {{"txt", "last"}});
  one.finish();
  two.add("b", {{"txt", ""}});
  two.add("x 1", {{"json", "{}"}, {"cls", "3"}, {"jpg", "j"}, {"txt", "t"}});
  two.add("c", {{"txt", "last"}});
  two.finish();
  EXPECT_EQ(read_file(a / "s-000000.tar"), read_file(b / "s-000000.tar"));
  EXPECT_EQ(paths(tar_test::read(read_file(a / "s-000000.tar"))),
            (std::vector<std::string>{"b.txt", "x_1.jpg", "x_1.txt", "x_1.json", "x_1.cls"}));
  EXPECT_EQ(read_file(a / "sizes.json"), "{\n  \"s-000000.tar\": 2,\n  \"s-000001.tar\": 1\n}\n");
}

TEST(ShardWriter, RefusesKeysThatReadersWouldNotFindAgain) {
  const TemporaryFolder folder;
  ShardWriter writer(folder.path(), "s", 10);
  EXPECT_THROW(writer.add("", {{"txt", ""}}), Error);
  EXPECT_THROW(writer.add("a/", {{"txt", ""}}), Error);
  EXPECT_THROW(writer.add("__a__/b", {{"txt", ""}}), Error);
  EXPECT_THROW(writer.add("a", {}), Error);
  EXPECT_THROW(writer.add("a", {{"txt", ""}, {"txt", ""}}), Error);
  writer.add("a.b", {{"txt", ""}});
  EXPECT_THROW(writer.add("a_b", {{"txt", ""}}), Error);
}

TEST(ShardWriter, LeavesNothingBehindWithoutFinishAndRefusesToMixTwoRuns) {
  const TemporaryFolder folder;
  { ShardWriter(folder.path(), "s", 10).add("a", {{"txt", ""}}); }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  {
    ShardWriter writer(folder.path(), "s", 10);
    writer.add("a", {{"txt", ""}});
    writer.finish();
  }
  EXPECT_THROW(ShardWriter(folder.path(), "s", 10), Error);
  EXPECT_NO_THROW(ShardWriter(folder.path(), "other", 10).finish());
}

}  // namespace vlm::test
