#include "vlm/train/ofa_objective.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "error_of.h"
#include "thread_communicator.h"
#include "tiny_ofa.h"
#include "vlm/train/optimizer.h"

namespace vlm {

namespace ofa_objective_test {

using testing::ofa_batch, testing::tiny_ofa, testing::tiny_ofa_tokenizer;

std::unique_ptr<Objective> make(Model& model, const std::string& yaml, const std::string& name = "ofa") {
  static const auto communicator = make_single_communicator();
  return objectives().get(name)({model, tiny_ofa_tokenizer(), *communicator}, Config::parse(yaml, "options"));
}

std::string refusal(Model& model, const std::string& yaml) {
  return testing::error_of([&] { make(model, yaml); });
}

Tensor sum_of(const std::vector<LossTerm>& terms) {
  Tensor sum;
  for (const auto& term : terms) sum = sum.defined() ? sum + term.value : term.value;
  return sum;
}

/// Steps of Adam on one batch; the losses before and after them.
std::pair<double, double> learn(Model& model, Objective& objective, const Batch& batch, int steps) {
  model.set_training(true);
  std::vector<OptimizedParameter> parameters;
  for (const auto& [name, tensor] : model.trainable()) parameters.push_back({.name = name, .parameter = tensor});
  const auto optimizer = make_optimizer(parameters, {.name = "adam_fairseq", .beta2 = 0.98, .eps = 1e-8});
  double first = 0, last = 0;
  for (int step = 0; step <= steps; ++step) {
    objective.begin_step(step, steps);
    const Tensor loss = sum_of(objective.losses(batch));
    (step == 0 ? first : last) = loss.item<double>();
    for (auto& [name, tensor] : model.trainable()) Tensor(tensor).mutable_grad().reset();
    loss.backward();
    optimizer->step(5e-3);
  }
  return {first, last};
}

struct Vocabulary {
  std::unique_ptr<Model> model = tiny_ofa();
  OfaVocabulary ids{dynamic_cast<Instructed&>(*model), tiny_ofa_tokenizer()};
};

OfaExample example(const OfaVocabulary& vocabulary, const std::string& yaml, const Batch& batch = ofa_batch(0, 1), size_t row = 0) {
  OfaObjectiveOptions options;
  Config::parse(yaml, "options").read(options);
  SplitMix64 random(1);
  return OfaTask(vocabulary, options).example(batch.samples[row], batch.texts[row], random);
}

TEST(OfaObjective, EveryTaskIsLearntByHeart) {
  for (const char* yaml : {"{task: caption}", "{task: vqa}", "{task: vqa, taught_answers: all, prompt_type: prev_output, add_object: true}",
                           "{task: snli_ve, prompt_type: prev_output, add_caption: true}", "{task: refcoco, max_image_size: 32}", "{task: image_classify}",
                           "{task: image_gen}", "{task: gigaword, decoder_input_noise: 0.2}", "{task: cola, prompt_type: src}", "{task: mrpc, prompt_type: src}",
                           "{task: caption, criterion: encouraging, log_end: 0.5}", "{task: caption, use_rdrop: true, reg_alpha: 0.5, sample_patches: 3}"}) {
    const auto model = tiny_ofa();
    const auto objective = make(*model, yaml);
    const auto [before, after] = learn(*model, *objective, ofa_batch(0, 4), 100);
    EXPECT_LT(after, 0.5 * before) << yaml;
  }
}

TEST(OfaObjective, ModelAndTokenizerMustFitAndTheMessageSaysHow) {
  const auto larger = tiny_ofa(3, {"vocab_size=78"}), numbered = tiny_ofa(3, {"bos_token_id=2", "eos_token_id=1"});
  EXPECT_NE(refusal(*larger, "{}").find("set model.config.vocab_size to 77"), std::string::npos) << refusal(*larger, "{}");
  EXPECT_NE(refusal(*numbered, "{}").find("bos_token_id"), std::string::npos);
  const auto model = tiny_ofa();
  EXPECT_NE(refusal(*model, "{task: captoin}").find("did you mean 'caption'"), std::string::npos);
  EXPECT_NE(refusal(*model, "{task: caption, prompt_type: src}").find("prompt_type is for the task"), std::string::npos);
  EXPECT_NE(refusal(*model, "{task: vqa, answers: /nowhere.txt}").find("/nowhere.txt"), std::string::npos);
}

TEST(OfaObjective, PromptsStandBeforeTheAnswerAndAreNotScored) {
  const Vocabulary v;
  const auto& tokens = v.ids.tokens();
  const auto answer = v.ids.text("a cat");
  const size_t n = answer.size();
  const OfaExample plain = example(v.ids, "{task: vqa}"), prompted = example(v.ids, "{task: vqa, prompt_type: prev_output}"),
                   whole = example(v.ids, "{task: vqa, prompt_type: src}");
  ASSERT_EQ(plain.replies.size(), 1u);
  EXPECT_DOUBLE_EQ(plain.replies[0].weight, 0.9);
  EXPECT_EQ(plain.source.front(), tokens.begin);
  EXPECT_EQ(plain.source.back(), tokens.end);
  std::vector<int64_t> target = answer;
  target.push_back(tokens.end);
  EXPECT_EQ(plain.replies[0].target, target);
  EXPECT_EQ(plain.replies[0].previous.front(), tokens.begin);
  const auto& previous = prompted.replies[0].previous;
  const size_t asked = prompted.source.size() - 1;
  ASSERT_EQ(previous.size(), asked + n);
  EXPECT_TRUE(std::equal(prompted.source.begin(), prompted.source.end() - 1, previous.begin()));
  for (size_t t = 0; t + 1 < asked; ++t) EXPECT_EQ(prompted.replies[0].target[t], tokens.pad);
  EXPECT_TRUE(std::equal(target.begin(), target.end(), prompted.replies[0].target.end() - static_cast<std::ptrdiff_t>(n + 1)));
  EXPECT_EQ(whole.replies[0].previous.size(), previous.size() + 1);
}

TEST(OfaObjective, GluesAnswersHaveNoEnd) {
  const Vocabulary v;
  const OfaExample one = example(v.ids, "{task: cola, prompt_type: src}");
  const auto& reply = one.replies[0];
  EXPECT_EQ(reply.previous.front(), v.ids.tokens().begin);
  EXPECT_NE(reply.target.back(), v.ids.tokens().end);
  int64_t scored = 0;
  for (const int64_t id : reply.target) scored += id != v.ids.tokens().pad;
  EXPECT_EQ(scored, static_cast<int64_t>(v.ids.text(" no").size()));
}

TEST(OfaObjective, BoxesBecomeBinsAndCodesIdsOfTheirOwn) {
  const Vocabulary v;
  const auto& ids = v.ids.ids();
  EXPECT_EQ(v.ids.box({0, 16, 31.9, 99}, 32), (std::vector<int64_t>{ids.first_bin, ids.first_bin + 10, ids.first_bin + 19, ids.first_bin + 19}));
  const OfaExample drawn = example(v.ids, "{task: image_gen}");
  EXPECT_TRUE(drawn.codes);
  EXPECT_EQ(drawn.replies[0].target[1], ids.first_code + 1);
  EXPECT_THROW(v.ids.codes({16}, "here"), SampleError);
}

TEST(OfaObjective, OnlyTheClosedSetCompetesAndOtherAnswersAreSkipped) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "answers.txt", "a cat\na big dog\n");
  const auto model = tiny_ofa();
  OfaObjectiveOptions options;
  Config::parse("{task: vqa, answers: " + (folder / "answers.txt").string() + "}", "options").read(options);
  const OfaVocabulary vocabulary(dynamic_cast<Instructed&>(*model), tiny_ofa_tokenizer());
  const OfaTask task(vocabulary, options);
  const Batch batch = ofa_batch(0, 2);
  EXPECT_NO_THROW(task.check(batch.samples[0], ""));
  EXPECT_THROW(task.check(batch.samples[1], ""), SampleError);  // "a dog" is none of them
  SplitMix64 random(1);
  const OfaRows rows = collate({task.example(batch.samples[0], "", random)}, vocabulary, task.trie(), c10::kCPU);
  const auto cat = vocabulary.text("a cat"), dog = vocabulary.text("a big dog");
  std::set<int64_t> first = {cat[0], dog[0]};
  EXPECT_EQ(rows.allowed.select(1, 0).sum().item<int64_t>(), static_cast<int64_t>(first.size()));
  EXPECT_TRUE(rows.allowed[0][0][cat[0]].item<bool>());
  const auto last = static_cast<int64_t>(cat.size());
  EXPECT_TRUE(rows.allowed[0][last][vocabulary.tokens().end].item<bool>());
  EXPECT_EQ(rows.allowed[0][last].sum().item<int64_t>(), 1);
}

