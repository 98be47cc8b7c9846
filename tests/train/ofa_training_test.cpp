#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tiny_ofa.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/data/base64.h"
#include "vlm/data/image_encode.h"
#include "vlm/data/scenes.h"
#include "vlm/io/safetensors.h"
#include "vlm/models/generator.h"
#include "vlm/models/tuning.h"
#include "vlm/train/trainer.h"

namespace vlm {

namespace ofa_training_test {

/// Whole runs of a tiny OFA on drawn scenes.
class OfaTraining : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    set_log_level(LogLevel::quiet);
    folder_ = new testing::TemporaryFolder;
    make_scenes(SceneSetOptions{.out = *folder_ / "scenes", .count = 100, .seed = 5});
    write_file_atomically(*folder_ / "tokenizer.model", testing::tiny_ofa_pieces());
    write_pretraining_files();
  }
  static void TearDownTestSuite() {
    delete folder_;
    set_log_level(LogLevel::info);
  }

  /// Rows of all kinds, with one and the same picture.
  static void write_pretraining_files() {
    Image picture(48, 40);
    for (size_t i = 0; i < picture.pixels.size(); ++i) picture.pixels[i] = static_cast<uint8_t>(37 * i % 251);
    const std::string image = encode_base64(encode_png(picture));
    std::string pairs, texts, pictures, detections;
    for (int i = 0; i < 8; ++i) {
      const std::string id = std::to_string(i), tab = "\t";
      pairs += id + tab + image + tab + "a red cat" + tab + tab + tab + "cat&&dog" + tab + "coco" + tab + "caption\n";
      pairs += id + "q" + tab + image + tab + tab + "what is it" + tab + "0.8|!+a dog&&0.2|!+a cat" + tab + tab + "vqa" + tab + "qa\n";
      pairs += id + "g" + tab + image + tab + "the blue ball" + tab + tab + "4,5,30,40" + tab + tab + "refcoco" + tab + "visual_grounding\n";
      texts += id + tab + "two green dogs and a big red ball on the sofa " + id + "\n";
      pictures += id + tab + image + tab + std::to_string(i) + " 3 5 15\n";
      detections += id + tab + image + tab + "4,5,30,40,7,cat&&1,1,12,12,9,big dog\n";
    }
    write_file_atomically(*folder_ / "pairs.tsv", pairs);
    write_file_atomically(*folder_ / "texts.tsv", texts);
    write_file_atomically(*folder_ / "pictures.tsv", pictures);
    write_file_atomically(*folder_ / "detections.tsv", detections);
  }

  static Recipe recipe(const std::string& out, const std::string& text, const std::vector<std::string>& overrides = {}) {
    Config config = Config::parse(text, "recipe");
    config.override_with({"out=" + path(out), "data.batch_size=8", "data.threads=1", "data.preprocess.resize_mode=squash", "data.augment.squash=true",
                          "train.lr=1e-3", "train.optimizer.name=adam_fairseq", "train.eval_every_epochs=0", "train.save_every_epochs=0"});
    config.override_with(overrides);
    Recipe made;
    config.read(made);
    return made;
  }

  static std::string path(const std::string& name) { return (*folder_ / name).string(); }

