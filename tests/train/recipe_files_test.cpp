#include <gtest/gtest.h>

#include <filesystem>

#include "vlm/core/error.h"
#include "vlm/train/recipe.h"

namespace vlm {

TEST(RecipeFiles, EveryRecipeThatComesWithVlmHasOnlyKeysThatThereAre) {
  int found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(VLM_SOURCE_DIR) + "/configs")) {
    if (entry.path().extension() != ".yaml") continue;
    found += 1;
    const auto read = [&](const std::vector<std::string>& overrides) {
      Config config = Config::load(entry.path());
      config.override_with(overrides);
      Recipe recipe;
      config.read(recipe);
      return recipe;
    };
    EXPECT_NO_THROW({
      const Recipe recipe = read({});
      EXPECT_FALSE(recipe.out.empty());
      EXPECT_TRUE(recipe.train.epochs > 0 || recipe.train.steps > 0) << entry.path();
    }) << entry.path();
    EXPECT_THROW(read({"train.epohcs=3"}), Error) << "a key that nothing reads goes unnoticed in " << entry.path();
  }
  EXPECT_GT(found, 5);
}

}  // namespace vlm
