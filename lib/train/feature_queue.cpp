#include "vlm/train/feature_queue.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <c10/core/GradMode.h>

#include "vlm/core/error.h"

namespace vlm {

void enqueue_features(const FeatureQueues& queues, const Tensor& image, const Tensor& text, const Tensor& idx) {
  if (queues.image.dim() != 2 || queues.image.sizes() != queues.text.sizes()) {
    fail("queues of pictures and texts are alike, [d, Q], not ", queues.image.sizes(), " and ", queues.text.sizes());
  }
  const int64_t width = queues.image.size(0), length = queues.image.size(1);
  if (image.dim() != 2 || image.sizes() != text.sizes() || image.size(1) != width) {
    fail("a queue of width ", width, " takes features [B, ", width, "], not ", image.sizes(), " and ", text.sizes());
  }
  const int64_t batch = image.size(0);
  if (batch > length) {
    fail("a batch of ", batch, " does not fit into a queue of ", length, "; make queue_size at least the batch size of all ranks together");
  }
  if (queues.idx.defined() && (!idx.defined() || idx.numel() != batch || queues.idx.numel() != length)) {
    fail("a queue that keeps the pictures' numbers takes one for each of the ", batch, " rows");
  }
  at::NoGradGuard no_grad;
  const auto first = queues.pointer.item<int64_t>();
  if (first < 0 || first >= length) fail("the queue's pointer is ", first, ", outside its ", length, " columns");
  const Tensor columns = at::arange(first, first + batch, queues.image.options().dtype(at::kLong)).remainder(length);
  queues.image.detach().index_copy_(1, columns, image.detach().t().to(queues.image.scalar_type()));
  queues.text.detach().index_copy_(1, columns, text.detach().t().to(queues.text.scalar_type()));
  if (queues.idx.defined()) queues.idx.view({-1}).index_copy_(0, columns, idx.reshape({-1}).to(queues.idx.device()));
  queues.pointer.fill_((first + batch) % length);
}

void enqueue_over_ranks(Communicator& communicator, const FeatureQueues& queues, const Tensor& image, const Tensor& text, const Tensor& idx) {
  if (communicator.size() == 1) return enqueue_features(queues, image, text, idx);
  const auto all = [&](const Tensor& rows) { return rows.defined() ? communicator.all_gather_rows(rows.detach().contiguous()) : Tensor(); };
  enqueue_features(queues, all(image), all(text), queues.idx.defined() ? all(idx) : Tensor());
}

}  // namespace vlm
