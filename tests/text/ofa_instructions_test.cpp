#include <gtest/gtest.h>

#include "vlm/core/error.h"
#include "vlm/text/ofa_instructions.h"

namespace vlm {

TEST(OfaInstructions, SpellEveryTaskAsTheReleasedModelsLearntIt) {
  namespace say = ofa_instruction;
  EXPECT_EQ(say::caption(), " what does the image describe?");
  EXPECT_EQ(say::question("What colour?"), " what colour?");
  EXPECT_EQ(say::question("How MANY cats"), " how many cats?");
  EXPECT_EQ(say::question("how many cats", 0, false), " how many cats");
  EXPECT_EQ(say::objects("cat&&dog&&red car\n", 2), " object: cat dog");
  EXPECT_EQ(say::entailment("Two dogs-run."), " does the image describe \" two dogs run. \"?");
  EXPECT_EQ(say::entailment("a dog", "A cat"), " can image and text1 \" a cat \" imply text2 \" a dog \"?");
  EXPECT_EQ(say::region_of("the Man in red"), " which region does the text \" the man in red \" describe?");
  EXPECT_EQ(say::describe_region(), "  what does the region describe? region:");
  EXPECT_EQ(say::match("a cat"), " does the image describe \" a cat \"?");
  EXPECT_EQ(say::match_answer("what is this?", "a cat"), " what is the answer to question \" what is this? \". is \" a cat \"?");
  EXPECT_EQ(say::picture_of("A red  ball"), " what is the complete image? caption: a red ball");
  EXPECT_EQ(say::infill(), " what is the complete text of \" \"?");
  EXPECT_EQ(say::summary("the <unk> rose-bush"), " what is the summary of article \" the unk rose bush \"?");
  EXPECT_EQ(say::target_summary("<unk> wins"), "unk wins");
  EXPECT_EQ(say::target_caption("A man, a plan.", 3), " A man a");
  EXPECT_EQ(say::pretraining_caption("A man, a plan."), " a man, a plan.");
}

TEST(OfaInstructions, AnswerEntailmentsInTheOrderOfTheLabels) {
  EXPECT_EQ(ofa_instruction::entailment_answers(), (std::vector<std::string>{" no", " maybe", " yes"}));
}

TEST(OfaInstructions, TakeTheSentencesOfGlueInTheOrderOfTheFiles) {
  const auto& qnli = ofa_instruction::glue_task("qnli");
  EXPECT_EQ(qnli.instruct("Who {2} won? ", "She  did."), " does \" she did. \" contain the answer to question \" who {2} won? \"?");
  EXPECT_EQ(qnli.label("not_entailment"), 0u);
  const auto& mnli = ofa_instruction::glue_task("mnli");
  EXPECT_EQ(mnli.answers[*mnli.label("1")], " yes");
  EXPECT_EQ(mnli.answers[*mnli.label("contradiction")], " no");
  EXPECT_FALSE(mnli.label("3"));
  EXPECT_THROW(mnli.instruct("one alone"), Error);
  EXPECT_THROW(ofa_instruction::glue_task("mlni"), Error);
}

}  // namespace vlm
