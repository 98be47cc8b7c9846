#include "vlm/eval/vqa_wordings.h"

#include <gtest/gtest.h>

namespace vlm {
namespace {

TEST(VqaWordings, QuestionsThatDifferInWhatIsQuotedAreOneWordingBesideItsCommonestAnswer) {
  const auto found = accuracy_by_wording({{"is this a \"fish\"?", "Yes", {"yes", "yes", "no"}},
                                          {"is this a \"tree\"?", "yes", {"no"}},
                                          {"is this a \"red\" \"car\"?", "no", {"no"}},
                                          {"is this a \"bird\"?", "no", {"no"}},
                                          {"what is this", "a \"thing", {"thing"}}});
  ASSERT_EQ(found.size(), 3U);
  EXPECT_EQ(found[0].wording, "is this a \"…\"?");
  EXPECT_EQ(found[0].questions, 3);
  EXPECT_DOUBLE_EQ(found[0].accuracy, 2.0 / 3);
  EXPECT_EQ(found[0].commonest, "no");
  EXPECT_DOUBLE_EQ(found[0].commonest_share, 2.0 / 3);
  EXPECT_EQ(found[1].wording, "is this a \"…\" \"…\"?");
  EXPECT_EQ(found[2].accuracy, 0);
}

TEST(VqaWordings, RareOnesAreLeftOutWhereThatIsAsked) {
  EXPECT_TRUE(accuracy_by_wording({{"why?", "so", {"so"}}}, 2).empty());
  EXPECT_EQ(accuracy_by_wording({{"say \"so", "so", {"so"}}})[0].wording, "say \"so");  // quotes that do not close
}

}  // namespace
}  // namespace vlm
