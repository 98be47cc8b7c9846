#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "data/make_data.h"
#include "vlm/core/error.h"
#include "vlm/data/loader.h"

namespace vlm::test {

namespace loader_test {

BatchForm form() {
  BatchForm form;
  form.height = form.width = 1;
  form.text_length = 2;
  form.prepare = [](Sample&, const Image& image, SplitMix64& random, float* pixels, std::string&) {
    pixels[0] = image.pixels[0];
    pixels[1] = static_cast<float>(random.uniform());
    pixels[2] = 0;
  };
  form.tokenize = [](const std::string& text, int64_t* ids) {
    ids[0] = static_cast<int64_t>(text.size());
    ids[1] = std::stoll(text.substr(8));
  };
  return form;
}

std::shared_ptr<const Source> open(const std::filesystem::path& folder, const std::string& factors = "") {
  SourceOptions options;
  options.path = folder.string();
  options.write_index = false;
  options.upsampling_factors = factors;
  return open_source(options);
}

/// Numbers and random values of each batch.
struct Seen {
  std::vector<std::vector<int64_t>> numbers;
  std::vector<float> random;
  bool operator==(const Seen&) const = default;
};

void see(Seen& seen, const Batch& batch) {
  seen.numbers.push_back(batch.numbers);
  for (int64_t i = 0; i < batch.size(); ++i) {
    const float* row = batch.images.const_data_ptr<float>() + 3 * i;
    // Every part of the batch must be of the same sample, also behind a hole.
    EXPECT_EQ(row[0], static_cast<float>(batch.numbers[static_cast<size_t>(i)] % 256));
    EXPECT_EQ(batch.ids.const_data_ptr<int64_t>()[2 * i + 1], batch.numbers[static_cast<size_t>(i)]);
    EXPECT_EQ(batch.labels.const_data_ptr<int64_t>()[i], batch.numbers[static_cast<size_t>(i)] % 10);
    EXPECT_EQ(batch.texts[static_cast<size_t>(i)], "caption " + std::to_string(batch.numbers[static_cast<size_t>(i)]));
    seen.random.push_back(row[1]);
  }
}

Seen rest(Loader& loader) {
  Seen seen;
  Batch batch;
  while (loader.next(batch)) {
    see(seen, batch);
    loader.mark_used(batch);
  }
  return seen;
}

std::vector<int64_t> sorted(const std::vector<Seen>& parts) {
  std::vector<int64_t> out;
  for (const auto& part : parts) {
    for (const auto& numbers : part.numbers) out.insert(out.end(), numbers.begin(), numbers.end());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<int64_t> count_to(int64_t n) {
  std::vector<int64_t> out(static_cast<size_t>(n));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

LoaderOptions options(int64_t threads = 0, const std::string& end = "exact") {
  LoaderOptions options;
  options.batch_size = 4;
  options.workers = 2;
  options.threads = threads;
  options.seed = 17;
  options.epoch_end = end;
  return options;
}

Cursor through_json(const Cursor& cursor) { return Cursor::from_json(nlohmann::json::parse(cursor.to_json().dump())); }

}  // namespace loader_test

using loader_test::Seen;

TEST(Loader, GivesTheSameBatchesForAnyNumberOfThreads) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {9, 5, 12, 7}, {3, 20});
  const auto source = loader_test::open(folder.path());
  std::vector<Seen> seen;
  for (const int64_t threads : {0, 1, 4}) {
    Loader loader(source, loader_test::options(threads), loader_test::form());
    loader.start_epoch(1);
    seen.push_back(loader_test::rest(loader));
    EXPECT_EQ(loader.skips().counts(), std::vector<std::string>{"bad_image=2"});
    EXPECT_EQ(loader.skips().used(), 31);
  }
  EXPECT_EQ(seen[0], seen[1]);
  EXPECT_EQ(seen[0], seen[2]);
}

TEST(Loader, ServesEverySampleOnceOverAllRanks) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {9, 5, 12, 7});
  const auto source = loader_test::open(folder.path());
  for (const int64_t world : {1, 2, 3, 8}) {
    std::vector<Seen> seen;
    std::set<size_t> batches;
    for (int64_t rank = 0; rank < world; ++rank) {
      auto options = loader_test::options();
      options.rank = rank;
      options.world_size = world;
      Loader loader(source, options, loader_test::form());
      seen.push_back(loader_test::rest(loader));
      batches.insert(seen.back().numbers.size());
      EXPECT_EQ(static_cast<int64_t>(seen.back().numbers.size()), loader.batches_per_epoch(0));
    }
    EXPECT_EQ(loader_test::sorted(seen), loader_test::count_to(33)) << world;
    EXPECT_EQ(batches.size(), 1u) << "all ranks must take as many steps";
  }
}

