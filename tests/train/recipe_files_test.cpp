#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/models/albef/config.h"
#include "vlm/models/mplug/config.h"
#include "vlm/train/alignment_objective.h"
#include "vlm/train/caption_objective.h"
#include "vlm/train/caption_scst_objective.h"
#include "vlm/train/clip_objective.h"
#include "vlm/train/coca_objective.h"
#include "vlm/train/ground_objective.h"
#include "vlm/train/mplug_objective.h"
#include "vlm/train/ofa_objective.h"
#include "vlm/train/ofa_pretrain_objective.h"
#include "vlm/train/ofa_scst_objective.h"
#include "vlm/train/recipe.h"
#include "vlm/train/sentence_objective.h"
#include "vlm/train/siglip_objective.h"
#include "vlm/train/vqa_objective.h"

namespace vlm {

namespace recipe_files_test {

std::vector<std::filesystem::path> recipes(const std::string& folder = "") {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(std::string(VLM_SOURCE_DIR) + "/configs" + folder)) {
    if (entry.path().extension() == ".yaml") out.push_back(entry.path());
  }
  return out;
}

Recipe read(const std::filesystem::path& file, const std::vector<std::string>& overrides = {}) {
  Config config = Config::load(file);
  config.override_with(overrides);
  Recipe recipe;
  config.read(recipe);
  return recipe;
}

template <class Options>
void read_options(const Config& config) {
  Options options;
  config.read(options);
  if constexpr (requires { options.terms; }) {
    AlignmentTerms(options.terms, {"image", "text", "image_aug", "text_aug", "image_ind", "text_ind", "image_ind_aug", "text_ind_aug"}, "the test");
  }
}

/// What reads objective.options.
const std::map<std::string, std::function<void(const Config&)>> readers = {
    {"clip", read_options<ClipObjectiveOptions>},
    {"siglip", read_options<SiglipObjectiveOptions>},
    {"coca", read_options<CocaObjectiveOptions>},
    {"caption", read_options<CaptionObjectiveOptions>},
    {"caption_scst", read_options<CaptionScstOptions>},
    {"vqa", read_options<VqaObjectiveOptions>},
    {"entail", read_options<SentenceClassOptions>},
    {"nlvr2", read_options<SentenceClassOptions>},
    {"text_assignment", read_options<SentenceOptions>},
    {"albef", read_options<AlignmentObjectiveOptions>},
    {"tcl", read_options<AlignmentObjectiveOptions>},
    {"codis", read_options<AlignmentObjectiveOptions>},
    {"mplug", read_options<MplugObjectiveOptions>},
    {"mplug_ground", read_options<MplugGroundOptions>},
    {"ofa", read_options<OfaObjectiveOptions>},
    {"ofa_pretrain", read_options<OfaPretrainOptions>},
    {"ofa_scst", read_options<OfaScstOptions>},
};

}  // namespace recipe_files_test

TEST(RecipeFiles, EveryRecipeThatComesWithVlmHasOnlyKeysThatThereAre) {
  const auto files = recipe_files_test::recipes();
  for (const auto& file : files) {
    EXPECT_NO_THROW({
      const Recipe recipe = recipe_files_test::read(file);
      EXPECT_FALSE(recipe.out.empty());
      EXPECT_TRUE(recipe.train.epochs > 0 || recipe.train.steps > 0) << file;
    }) << file;
    EXPECT_THROW(recipe_files_test::read(file, {"train.epohcs=3"}), Error) << "a key that nothing reads goes unnoticed in " << file;
  }
  EXPECT_GT(files.size(), 5u);
}

TEST(RecipeFiles, EveryObjectiveHasAReaderHere) {
  for (const auto& name : objectives().names()) {
    EXPECT_TRUE(recipe_files_test::readers.count(name)) << "objective '" << name << "': say above what reads its options";
  }
}

TEST(RecipeFiles, OptionsOfTheObjectiveAreKeysThatItHas) {
  for (const auto& file : recipe_files_test::recipes()) {
    const Recipe recipe = recipe_files_test::read(file);
    const auto reader = recipe_files_test::readers.find(recipe.objective.name);
    if (reader == recipe_files_test::readers.end()) {
      ADD_FAILURE() << file << ": nothing here reads the options of the objective '" << recipe.objective.name << "'";
      continue;
    }
    EXPECT_NO_THROW(reader->second(recipe.objective.options)) << file;
    Config wrong = Config::parse(recipe.objective.options.empty() ? "{}" : recipe.objective.options.to_json().dump(), "test");
    wrong.override_with({"no_such_option=1"});
    EXPECT_THROW(reader->second(wrong), Error) << file;
  }
}

TEST(RecipeFiles, FusionModelsAreMadeOfSizesThatFitTheirPictures) {
  int found = 0;
  for (const char* folder : {"/albef", "/tcl", "/codis", "/mplug", "/tiny"}) {
    for (const auto& file : recipe_files_test::recipes(folder)) {
      const Recipe recipe = recipe_files_test::read(file);
      const auto config = recipe.model.config.empty() ? nlohmann::ordered_json::object() : recipe.model.config.to_json();
      const bool mplug = recipe.model.family == "mplug", fusion = mplug || recipe.model.family == "albef" || config.contains("task");
      if (!fusion) continue;
      found += 1;
      if (mplug) {
        EXPECT_NO_THROW(MplugConfig::check_keys(config)) << file;
        const MplugConfig model = MplugConfig::from_json(config.dump(), file.string());
        EXPECT_EQ(model.image_res % model.patch_size, 0) << file;
      }
      if (recipe.model.family == "albef") {
        const AlbefConfig model = AlbefConfig::from_json(config.dump(), file.string());
        EXPECT_EQ(model.vision.image_height % model.vision.patch_size, 0) << file;
        EXPECT_EQ(model.text.encoder_width, model.vision.width) << file;
        EXPECT_EQ(recipe.objective.name == "codis", model.codebook_size > 0) << file;
      }
      // The recipe of a small run leaves the size to the model.
      if (config.contains("image_res") && recipe.data.preprocess.size != PreprocessOptions().size) {
        EXPECT_EQ(recipe.data.preprocess.size, std::vector<int64_t>{config["image_res"].get<int64_t>()}) << file;
      }
    }
  }
  EXPECT_GT(found, 25);
}

}  // namespace vlm
