#include "vlm/train/run_record.h"

#include <gtest/gtest.h>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

TEST(RunRecord, TornForeignAndDeepLinesArePassedOver) {
  const testing::TemporaryFolder run;
  write_file_atomically(run / "metrics.jsonl",
                        R"({"step":1,"epoch":0,"loss":5,"losses":{"contrastive":3,"caption":2},"time":100})" "\nno json\n[1]\n{\"loss\":3}\n" +
                            std::string(100000, '[') + "\n" +
                            R"({"step":2,"epoch":0,"loss":null,"lr":0.1,"time":107})" "\n"
                            R"({"step":2,"epoch":0,"eval":"validation","metrics":{"mean_recall":0.25},"report":{}})" "\n"
                            R"({"step":2,"epoch":0,"eval":"other","metrics":{"mean_recall":0.5}})" "\n"
                            R"({"step":3,"lo)");
  const RunRecord record = read_run(run.path());
  EXPECT_EQ(record.steps.at("loss"), (Series{{1, 5.0}}));
  EXPECT_EQ(record.steps.at("loss/caption"), (Series{{1, 2.0}}));
  EXPECT_EQ(record.steps.at("lr"), (Series{{2, 0.1}}));
  EXPECT_EQ(record.evaluations.at("mean_recall"), (Series{{2, 0.25}}));
  EXPECT_EQ(record.evaluations.at("other/mean_recall"), (Series{{2, 0.5}}));
  EXPECT_EQ(record.last_step, 2);
  EXPECT_EQ(record.seconds, 7);
  EXPECT_FALSE(record.finished);
}

TEST(RunRecord, LogsOfTheOlderFormAreUnderstood) {
  const testing::TemporaryFolder run;
  write_file_atomically(run / "log.jsonl", R"({"step":4,"epoch":1,"loss":2})" "\n"
                        R"({"step":4,"epoch":1,"eval":{"image_to_text":{"R@10":0.5},"mean_recall":0.25,"chance":{"image_to_text":{"R@10":0.1}},"images":9}})" "\n");
  const RunRecord record = read_run(run.path());
  EXPECT_EQ(record.evaluations.at("image_to_text_recall@10"), (Series{{4, 0.5}}));
  EXPECT_EQ(record.evaluations.size(), 2u);
}

TEST(RunRecord, TheNewestSamplesThatCanBeReadAreTaken) {
  const testing::TemporaryFolder run;
  write_file_atomically(run / "metrics.jsonl", "");
  EXPECT_TRUE(read_run(run.path()).samples.is_null());
  write_file_atomically(run / "samples/step-00000001.json", R"({"step":1,"samples":[]})");
  write_file_atomically(run / "samples/step-00000002.json", R"({"step":2,"samples":[]})");
  write_file_atomically(run / "samples/step-00000003.json", R"({"step":3,"sam)");
  EXPECT_EQ(read_run(run.path()).samples.at("step"), 2);
}

TEST(RunRecord, AFolderWithoutALogIsNoRun) {
  const testing::TemporaryFolder run;
  EXPECT_FALSE(is_run_folder(run.path()));
  EXPECT_THROW(read_run(run.path()), Error);
}

TEST(RunRecord, ThinningKeepsTheEndsAndTheMean) {
  Series series;
  for (int64_t k = 0; k < 1000; ++k) series.emplace_back(k, static_cast<double>(k));
  const Series thin = thin_out(series, 10);
  ASSERT_EQ(thin.size(), 10u);
  EXPECT_EQ(thin.front(), (std::pair<int64_t, double>{0, 49.5}));
  EXPECT_EQ(thin.back(), (std::pair<int64_t, double>{999, 949.5}));
  EXPECT_EQ(thin_out(series, 1000), series);
}

TEST(RunRecord, ConfigurationsAreDottedKeys) {
  const auto keys = flat_keys({{"out", "runs/a"}, {"train", {{"lr", 0.5}, {"betas", {1, 2}}}}});
  EXPECT_EQ(keys, (std::map<std::string, std::string>{{"out", "runs/a"}, {"train.lr", "0.5"}, {"train.betas", "[1,2]"}}));
}

}  // namespace vlm