TEST(Loader, DropsOrPadsUnevenEndsToFullBatchesOnEveryRank) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {9, 5, 12, 7});
  const auto source = loader_test::open(folder.path());
  for (const char* end : {"drop", "pad"}) {
    std::vector<Seen> seen;
    std::set<size_t> batches;
    for (int64_t rank = 0; rank < 2; ++rank) {
      auto options = loader_test::options(0, end);
      options.rank = rank;
      options.world_size = 2;
      Loader loader(source, options, loader_test::form());
      seen.push_back(loader_test::rest(loader));
      batches.insert(seen.back().numbers.size());
      for (const auto& numbers : seen.back().numbers) EXPECT_EQ(numbers.size(), 4u) << end;
    }
    EXPECT_EQ(batches.size(), 1u) << end;
    auto all = loader_test::sorted(seen);
    const size_t count = all.size();
    all.erase(std::unique(all.begin(), all.end()), all.end());
    if (std::string(end) == "drop") {
      EXPECT_EQ(all.size(), count) << "nothing is repeated";
    } else {
      EXPECT_EQ(all, loader_test::count_to(33)) << "nothing is lost";
    }
  }
}

TEST(Loader, GoesOnAfterAnyBatchAsIfItHadNotStopped) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {9, 5, 12, 7}, {3, 20});
  const auto source = loader_test::open(folder.path());
  for (const char* end : {"exact", "drop", "pad"}) {
    Loader whole(source, loader_test::options(2, end), loader_test::form());
    const Seen expected = loader_test::rest(whole);
    for (size_t stop = 0; stop < expected.numbers.size(); ++stop) {
      Loader first(source, loader_test::options(2, end), loader_test::form());
      Seen seen;
      Batch batch;
      for (size_t i = 0; i < stop; ++i) {
        ASSERT_TRUE(first.next(batch));
        loader_test::see(seen, batch);
        first.mark_used(batch);
      }
      first.next(batch);  // handed out, but not used: it must come again
      Loader second(source, loader_test::options(0, end), loader_test::form());
      second.resume(loader_test::through_json(first.cursor()));
      const Seen more = loader_test::rest(second);
      seen.numbers.insert(seen.numbers.end(), more.numbers.begin(), more.numbers.end());
      seen.random.insert(seen.random.end(), more.random.begin(), more.random.end());
      EXPECT_EQ(seen, expected) << end << " " << stop;
    }
  }
}