  static std::string mixed() {
    return "model: {family: ofa, tokenizer: " + path("tokenizer.model") + ", config: " + testing::taught_ofa_config() + "}\n" + R"(
data:
  mix:
    captions: {path: )" + path("scenes/train-000000.tar") + R"(, captions_field: captions}
    questions: {path: )" + path("scenes/vqa_train.json") + R"(, type: albef_vqa}
objectives:
  caption: {name: ofa, data: [captions], options: {task: caption, label_smoothing: 0.1}}
  vqa: {name: ofa, data: [questions], options: {task: vqa}}
train: {steps: 8}
)";
  }

  static std::string multitask() {
    return "model: {family: ofa, tokenizer: " + path("tokenizer.model") + ", config: " + testing::taught_ofa_config() + "}\n" + R"(
data:
  mix_within_step: true
  mix:
    image_text: {path: )" + path("pairs.tsv") + R"(, type: ofa_tsv, tsv_task: pretrain, batch_size: 6}
    text: {path: )" + path("texts.tsv") + R"(, type: ofa_tsv, tsv_task: pretrain_text, batch_size: 2}
    image: {path: )" + path("pictures.tsv") + R"(, type: ofa_tsv, tsv_task: pretrain_image, batch_size: 1}
    detection: {path: )" + path("detections.tsv") + R"(, type: ofa_tsv, tsv_task: pretrain_detection, batch_size: 1}
objective: {name: ofa_pretrain, options: {code_image_size: 16, max_image_size: 32, sample_patches: 3, max_resize: 40, max_side: 64}}
train: {steps: 8}
)";
  }

  static std::vector<nlohmann::json> steps(const std::string& out) {
    std::vector<nlohmann::json> found;
    std::ifstream in(path(out) + "/metrics.jsonl");
    for (std::string line; std::getline(in, line);) {
      auto entry = nlohmann::json::parse(line);
      if (entry.contains("loss")) found.push_back(std::move(entry));
    }
    return found;
  }
  static std::vector<double> losses(const std::string& out) {
    std::vector<double> found;
    for (const auto& entry : steps(out)) found.push_back(entry["loss"]);
    return found;
  }

  /// A run, and the same one stopped after three steps and begun again: same losses, same weights.
  static std::filesystem::path trains_and_resumes(const std::string& name, const std::string& text, const std::vector<std::string>& overrides = {}) {
    const TrainResult whole = run_training(recipe(name, text, overrides));
    TrainerOptions stopping;
    int64_t made = 0;
    stopping.should_stop = [&] { return ++made == 3; };
    EXPECT_FALSE(run_training(recipe(name + "_half", text, overrides), stopping).finished);
    const TrainResult rest = run_training(recipe(name + "_half", text, overrides));
    EXPECT_EQ(losses(name + "_half"), losses(name));
    const auto a = load_model(whole.model), b = load_model(rest.model);
    const auto weights = weights_of(*b.model);
    for (const auto& [tensor_name, tensor] : weights_of(*a.model)) EXPECT_TRUE(at::equal(tensor, weights.at(tensor_name))) << tensor_name;
    return whole.model;
  }

  static Tensor logits(const std::filesystem::path& folder) {
    const auto loaded = load_model(folder);
    const at::NoGradGuard no_grad;
    auto& model = dynamic_cast<Instructed&>(*loaded.model);
    const Batch batch = testing::ofa_batch(0, 2);
    Instruction instruction;
    instruction.ids = at::ones({2, 5}, at::kLong) * 7;
    instruction.pixels = batch.images;
    return model.reply_logits(*model.encode_instruction(instruction), at::ones({2, 3}, at::kLong));
  }

  static testing::TemporaryFolder* folder_;
};
testing::TemporaryFolder* OfaTraining::folder_ = nullptr;

TEST_F(OfaTraining, CaptionsAndQuestionsAreLearntSideBySideAndAStoppedRunGoesOnToTheSameWeights) {
  trains_and_resumes("mixed", mixed());
  std::set<std::string> terms;
  for (const auto& entry : steps("mixed")) {
    for (const auto& [name, value] : entry.at("losses").items()) terms.insert(name);
  }
  EXPECT_EQ(terms, (std::set<std::string>{"caption/caption", "vqa/vqa"}));
}

TEST_F(OfaTraining, PretrainingTakesAllBatchesOfAStepTogetherAndGoesOnWhereItStopped) {
  trains_and_resumes("multitask", multitask());
  for (const auto& entry : steps("multitask")) {
    ASSERT_EQ(entry.at("losses").size(), 2u);
    EXPECT_NEAR(entry.at("loss").get<double>(), entry["losses"]["pairs"].get<double>() + entry["losses"]["infilling"].get<double>(), 1e-5);
  }
}

TEST_F(OfaTraining, PretrainingLearnsWithoutSomeOfItsDataSetsAndNamesOneThatItDoesNotKnow) {
  const std::string text = "model: {family: ofa, tokenizer: " + path("tokenizer.model") + ", config: " + testing::taught_ofa_config() +
                           "}\ndata: {mix_within_step: true, mix: {image_text: {path: " + path("pairs.tsv") +
                           ", type: ofa_tsv, tsv_task: pretrain}}}\nobjective: {name: ofa_pretrain, options: {max_image_size: 32, max_resize: 40, max_side: 64}}\ntrain: {steps: 60}\n";
  run_training(recipe("pairs", text, {"train.lr=5e-3"}));
  const auto curve = losses("pairs");
  EXPECT_LT(curve.back(), 0.9 * curve.front());
  try {
    run_training(recipe("unknown", multitask(), {"objective.options.text=[words]"}));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("'text'"), std::string::npos) << error.what();
  }
}

