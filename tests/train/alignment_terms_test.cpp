#include "vlm/train/alignment_terms.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <numeric>

#include "error_of.h"
#include "thread_communicator.h"
#include "vlm/core/error.h"
#include "vlm/text/word_noise.h"
#include "vlm/train/second_view.h"

namespace vlm {
namespace alignment_terms_test {

const std::set<std::string> names = {"image", "text", "image_aug", "text_aug", "image_ind", "text_ind", "image_ind_aug", "text_ind_aug", "outliers", "composed"};

constexpr const char* all_terms = "{latent_contrast: 0.5, separation: {weight: 2, uniformity_t: 1}, brownian_bridge: {t: 0.4}, geometric_consistency: 0.25, "
                                  "cyclic_consistency: 1, decoupled: 1, hard_negative: {beta: 0.5, detach_weights: false}, debiased: {tau_plus: 0.05}, "
                                  "supervised_contrast: {weight: 0.1, temperature: 0.5}, asymmetric_contrast: {temperature: 0.3}, composed_retrieval: {gamma: 0.4}}";

std::map<std::string, Tensor> features(int64_t rows) {
  std::map<std::string, Tensor> out;
  at::Generator generator = at::detail::createCPUGenerator(7);
  for (const auto& name : names) {
    const Tensor x = at::randn({rows, 4}, generator);
    out[name] = x / at::linalg_vector_norm(x, 2, at::IntArrayRef{1}, true);
  }
  return out;
}

struct Outcome {
  double loss = 0;
  std::map<std::string, Tensor> gradients;
  Tensor temperature;
};

/// As a trainer does it: each rank's terms weighed by its rows, gradients averaged.
Outcome over_ranks(const std::vector<int64_t>& rows, const std::string& yaml) {
  const int64_t total = std::accumulate(rows.begin(), rows.end(), int64_t(0)), ranks = static_cast<int64_t>(rows.size());
  const auto whole = features(total);
  std::vector<int64_t> texts(static_cast<size_t>(total));
  std::iota(texts.begin(), texts.end(), 0);
  texts.back() = 0;
  const Tensor ids = at::tensor(texts, at::kLong).view({total, 1});
  std::vector<Outcome> outcomes(rows.size());
  testing::run_ranks(ranks, [&](Communicator& communicator) {
    const auto r = static_cast<size_t>(communicator.rank());
    const int64_t first = std::accumulate(rows.begin(), rows.begin() + communicator.rank(), int64_t(0));
    std::map<std::string, Tensor> own;
    for (const auto& [name, tensor] : whole) own[name] = tensor.narrow(0, first, rows[r]).clone().requires_grad_();
    const Tensor temperature = at::full({}, 0.3f).requires_grad_();
    const AlignmentTerms terms(Config::parse(yaml, "terms"), names, "a test");
    Tensor sum;
    for (const auto& term : terms.losses(communicator, own, temperature, ids.narrow(0, first, rows[r]))) {
      EXPECT_EQ(term.count, rows[r]);
      const Tensor part = term.value * (term.count * static_cast<double>(ranks) / static_cast<double>(total));
      sum = sum.defined() ? sum + part : part;
    }
    sum.backward();
    const double share = 1 / static_cast<double>(ranks);
    outcomes[r].loss = sum.item<double>() * share;
    outcomes[r].temperature = temperature.grad() * share;
    for (const auto& [name, tensor] : own) outcomes[r].gradients[name] = tensor.grad() * share;
  });
  Outcome out = outcomes[0];
  for (size_t r = 1; r < outcomes.size(); ++r) {
    out.loss += outcomes[r].loss;
    out.temperature = out.temperature + outcomes[r].temperature;
    for (auto& [name, tensor] : out.gradients) tensor = at::cat({tensor, outcomes[r].gradients.at(name)});
  }
  return out;
}

std::string refusal(const std::string& yaml, const std::set<std::string>& provided = {"image", "text"}) {
  return testing::error_of([&] { AlignmentTerms(Config::parse(yaml, "terms"), provided, "a clip model with the objective 'clip'"); });
}

TEST(AlignmentTerms, HaveTheLossAndGradientsOfOneProcessOverAnyNumberOfRanks) {
  const auto whole = over_ranks({6}, all_terms);
  for (const auto& rows : std::vector<std::vector<int64_t>>{{3, 3}, {2, 2, 2}, {1, 3, 2}}) {
    const auto split = over_ranks(rows, all_terms);
    EXPECT_NEAR(split.loss, whole.loss, 1e-5);
    EXPECT_TRUE(at::allclose(split.temperature, whole.temperature, 1e-4, 1e-5));
    for (const auto& name : names) EXPECT_TRUE(at::allclose(split.gradients.at(name), whole.gradients.at(name), 1e-4, 1e-6)) << name;
  }
}

TEST(AlignmentTerms, EveryTermOfTheTableTakesPart) {
  const auto communicator = make_single_communicator();
  const AlignmentTerms terms(Config::parse(all_terms, "terms"), names, "a test");
  const auto losses = terms.losses(*communicator, features(5), at::full({}, 0.3f), {});
  EXPECT_EQ(losses.size(), alignment_terms().names().size());
  for (const auto& loss : losses) EXPECT_NE(loss.value.item<float>(), 0) << loss.name;
}

TEST(AlignmentTerms, AWeightMultipliesAndZeroLeavesOut) {
  const auto communicator = make_single_communicator();
  const auto value = [&](const std::string& yaml) {
    const AlignmentTerms terms(Config::parse(yaml, "terms"), names, "a test");
    return terms.losses(*communicator, features(5), at::full({}, 0.3f), {}).at(0).value.item<float>();
  };
  EXPECT_NEAR(value("{decoupled: 3}"), 3 * value("{decoupled: {}}"), 1e-5);
  const AlignmentTerms none(Config::parse("{separation: 0}", "terms"), names, "a test");
  EXPECT_TRUE(none.empty());
  EXPECT_FALSE(none.need("image"));
  EXPECT_TRUE(AlignmentTerms(Config::parse("{brownian_bridge: 1}", "terms"), names, "a test").need("image_aug"));
}

TEST(AlignmentTerms, SayWhichFeaturesAModelLacks) {
  const std::string message = refusal("{separation: 1}");
  EXPECT_NE(message.find("'separation' needs image_ind, text_ind, image_ind_aug, text_ind_aug, which a clip model"), std::string::npos) << message;
  EXPECT_NE(message.find("there are: image, text"), std::string::npos) << message;
  EXPECT_NE(refusal("{asymmetric_contrast: 1}").find("'asymmetric_contrast' needs outliers, which"), std::string::npos);
  EXPECT_NE(refusal("{composed_retrieval: 1}").find("'composed_retrieval' needs composed"), std::string::npos);
  EXPECT_NE(refusal("{decopled: 1}").find("did you mean 'decoupled'"), std::string::npos);
  EXPECT_NE(refusal("{hard_negative: {bta: 1}}").find("bta"), std::string::npos);
  EXPECT_NE(refusal("{decoupled: much}"), "");
}

TEST(SecondView, PicturesKeepTheirSizeAndTheFirstViewIsOneOfThem) {
  at::Generator generator = at::detail::createCPUGenerator(7);
  const Tensor images = at::randn({3, 3, 8, 6}, generator);
  SplitMix64 random(1);
  const Tensor second = second_pictures(images, {}, random);
  EXPECT_EQ(second.sizes(), images.sizes());
  EXPECT_FALSE(second.equal(images));
  SecondViewOptions same;
  same.crop = 1, same.flip = 0;
  EXPECT_TRUE(second_pictures(images, same, random).equal(images));
  same.flip = 1;
  EXPECT_TRUE(second_pictures(images, same, random).equal(images.flip(3)));
  same.crop = 0;
  EXPECT_THROW(second_pictures(images, same, random), Error);
}

TEST(SecondView, WordsAreLeftOutAndExchangedButNeverAll) {
  SplitMix64 random(1);
  EXPECT_EQ(noisy_words("a red cat", WordNoiseOptions{0, 0}, random), "a red cat");
  const std::string one = noisy_words("a red cat", WordNoiseOptions{1, 0}, random);
  EXPECT_TRUE(one == "a" || one == "red" || one == "cat") << one;
  EXPECT_EQ(noisy_words("cat", WordNoiseOptions{1, 1}, random), "cat");
  std::set<std::string> seen;
  for (int i = 0; i < 50; ++i) seen.insert(noisy_words("a b", WordNoiseOptions{0, 0.5}, random));
  EXPECT_EQ(seen, (std::set<std::string>{"a b", "b a"}));
}

}  // namespace alignment_terms_test
}  // namespace vlm