TEST(Loader, LosesAndRepeatsNothingWhenTheRanksChangeTwice) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {9, 5, 12, 7, 20, 1});
  const auto source = loader_test::open(folder.path());
  std::vector<Seen> seen;
  Cursor cursor;
  bool begun = false;
  const std::vector<std::pair<int64_t, int>> stages = {{2, 2}, {3, 1}, {1, 2}, {2, 1000}};
  for (const auto& [world, steps] : stages) {
    std::vector<nlohmann::ordered_json> cursors;
    for (int64_t rank = 0; rank < world; ++rank) {
      auto options = loader_test::options();
      options.rank = rank;
      options.world_size = world;
      Loader loader(source, options, loader_test::form());
      if (begun) loader.resume(cursor);
      seen.emplace_back();
      Batch batch;
      for (int i = 0; i < steps && loader.next(batch); ++i) {
        loader_test::see(seen.back(), batch);
        loader.mark_used(batch);
      }
      cursors.push_back(loader.cursor().to_json());
      EXPECT_EQ(cursors.back(), cursors.front()) << "every rank must know where all stand";
    }
    cursor = Cursor::from_json(nlohmann::json::parse(cursors[0].dump()));
    begun = true;
  }
  EXPECT_EQ(cursor.earlier.size(), 3u);
  EXPECT_TRUE(cursor.finished);
  EXPECT_EQ(loader_test::sorted(seen), loader_test::count_to(54));
}

TEST(Loader, ResumesAtAnEpochsEndWithTheNextEpoch) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {9, 8});
  const auto source = loader_test::open(folder.path());
  Loader first(source, loader_test::options(0, "drop"), loader_test::form());
  first.start_epoch(4);
  loader_test::rest(first);
  Batch batch;
  EXPECT_FALSE(first.next(batch)) << "an epoch that is over stays so";
  auto options = loader_test::options(0, "drop");
  options.workers = 1;  // with one worker there would be another full batch in what was dropped
  Loader second(source, options, loader_test::form());
  second.resume(loader_test::through_json(first.cursor()));
  EXPECT_EQ(second.epoch(), 5);
  EXPECT_EQ(second.batches_left(), second.batches_per_epoch(5));
}

TEST(Loader, EvaluatesInTheOrderOfTheDataSet) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {9, 5, 12});
  auto options = loader_test::options(3).for_evaluation();
  options.workers = 1;
  Loader loader(loader_test::open(folder.path()), options, loader_test::form());
  std::vector<int64_t> order;
  for (const auto& numbers : loader_test::rest(loader).numbers) order.insert(order.end(), numbers.begin(), numbers.end());
  EXPECT_EQ(order, loader_test::count_to(26));
}

TEST(Loader, DrawsOneOfSeveralCaptionsInTrainingAndTheFirstInEvaluation) {
  const TemporaryFolder folder;
  std::vector<std::pair<std::string, std::string>> members;
  for (int k = 0; k < 40; ++k) {
    members.emplace_back("k" + std::to_string(k) + ".png", bmp(1, 1, 0, 0, 0));
    members.emplace_back("k" + std::to_string(k) + ".txt", "a");
    members.emplace_back("k" + std::to_string(k) + ".json", R"({"captions": ["a", "b", "c"]})");
  }
  write_bytes(folder / "a.tar", tar_of(members));
  SourceOptions source;
  source.path = folder.path().string();
  source.captions_field = "captions";
  source.write_index = false;
  const std::shared_ptr<const Source> opened = open_source(source);
  const auto texts = [&](const LoaderOptions& options, int64_t epoch) {
    Loader loader(opened, options, {});
    loader.start_epoch(epoch);
    std::vector<std::string> out(40);
    Batch batch;
    while (loader.next(batch)) {
      for (size_t i = 0; i < batch.texts.size(); ++i) out[static_cast<size_t>(batch.numbers[i])] = batch.texts[i];
    }
    return out;
  };
  const auto drawn = texts(loader_test::options(), 0);
  EXPECT_EQ(std::set<std::string>(drawn.begin(), drawn.end()).size(), 3u);
  EXPECT_NE(drawn, texts(loader_test::options(), 1));
  auto other = loader_test::options(3);
  other.workers = 5;
  EXPECT_EQ(drawn, texts(other, 0)) << "the draw must not depend on who reads the sample";
  EXPECT_EQ(texts(loader_test::options().for_evaluation(), 0), std::vector<std::string>(40, "a"));
}