TEST_F(OfaTraining, TunedParametersAreAFileOfTheirOwnThatGoesOnTopOfTheBase) {
  const auto base = run_training(recipe("base", mixed())).model;
  const Tensor before = logits(base);
  const auto base_weights = weights_of(*load_model(base).model);
  for (const std::string kind : {"prefix", "adapter", "bitfit"}) {
    // A rate that shows in four steps.
    const std::vector<std::string> tuning = {"model.init=" + base.string(), "model.config={}", "model.tuning.kind=" + kind, "model.tuning.length=4",
                                             "model.tuning.adapter_dim=2",  "train.steps=4",   "train.lr=0.05"};
    const auto tuned = trains_and_resumes("tuned_" + kind, mixed(), tuning);
    EXPECT_TRUE(std::filesystem::exists(tuned / "adapter.safetensors"));
    EXPECT_FALSE(std::filesystem::exists(tuned / "model.safetensors"));
    EXPECT_TRUE(at::equal(logits(base), before)) << kind << " changed its base";
    EXPECT_FALSE(at::equal(logits(tuned), before)) << kind;
    EXPECT_TRUE(at::equal(logits(tuned), logits(tuned / "adapter.safetensors"))) << kind;
    for (const auto& [name, tensor] : read_safetensors(tuned / "adapter.safetensors")) {
      const bool added = !base_weights.count(name), statistic = name.find(".bn") != std::string::npos || name.find("downsample") != std::string::npos;
      EXPECT_TRUE(statistic || (kind == "bitfit" ? !added : added)) << kind << ": " << name;
    }
    const auto again = load_model(base, ModelLoadOptions{.adapter = tuned});
    const auto weights = weights_of(*load_model(tuned).model);
    for (const auto& [name, tensor] : weights_of(*again.model)) EXPECT_TRUE(at::equal(tensor, weights.at(name))) << name;
  }
}

TEST_F(OfaTraining, TunedParametersAreRefusedOnAnotherBase) {
  const auto base = run_training(recipe("first_base", mixed(), {"train.steps=1"})).model;
  const auto other = run_training(recipe("other_base", mixed(), {"train.steps=2"})).model;
  const auto tuned = run_training(recipe("tuned", mixed(), {"model.init=" + base.string(), "model.config={}", "model.tuning.kind=prefix", "train.steps=1"})).model;
  EXPECT_THROW(load_model(other, ModelLoadOptions{.adapter = tuned}), Error);
  std::filesystem::remove_all(base);
  try {
    load_model(tuned);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("--adapter"), std::string::npos) << error.what();
  }
}

TEST_F(OfaTraining, SelfCriticalTrainingScoresTheIdsThatTheModelWroteAndResumes) {
  const std::string text = "model: {family: ofa, tokenizer: " + path("tokenizer.model") + ", config: " + testing::taught_ofa_config() +
                           "}\ndata: {train: {path: " + path("scenes/train-000000.tar") +
                           ", captions_field: captions}}\nobjective: {name: ofa_scst, options: {beam: 3, max_len_b: 6, document_frequency: corpus}}\ntrain: {steps: 5}\n";
  trains_and_resumes("scst", text, {"data.batch_size=4"});
  for (const auto& entry : steps("scst")) EXPECT_GE(entry.at("reward").get<double>(), 0);
}

TEST_F(OfaTraining, AModelThatIsTrainedOnCanHaveOtherDropoutButNoOtherShape) {
  const auto base = run_training(recipe("begun", mixed(), {"train.steps=1"})).model;
  const auto changed = run_training(recipe("changed", mixed(), {"model.init=" + base.string(), "model.config={dropout: 0.5}", "train.steps=1"})).model;
  EXPECT_NE(read_file(changed / "config.json").find("\"dropout\": 0.5"), std::string::npos);
  EXPECT_THROW(run_training(recipe("misshapen", mixed(), {"model.init=" + base.string(), "model.config={d_model: 32}", "train.steps=1"})), Error);
}

}  // namespace ofa_training_test

}  // namespace vlm
