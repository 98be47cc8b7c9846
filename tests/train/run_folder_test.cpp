#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "temporary_folder.h"
#include "vlm/core/error.h"
#include "vlm/train/run_folder.h"

namespace vlm {

TEST(RunFolder, HasOneTrainerAtATime) {
  const testing::TemporaryFolder folder;
  {
    const RunFolderLock first(folder / "run");
    EXPECT_THROW(RunFolderLock(folder / "run"), Error);
  }
  EXPECT_NO_THROW(RunFolderLock(folder / "run"));
}

TEST(RunFolder, ARecipeThatMakesAnotherRunIsRefusedByKeyAndOtherChangesAreNamed) {
  const nlohmann::ordered_json before = {{"out", "a"},
                                         {"objective", {{"name", "clip"}}},
                                         {"train", {{"lr", 1e-3}, {"optimizer", {{"name", "adamw"}}}, {"save_every_steps", 0}}}};
  nlohmann::ordered_json now = before;
  now["out"] = "b";
  now["train"]["save_every_steps"] = 5;
  ::testing::internal::CaptureStderr();
  check_recipe_goes_on(before, now);
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  now["train"]["lr"] = 2e-3;
  ::testing::internal::CaptureStderr();
  check_recipe_goes_on(before, now);
  EXPECT_NE(::testing::internal::GetCapturedStderr().find("train.lr (0.001 before, 0.002 now)"), std::string::npos);
  now["train"]["optimizer"]["name"] = "lion";
  now["objective"]["name"] = "siglip";
  try {
    check_recipe_goes_on(before, now);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_NE(message.find("train.optimizer.name (\"adamw\" before, \"lion\" now)"), std::string::npos) << message;
    EXPECT_NE(message.find("objective.name"), std::string::npos) << message;
    EXPECT_NE(message.find("--resume none"), std::string::npos) << message;
  }
}

}  // namespace vlm
