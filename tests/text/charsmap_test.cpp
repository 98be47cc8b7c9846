#include "vlm/text/charsmap.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "error_of.h"
#include "vlm/core/error.h"
#include "vlm/text/sentencepiece_model.h"
#include "vlm/text/sentencepiece_tokenizer.h"

namespace vlm {
namespace charsmap_test {

/// A double array in which "a", "aa", "aaa", … up to `length` of them are replaced by "x".
struct Table {
  std::vector<uint32_t> units;
  std::string replacements = std::string("x\0", 2);

  explicit Table(uint32_t length) : units(256 * (length + 2)) {
    for (uint32_t i = 0; i < units.size(); ++i) units[i] = (i ^ 1) & 0xFF;  // belongs to no node
    units[0] = 256 << 10;
    for (uint32_t k = 1; k <= length; ++k) {
      const uint32_t child = 256 * k + 'a', next = 256 * (k + 1);
      units[child] = (child ^ next) << 10 | 1 << 8 | 'a';
      units[next] = 1u << 31;
    }
  }
  std::string bytes() const {
    std::string out;
    const auto put = [&](uint32_t value) {
      for (int shift = 0; shift < 32; shift += 8) out += static_cast<char>(value >> shift);
    };
    put(static_cast<uint32_t>(4 * units.size()));
    for (const uint32_t unit : units) put(unit);
    return out + replacements;
  }
};

std::string error_of(const std::string& bytes) {
  return testing::error_of([&] { check_charsmap(bytes); });
}

}  // namespace charsmap_test

using charsmap_test::error_of;
using charsmap_test::Table;

TEST(Charsmap, OnesThatStayInsideThemselvesPass) {
  EXPECT_EQ(error_of(""), "");
  EXPECT_EQ(error_of(Table(1).bytes()), "");
  EXPECT_EQ(error_of(Table(32).bytes()), "");
}

TEST(Charsmap, NothingLeadsOutOfTheTableOrRoundInIt) {
  Table table(3);
  table.units[0] = uint32_t(table.units.size()) << 10;
  EXPECT_NE(error_of(table.bytes()).find("points to unit"), std::string::npos);
  table = Table(3);
  table.units[512] = 1u << 31 | 2;
  EXPECT_NE(error_of(table.bytes()).find("a replacement at byte 2 of 2"), std::string::npos);
  table = Table(3);
  table.units[512 + 'a'] = ((512 + 'a') ^ 256u) << 10 | 'a';
  EXPECT_NE(error_of(table.bytes()).find("circle"), std::string::npos);
  table = Table(3);
  table.replacements = "x";
  EXPECT_NE(error_of(table.bytes()).find("does not end"), std::string::npos);
  EXPECT_NE(error_of(Table(33).bytes()).find("more than 32"), std::string::npos);
  const std::string whole = Table(3).bytes();
  for (const size_t size : {size_t(1), size_t(4), size_t(100), whole.size() - 2}) EXPECT_NE(error_of(whole.substr(0, size)), "");
}

TEST(Charsmap, AModelWithABadOneIsRefusedBeforeItsFirstText) {
  SentencePieceModel model;
  model.add("<unk>", 0);
  model.add("x", -1);
  model.mark("<unk>", SentencePieceModel::Type::unknown);
  Table table(3);
  model.charsmap = table.bytes();
  EXPECT_EQ(make_sentencepiece(model.serialized())->encode("aa"), (std::vector<int64_t>{1}));
  table.units[0] = 0x3FFFFFu << 10;
  model.charsmap = table.bytes();
  EXPECT_THROW(make_sentencepiece(model.serialized()), Error);
  model.charsmap.clear();
  model.add(std::string("\0b", 2), -1);
  EXPECT_THROW(make_sentencepiece(model.serialized()), Error) << "a piece that begins with NUL";
}

}  // namespace vlm
