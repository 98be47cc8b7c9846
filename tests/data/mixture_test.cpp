#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "data/make_data.h"
#include "vlm/core/error.h"
#include "vlm/data/mixture.h"

namespace vlm::test {

namespace mixture_test {

/// Two data sets of 7 and 20 samples, in batches of 2 and 3.
MixLoader open(const TemporaryFolder& folder, const std::string& mix = "small=1,large=2") {
  const auto loader = [&](const char* name, int samples, int64_t batch) {
    if (!std::filesystem::exists(folder / name)) make_shards(folder / name, {samples});
    SourceOptions options;
    options.path = (folder / name).string();
    options.write_index = false;
    BatchForm form;
    form.height = form.width = 1;
    form.prepare = [](Sample&, const Image& image, SplitMix64&, float* pixels, std::string&) {
      pixels[0] = image.pixels[0];
    };
    LoaderOptions loading;
    loading.batch_size = batch;
    loading.threads = 0;
    loading.seed = 5;
    return std::make_unique<Loader>(open_source(options), loading, form);
  };
  std::vector<std::unique_ptr<Loader>> loaders;
  loaders.push_back(loader("small", 7, 2));
  loaders.push_back(loader("large", 20, 3));
  return MixLoader(parse_mix(mix), std::move(loaders), 9);
}

std::vector<std::vector<int64_t>> steps(MixLoader& loader, int count) {
  std::vector<std::vector<int64_t>> out;
  for (int i = 0; i < count; ++i) {
    Batch batch;
    const auto part = static_cast<int64_t>(loader.next(batch));
    out.push_back(batch.numbers);
    out.back().push_back(part);
    loader.mark_used();
  }
  return out;
}

}  // namespace mixture_test

TEST(Mix, DrawsDataSetsByTheirWeights) {
  const auto parts = parse_mix("a=1, b=3,c=0");
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[1].name, "b");
  MixOrder order(parts, 1), same(parts, 1);
  std::vector<int> counts(3);
  for (int i = 0; i < 4000; ++i) ++counts[order.next()];
  EXPECT_NEAR(counts[0], 1000, 120);
  EXPECT_EQ(counts[2], 0);
  same.skip(4000);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(order.next(), same.next());
  for (const char* wrong : {"", "a=x", "a=-1", "a=1,a=2", "a=0", "=1", "a=1,,b=1", "a="})
    EXPECT_THROW(parse_mix(wrong), Error) << wrong;
}

TEST(Mix, GoesOnWhereItStoodThroughEpochsOfItsOwn) {
  const TemporaryFolder folder;
  MixLoader whole = mixture_test::open(folder);
  const auto all = mixture_test::steps(whole, 40);
  EXPECT_GT(whole.loader(0).epoch(), 1);
  EXPECT_NE(whole.loader(0).epoch(), whole.loader(1).epoch());
  for (const int stop : {0, 1, 9, 17, 30}) {
    MixLoader first = mixture_test::open(folder);
    mixture_test::steps(first, stop);
    Batch unused;
    first.next(unused);  // handed out, but no step has used it
    const auto cursor = MixCursor::from_json(nlohmann::json::parse(first.cursor().to_json().dump()));
    MixLoader second = mixture_test::open(folder);
    second.resume(cursor);
    const auto rest = mixture_test::steps(second, 40 - stop);
    EXPECT_EQ(rest, std::vector(all.begin() + stop, all.end())) << stop;
  }
}

TEST(Mix, GivesFixedSharesOfEachStep) {
  const TemporaryFolder folder;
  MixLoader loader = mixture_test::open(folder, "small=1,large=1");
  std::vector<Batch> batches;
  for (int i = 0; i < 12; ++i) {
    loader.next_of_each(batches);
    EXPECT_EQ(batches.at(0).size(), 2);
    EXPECT_EQ(batches.at(1).size(), 3);
    loader.mark_used();
  }
}

TEST(Mix, RefusesACursorOfOtherDataSets) {
  const TemporaryFolder folder;
  MixLoader loader = mixture_test::open(folder);
  MixCursor cursor = loader.cursor();
  cursor.parts["third"] = cursor.parts.at("small");
  EXPECT_THROW(loader.resume(cursor), Error);
  cursor.parts.erase("small");
  EXPECT_THROW(loader.resume(cursor), Error);
}

}  // namespace vlm::test