TEST(Loader, EndsTheRunAtTheFirstSkipIfStrictAndAfterTheEpochIfThereAreTooMany) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {10}, {2, 5});
  const auto source = loader_test::open(folder.path());
  auto options = loader_test::options(2);
  Loader lenient(source, options, loader_test::form());
  Batch batch;
  int64_t samples = 0;
  const auto read_all = [&](Loader& loader) {
    samples = 0;
    while (loader.next(batch)) samples += batch.size();
  };
  EXPECT_THROW(read_all(lenient), Error);
  EXPECT_EQ(samples, 8);
  options.max_skip_fraction = 0.2;
  Loader patient(source, options, loader_test::form());
  EXPECT_NO_THROW(read_all(patient));
  options.strict = true;
  Loader strict(source, options, loader_test::form());
  EXPECT_THROW(read_all(strict), SampleError);
}

TEST(Loader, PassesOnErrorsThatAreNoSamplesFault) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {10});
  auto form = loader_test::form();
  form.tokenize = [](const std::string&, int64_t*) { fail("no vocabulary"); };
  Loader loader(loader_test::open(folder.path()), loader_test::options(2), form);
  Batch batch;
  EXPECT_THROW(loader.next(batch), Error);
}

TEST(Loader, RefusesToResumeOnOtherData) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {10, 10});
  Loader first(loader_test::open(folder.path()), loader_test::options(), loader_test::form());
  const Cursor cursor = first.cursor();
  make_shards(folder.path(), {10, 11});
  auto options = loader_test::options();
  Loader second(loader_test::open(folder.path()), options, loader_test::form());
  EXPECT_THROW(second.resume(cursor), Error);
  options.ignore_data_change = true;
  Loader third(loader_test::open(folder.path()), options, loader_test::form());
  EXPECT_NO_THROW(third.resume(cursor));
}

TEST(Loader, SaysSoIfThereIsNotOneFullBatch) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {3});
  Loader loader(loader_test::open(folder.path()), loader_test::options(0, "drop"), loader_test::form());
  EXPECT_THROW(loader.start_epoch(0), Error);
}

TEST(Loader, CanBeDroppedOrRestartedWhileBatchesAreBeingMade) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {60, 60});
  const auto source = loader_test::open(folder.path());
  for (int i = 0; i < 20; ++i) {
    auto options = loader_test::options(4);
    options.prefetch = 8;
    Loader loader(source, options, loader_test::form());
    Batch batch;
    loader.next(batch);
    const Batch old = batch;
    loader.start_epoch(1);
    loader.next(batch);
    loader.mark_used(old);
    EXPECT_EQ(loader.cursor().consumed, (std::vector<int64_t>{0, 0})) << "a batch of an epoch that was left says nothing";
  }
}

TEST(Loader, ResumesAResampledEpoch) {
  const TemporaryFolder folder;
  make_shards(folder.path(), {9, 5, 12});
  const auto source =
      loader_test::open((folder.path() / "s-000000.tar::").string() + (folder / "s-00000{1..2}.tar").string(), "1::2");
  auto options = loader_test::options();
  EXPECT_THROW(Loader(source, options, loader_test::form()), Error) << "weights without resampling";
  options.resampled = true;
  options.num_samples = 50;
  Loader whole(source, options, loader_test::form());
  const Seen expected = loader_test::rest(whole);
  EXPECT_EQ(expected.numbers.size(), 13u);
  for (size_t stop = 0; stop < 13; ++stop) {
    Loader first(source, options, loader_test::form());
    Seen seen;
    Batch batch;
    for (size_t i = 0; i < stop; ++i) {
      first.next(batch);
      loader_test::see(seen, batch);
      first.mark_used(batch);
    }
    Loader second(source, options, loader_test::form());
    second.resume(loader_test::through_json(first.cursor()));
    const Seen more = loader_test::rest(second);
    seen.numbers.insert(seen.numbers.end(), more.numbers.begin(), more.numbers.end());
    EXPECT_EQ(seen.numbers, expected.numbers);
  }
}

}  // namespace vlm::test
