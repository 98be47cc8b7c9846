#include "vlm/io/torch_checkpoint.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <ctime>
#include <cstring>
#include <nlohmann/json.hpp>

#include "error_of.h"
#include "io/zip_writer.h"
#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/pickle_machine.h"

namespace vlm {
namespace torch_checkpoint_test {

using testing::checkpoint_of;
using testing::pickled;
using testing::text;
using testing::whole;

std::string floats(const std::vector<float>& values) {
  std::string out(values.size() * sizeof(float), '\0');
  std::memcpy(out.data(), values.data(), out.size());
  return out;
}

TorchCheckpoint open(const testing::TemporaryFolder& folder, const std::string& bytes,
                     const TorchCheckpointOptions& options = {}) {
  write_file_atomically(folder / "c.pt", bytes);
  return TorchCheckpoint(folder / "c.pt", options);
}

std::string refusal(const std::string& bytes) {
  const testing::TemporaryFolder folder;
  return testing::error_of([&] { flatten(open(folder, bytes).root()); });
}

::testing::AssertionResult mentions(const std::string& message, const std::string& part) {
  if (message.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << message << "' lacks '" << part << "'";
}

/// {"w": a tensor of six floats}
std::string dict_with(const testing::PickledTensor& tensor) { return "}" + text("w") + pickled(tensor) + "s"; }

}  // namespace torch_checkpoint_test

TEST(TorchCheckpoint, ValuesAreFoundByKeyAndKeepTheFileOpen) {
  using namespace torch_checkpoint_test;
  const testing::TemporaryFolder folder;
  std::optional<CheckpointValue> value;
  {
    const auto checkpoint = open(folder, checkpoint_of("}" + text("epoch") + whole(3) + "s" + text("w") +
                                                           pickled({"FloatStorage", "0", 6, 0, {2, 3}, {3, 1}}) + "s",
                                                       {{"0", floats({1, 2, 3, 4, 5, 6})}}));
    EXPECT_EQ(checkpoint.root().find("epoch")->integer(), 3);
    EXPECT_FALSE(checkpoint.root().find("step"));
    EXPECT_THROW(checkpoint.root().find("epoch")->text(), Error);
    value = checkpoint.root().find("w");
  }
  EXPECT_TRUE(at::equal(value->tensor(), at::tensor({1.f, 2.f, 3.f, 4.f, 5.f, 6.f}).view({2, 3})));
}

TEST(TorchCheckpoint, AChangedTensorNeverChangesTheFile) {
  using namespace torch_checkpoint_test;
  const testing::TemporaryFolder folder;
  const std::string bytes = checkpoint_of(dict_with({"FloatStorage", "0", 2, 0, {2}, {1}}), {{"0", floats({1, 2})}});
  open(folder, bytes).root().find("w")->tensor().fill_(9);
  EXPECT_EQ(read_file(folder / "c.pt"), bytes);
}

TEST(TorchCheckpoint, TheStateDictIsTakenOutOfWhatTrainingWrapsAroundIt) {
  using namespace torch_checkpoint_test;
  const testing::TemporaryFolder folder;
  const std::string weights = "}" + text("a.weight") + pickled({"FloatStorage", "0", 2, 0, {2}, {1}}) + "s";
  for (const char* key : {"state_dict", "model", "module"}) {
    const auto checkpoint = open(
        folder, checkpoint_of("}" + text("epoch") + whole(1) + "s" + text(key) + weights + "s", {{"0", floats({1, 2})}}));
    const TensorMap got = state_dict(checkpoint.root());
    ASSERT_EQ(got.size(), 1u) << key;
    EXPECT_EQ(got.begin()->first, "a.weight");
  }
  // A key of that name that holds no tensors is an ordinary entry.
  const auto plain = open(
      folder, checkpoint_of("}" + text("model") + "}s" + text("w") + pickled({"FloatStorage", "0", 2, 0, {2}, {1}}) + "s",
                            {{"0", floats({1, 2})}}));
  EXPECT_EQ(state_dict(plain.root()).count("w"), 1u);
}

TEST(TorchCheckpoint, NumbersOfNumpyBecomePlainNumbers) {
  using namespace torch_checkpoint_test;
  const testing::TemporaryFolder folder;
  const auto dtype = [](const std::string& code, const std::string& order) {
    return "cnumpy\ndtype\n(" + text(code) + "\x89\x88tR(K\x03" + text(order) + "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK" +
           std::string(1, '\0') + "tb";
  };
  const auto scalar = [&](const std::string& code, const std::string& order, const std::string& bytes) {
    return "cnumpy.core.multiarray\nscalar\n" + dtype(code, order) + "C" + std::string(1, static_cast<char>(bytes.size())) +
           bytes + "\x86R";
  };
  const std::string half_be("\x3f\xe8\0\0\0\0\0\0", 8);  // 0.75
  const std::string half_le(half_be.rbegin(), half_be.rend());
  const auto value = [&](const std::string& opcodes) {
    return open(folder, checkpoint_of("}" + text("best") + opcodes + "s")).root().find("best")->to_json();
  };
  EXPECT_EQ(value(scalar("f8", "<", half_le)), 0.75);
  EXPECT_EQ(value(scalar("f8", ">", half_be)), 0.75);
  EXPECT_EQ(value(scalar("i2", "<", "\xfe\xff")), -2);
  EXPECT_EQ(value(scalar("b1", "|", "\x01")), true);
  EXPECT_TRUE(mentions(refusal(checkpoint_of(scalar("f8", "<", "abc"))), "8 bytes is given by 3"));
}

TEST(TorchCheckpoint, UnknownClassesAreRefusedUnlessTheyMayBePlaceholders) {
  using namespace torch_checkpoint_test;
  const testing::TemporaryFolder folder;
  const std::string bytes =
      checkpoint_of("}" + text("cfg") + "comegaconf.dictconfig\nDictConfig\n)\x81}" + text("secret") + whole(1) + "sbs" +
                        text("w") + pickled({"FloatStorage", "0", 2, 0, {2}, {1}}) + "s",
                    {{"0", floats({1, 2})}});
  EXPECT_TRUE(mentions(refusal(bytes), "unsupported global `omegaconf.dictconfig.DictConfig`"));
  const auto root = open(folder, bytes, {.allow_unknown_globals = true}).root();
  EXPECT_EQ(root.find("cfg")->to_json().dump(), R"({"unsupported":"omegaconf.dictconfig.DictConfig"})");
  EXPECT_EQ(state_dict(root).count("w"), 1u);
}

TEST(TorchCheckpoint, SharedListsThatUnfoldToBillionsAreRefusedQuickly) {
  using namespace torch_checkpoint_test;
  std::string opcodes = "]" + whole(1) + "aq" + std::string(1, '\0');
  for (int i = 0; i < 40; ++i)
    opcodes += std::string("](") + "h" + static_cast<char>(i) + "h" + static_cast<char>(i) + "eq" + static_cast<char>(i + 1);
  // The process's own time, and enough of it for a build with sanitizers; all of them would take hours.
  const std::clock_t begin = std::clock();
  EXPECT_TRUE(mentions(refusal(checkpoint_of(opcodes)), "unfolds to too many values"));
  EXPECT_LT(std::clock() - begin, 20 * CLOCKS_PER_SEC);
}

TEST(TorchCheckpoint, CopiesOfALongListCannotFillTheMemory) {
  using namespace torch_checkpoint_test;
  std::string opcodes = "](";
  for (int i = 0; i < 100000; ++i) opcodes += "N";
  opcodes += "eq" + std::string(1, '\0') + "]";
  for (int i = 0; i < 100000; ++i) opcodes += "c__builtin__\nlist\n" + std::string("h") + '\0' + "\x85Ra";
  EXPECT_TRUE(mentions(refusal(checkpoint_of(opcodes)), "more objects than a checkpoint has"));
}

TEST(TorchCheckpoint, NestingIsCountedThroughSharedValues) {
  using namespace torch_checkpoint_test;
  // A chain of 600 lists, and another of 600 that ends in it.
  std::string opcodes = "]q" + std::string(1, '\0');
  for (int i = 0; i < 600; ++i) opcodes = opcodes + "\x85";
  opcodes += "q\x01" + std::string("0h\x01h\x01");
  for (int i = 0; i < 600; ++i) opcodes += "\x85";
  opcodes += "\x86";
  EXPECT_TRUE(mentions(refusal(checkpoint_of(opcodes)), "nested more than 1000"));
}

TEST(TorchCheckpoint, MessagesNameThePathAndTheStorage) {
  using namespace torch_checkpoint_test;
  const std::string data = floats({1, 2, 3, 4, 5, 6});
  const auto of = [&](const testing::PickledTensor& tensor, const std::string& stored) {
    return refusal(checkpoint_of("}" + text("model") + dict_with(tensor) + "s", {{"0", stored}}));
  };
  EXPECT_EQ(of({"FloatStorage", "0", 6, 0, {2, 3}, {3, 1}}, data), "");
  EXPECT_TRUE(mentions(of({"FloatStorage", "0", 6, 1, {2, 3}, {3, 1}}, data), "'model.w'"));
  EXPECT_TRUE(mentions(of({"FloatStorage", "0", 7, 0, {2, 3}, {3, 1}}, data), "24 bytes where 28 are needed"));
  EXPECT_TRUE(mentions(of({"FloatStorage", "3", 6, 0, {2, 3}, {3, 1}}, data), "storage '3' is missing"));
  EXPECT_TRUE(mentions(of({"FloatStorage", "0", 6, 0, {int64_t(1) << 40}, {0}}, data), "unfolds to"));
  EXPECT_TRUE(mentions(of({"FloatStorage", "0", int64_t(1) << 62, 0, {1}, {1}}, data), "overflows"));
  EXPECT_EQ(of({"FloatStorage", "0", 6, 5, {1000, 0}, {1, 1}}, data), "");
}

TEST(TorchCheckpoint, ArchivesThatContradictThemselvesAreRefused) {
  using namespace torch_checkpoint_test;
  using testing::zip_of;
  const std::string pickle("\x80\x02}.", 4);
  EXPECT_EQ(refusal(zip_of({{"a/data.pkl", pickle}})), "");
  EXPECT_TRUE(mentions(refusal(zip_of({{"a/data.pkl", pickle}, {"b/data.pkl", pickle}})), "several data.pkl"));
  EXPECT_TRUE(mentions(refusal(zip_of({{"a/data.pkl", pickle}, {"a/data.pkl", pickle}})), "two entries"));
  EXPECT_TRUE(mentions(refusal(zip_of({{"a/data.pkl", pickle}, {"a/../x", "y"}})), "forbidden name"));
  EXPECT_TRUE(mentions(refusal(zip_of({{"a/data.pkl", pickle}, {"/x", "y"}})), "forbidden name"));
  EXPECT_TRUE(mentions(refusal(zip_of({{"a/data.pkl", pickle, 0, 1}})), "encrypted"));
  EXPECT_TRUE(mentions(refusal(zip_of({{"a/data.pkl", pickle}, {"a/data/0", "y", 8}})), "compressed"));
  EXPECT_EQ(refusal(zip_of({{"a/data.pkl", pickle}, {"a/code/x.py", "y", 8}})), "");
  EXPECT_TRUE(mentions(refusal(zip_of({{"a/b/data.pkl", pickle}})), "without data.pkl"));
  EXPECT_TRUE(mentions(refusal(zip_of({{"a/data.pkl", pickle}}) + "tail"), "end record"));
}

TEST(TorchCheckpoint, ModulesOfTorchScriptAreDictsOnlyInItsArchives) {
  using namespace torch_checkpoint_test;
  const std::string module =
      "\x80\x02"
      "c__torch__\nM\n)\x81}" +
      text("training") + "\x88sb.";
  EXPECT_EQ(refusal(testing::zip_of({{"a/data.pkl", module}, {"a/constants.pkl", "x"}})), "");
  EXPECT_TRUE(mentions(refusal(testing::zip_of({{"a/data.pkl", module}})), "__torch__.M"));
}

TEST(TorchCheckpoint, OfRepeatedKeysTheLastCounts) {
  using namespace torch_checkpoint_test;
  const testing::TemporaryFolder folder;
  const auto root =
      open(folder, checkpoint_of("}" + text("a") + whole(1) + "s" + text("b") + whole(2) + "s" + text("a") + whole(3) + "s"))
          .root();
  ASSERT_EQ(root.size(), 2u);
  EXPECT_EQ(root.key(0), "a");
  EXPECT_EQ(root.item(0).integer(), 3);
}

TEST(PickleMachine, WholeNumbersOfAnySizeAreReadInDecimal) {
  EXPECT_EQ(decimal_of(""), "0");
  EXPECT_EQ(decimal_of(std::string("\0\0", 2)), "0");
  EXPECT_EQ(decimal_of("\xff\xff"), "-1");
  EXPECT_EQ(decimal_of(std::string("\0\0\0\0\0\0\0\0\x40", 9)), "1180591620717411303424");
  EXPECT_EQ(decimal_of(std::string("\0\0\0\0\0\0\0\0\xc0", 9)), "-1180591620717411303424");
  EXPECT_THROW(decimal_of(std::string(2000, 'x')), Error);
}

}  // namespace vlm