TEST(OfaObjective, SeveralAnswersOfAQuestionAreTheSumOfEach) {
  const auto model = tiny_ofa();
  const auto all = make(*model, "{task: vqa, taught_answers: all, label_smoothing: 0.1}"), best = make(*model, "{task: vqa, label_smoothing: 0.1}");
  Batch batch = ofa_batch(0, 3);
  const at::NoGradGuard no_grad;
  double sum = 0, count = 0;
  // Answers that are alone, one after the other: the first, then the second of each question.
  for (const size_t which : {0, 1}) {
    Batch one = batch;
    for (auto& sample : one.samples) sample.answers = {sample.answers[which]}, sample.weights = {sample.weights[which]};
    const auto term = best->losses(one).at(0);
    sum += term.value.item<double>() * term.count;
    count += term.count;
  }
  batch.samples[1].answers.pop_back();  // rows of different length are filled up
  batch.samples[1].weights.pop_back();
  Batch missing = ofa_batch(1, 1);
  for (auto& sample : missing.samples) sample.answers = {sample.answers[1]}, sample.weights = {sample.weights[1]};
  const auto left_out = best->losses(missing).at(0);
  const auto term = all->losses(batch).at(0);
  EXPECT_DOUBLE_EQ(term.count, count - left_out.count);
  EXPECT_NEAR(term.value.item<double>() * term.count, sum - left_out.value.item<double>() * left_out.count, 1e-3);
}

