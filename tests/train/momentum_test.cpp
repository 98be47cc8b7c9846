/// What goes along with momentum networks: queues of their features, their weights, and how much they count.

#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "thread_communicator.h"
#include "vlm/core/error.h"
#include "vlm/train/feature_queue.h"
#include "vlm/train/momentum.h"

namespace vlm {

TEST(FeatureQueue, ColumnsAreWrittenRoundTheEnd) {
  const FeatureQueues queues{at::zeros({2, 5}), at::zeros({2, 5}), at::full({1, 5}, -100, at::kLong), at::tensor({3}, at::kLong)};
  const Tensor rows = at::arange(1, 7, at::kFloat).view({3, 2});  // 1 2, 3 4, 5 6
  enqueue_features(queues, rows, -rows, at::tensor({7, 8, 9}, at::kLong));
  const Tensor expected = at::tensor({5.f, 0.f, 0.f, 1.f, 3.f, 6.f, 0.f, 0.f, 2.f, 4.f}).view({2, 5});
  EXPECT_TRUE(queues.image.equal(expected));
  EXPECT_TRUE(queues.text.equal(-expected));
  EXPECT_TRUE(queues.idx.equal(at::tensor({9, -100, -100, 7, 8}, at::kLong).view({1, 5})));
  EXPECT_EQ(queues.pointer.item<int64_t>(), 1);
}

TEST(FeatureQueue, KeepsNoGraphAndRefusesWhatDoesNotFit) {
  const FeatureQueues queues{at::zeros({2, 3}), at::zeros({2, 3}), {}, at::zeros({1}, at::kLong)};
  const Tensor rows = at::ones({2, 2}).requires_grad_();
  enqueue_features(queues, rows * 2, rows);
  EXPECT_FALSE(queues.image.requires_grad());
  EXPECT_EQ(queues.image.sum().item<float>(), 8);
  const Tensor before = queues.image.clone();
  EXPECT_THROW(enqueue_features(queues, at::ones({4, 2}), at::ones({4, 2})), Error);
  EXPECT_THROW(enqueue_features(queues, at::ones({2, 3}), at::ones({2, 3})), Error);
  EXPECT_THROW(enqueue_features({queues.image, queues.text, at::zeros({1, 3}, at::kLong), queues.pointer}, at::ones({2, 2}), at::ones({2, 2})), Error);
  EXPECT_TRUE(queues.image.equal(before));
  enqueue_features(queues, at::full({3, 2}, 5.f), at::full({3, 2}, 5.f));  // as large as the queue
  EXPECT_TRUE(queues.image.eq(5).all().item<bool>());
  EXPECT_EQ(queues.pointer.item<int64_t>(), 2);
}

TEST(FeatureQueue, OfEveryRankIsThatOfOneProcessWithTheWholeBatch) {
  const auto empty = [] { return FeatureQueues{at::zeros({2, 5}), at::zeros({2, 5}), at::full({1, 5}, -100, at::kLong), at::tensor({3}, at::kLong)}; };
  const Tensor image = at::arange(8, at::kFloat).view({4, 2}), text = image + 10, idx = at::arange(4, at::kLong);
  const FeatureQueues whole = empty();
  enqueue_features(whole, image, text, idx);
  const std::vector<int64_t> rows = {1, 3};
  testing::run_ranks(2, [&](Communicator& communicator) {
    const FeatureQueues own = empty();
    const int64_t first = communicator.rank() == 0 ? 0 : rows[0], count = rows[static_cast<size_t>(communicator.rank())];
    enqueue_over_ranks(communicator, own, image.narrow(0, first, count).clone().requires_grad_(), text.narrow(0, first, count), idx.narrow(0, first, count));
    EXPECT_TRUE(own.image.equal(whole.image) && own.text.equal(whole.text) && own.idx.equal(whole.idx) && own.pointer.equal(whole.pointer));
  });
}

TEST(Momentum, TiedCounterpartsMoveOnce) {
  const Tensor online = at::ones({2}).requires_grad_(), momentum = at::zeros({2});
  momentum_update({{online, momentum}, {online, momentum}}, 0.75);
  EXPECT_TRUE(at::allclose(momentum, at::full({2}, 0.25f)));
  EXPECT_FALSE(momentum.requires_grad());
  momentum_copy({{online, momentum}});
  EXPECT_TRUE(momentum.equal(online));
  EXPECT_THROW(momentum_update({{online, at::zeros({3})}}, 0.5), Error);
  EXPECT_THROW(momentum_update({{online, momentum}}, 1.5), Error);
}

TEST(Momentum, ItsShareOfTheTargetsGrowsInTheFirstEpoch) {
  EXPECT_EQ(distillation_share(0.4, 0, 100), 0);
  EXPECT_NEAR(distillation_share(0.4, 25, 100), 0.1, 1e-12);
  EXPECT_EQ(distillation_share(0.4, 100, 100), 0.4);
  EXPECT_EQ(distillation_share(0.4, 0, 0), 0.4);  // no ramp
}

}  // namespace vlm