TEST(OfaObjective, RDropOfTwoEqualPassesIsTheLossItself) {
  const auto model = tiny_ofa();
  const at::NoGradGuard no_grad;
  const auto once = make(*model, "{task: caption, label_smoothing: 0.1}")->losses(ofa_batch(0, 3)).at(0);
  const auto twice = make(*model, "{task: caption, label_smoothing: 0.1, use_rdrop: true, reg_alpha: 1}")->losses(ofa_batch(0, 3)).at(0);
  EXPECT_NEAR(once.value.item<double>(), twice.value.item<double>(), 1e-5);
  EXPECT_DOUBLE_EQ(twice.count, 2 * once.count);
}

TEST(OfaObjective, WorstIdsAreDroppedAfterTheUpdateThatTheRecipeNames) {
  const auto model = tiny_ofa();
  const at::NoGradGuard no_grad;
  const auto objective = make(*model, "{task: caption, drop_worst_ratio: 0.5, drop_worst_after: 3}");
  objective->begin_step(3, 10);
  const auto before = objective->losses(ofa_batch(0, 3)).at(0);
  objective->begin_step(4, 10);
  const auto after = objective->losses(ofa_batch(0, 3)).at(0);
  EXPECT_EQ(after.count, std::floor(before.count / 2));
  EXPECT_LT(after.value.item<double>(), before.value.item<double>());
}

TEST(OfaObjective, RanksMinimiseWhatOneProcessWouldWhereBatchStatisticsAreFrozen) {
  using Gradients = std::map<std::string, Tensor>;
  const auto gradients = [](const std::vector<int64_t>& rows, const std::string& yaml) {
    const auto ranks = static_cast<int64_t>(rows.size());
    std::vector<std::unique_ptr<Model>> models;
    for (size_t r = 0; r < rows.size(); ++r) models.push_back(tiny_ofa(3, {"freeze_resnet=true"}));
    testing::run_ranks(ranks, [&](Communicator& communicator) {
      const auto r = static_cast<size_t>(communicator.rank());
      int64_t first = 0;
      for (size_t before = 0; before < r; ++before) first += rows[before];
      models[r]->set_training(true);
      const auto objective = objectives().get("ofa")({*models[r], tiny_ofa_tokenizer(), communicator}, Config::parse(yaml, "options"));
      const auto term = objective->losses(ofa_batch(first, rows[r])).at(0);
      double total = 0;
      for (const double count : communicator.all_gather_number(term.count)) total += count;
      (term.value * (term.count / total)).backward();
    });
    Gradients out;
    for (const auto& model : models) {
      for (const auto& [name, tensor] : model->trainable()) {
        if (tensor.grad().defined()) out[name] = out.count(name) ? out[name] + tensor.grad() : tensor.grad();
      }
    }
    return out;
  };
  for (const char* yaml : {"{task: caption, label_smoothing: 0.1}", "{task: vqa, taught_answers: all, sentence_avg: true}"}) {
    const Gradients whole = gradients({5}, yaml), shared = gradients({2, 3}, yaml);
    ASSERT_EQ(shared.size(), whole.size());
    for (const auto& [name, gradient] : whole) EXPECT_TRUE(at::allclose(shared.at(name), gradient, 1e-3, 1e-6)) << name << ", " << yaml;
  }
}

}  // namespace ofa_objective_test

}  // namespace vlm
