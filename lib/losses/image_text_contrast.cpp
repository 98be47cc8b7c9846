#include "vlm/losses/image_text_contrast.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include "vlm/core/error.h"

namespace vlm {

namespace queue_contrast {

void check(const QueueContrastFeatures& f, const Tensor& hard, double alpha) {
  if (f.image.dim() != 2 || f.image.sizes() != f.text.sizes() || f.image.sizes() != f.image_m.sizes() || f.image.sizes() != f.text_m.sizes()) {
    fail("contrast with a queue takes four features [B, d] of one shape: image ", f.image.sizes(), ", text ", f.text.sizes(),
         ", image_m ", f.image_m.sizes(), ", text_m ", f.text_m.sizes());
  }
  if (f.image_queue.defined() != f.text_queue.defined()) fail("contrast with a queue takes queues of both pictures and texts, or none");
  int64_t columns = f.image.size(0);
  if (f.image_queue.defined()) {
    if (f.image_queue.dim() != 2 || f.image_queue.sizes() != f.text_queue.sizes() || f.image_queue.size(0) != f.image.size(1)) {
      fail("queues hold features as columns [", f.image.size(1), ", Q], not ", f.image_queue.sizes(), " and ", f.text_queue.sizes());
    }
    columns += f.image_queue.size(1);
  }
  if (hard.dim() != 2 || hard.size(0) != f.image.size(0) || hard.size(1) != columns) {
    fail("the targets of ", f.image.size(0), " rows against batch and queue are [", f.image.size(0), ", ", columns, "], not ", hard.sizes());
  }
  if (!(alpha >= 0 && alpha <= 1)) fail("alpha, the share of the momentum networks' targets, lies in 0 .. 1, not ", alpha);
}

Tensor columns(const Tensor& momentum, const Tensor& queue) {
  const Tensor batch = momentum.detach().t();  // [d, B]
  return queue.defined() ? at::cat({batch, queue.detach()}, 1) : batch;
}

/// `anchor` learns, `teacher` is the momentum feature of the same sample and modality.
QueueContrastDirection direction(const Tensor& anchor, const Tensor& teacher, const Tensor& columns, const Tensor& temp, const Tensor& hard,
                                 double alpha) {
  QueueContrastDirection out;
  out.similarity = at::matmul(anchor, columns) / temp;
  out.targets = out.similarity.scalar_type() == at::kDouble ? hard.to(at::kDouble) : hard;
  if (alpha > 0) {
    const Tensor soft = at::softmax(at::matmul(teacher.detach(), columns) / temp.detach(), 1);
    out.targets = alpha * soft + (1 - alpha) * out.targets;
  }
  out.loss = -(out.targets * at::log_softmax(out.similarity, 1)).sum(1).mean();
  return out;
}

}  // namespace queue_contrast

Tensor ImageTextContrast::loss() const { return (i2t.loss + t2i.loss) / 2; }

Tensor IntraModalContrast::loss() const { return (i2i.loss + t2t.loss) / 2; }

Tensor contrast_targets(const Tensor& idx, const Tensor& idx_queue, int64_t batch, int64_t queue, const at::Device& device) {
  if (!idx.defined()) return at::eye(batch, batch + queue, at::TensorOptions().dtype(at::kFloat).device(device));
  const int64_t queued = idx_queue.defined() ? idx_queue.numel() : 0;
  if (idx.numel() != batch || queued != queue) {
    fail("the pictures of ", batch, " rows and ", queue, " columns of the queue have as many numbers, not ", idx.numel(), " and ", queued);
  }
  const Tensor rows = idx.reshape({-1, 1});
  const Tensor all = queued > 0 ? at::cat({idx.reshape({-1}), idx_queue.reshape({-1})}) : idx.reshape({-1});
  const Tensor same = rows.eq(all.unsqueeze(0)).to(device, at::kFloat);
  return same / same.sum(1, true);
}

ImageTextContrast image_text_contrast(const QueueContrastFeatures& f, const Tensor& temp, const Tensor& hard, double alpha) {
  queue_contrast::check(f, hard, alpha);
  const Tensor images = queue_contrast::columns(f.image_m, f.image_queue), texts = queue_contrast::columns(f.text_m, f.text_queue);
  return {queue_contrast::direction(f.image, f.image_m, texts, temp, hard, alpha),
          queue_contrast::direction(f.text, f.text_m, images, temp, hard, alpha)};
}

IntraModalContrast intra_modal_contrast(const QueueContrastFeatures& f, const Tensor& temp, const Tensor& hard, double alpha) {
  queue_contrast::check(f, hard, alpha);
  const Tensor images = queue_contrast::columns(f.image_m, f.image_queue), texts = queue_contrast::columns(f.text_m, f.text_queue);
  return {queue_contrast::direction(f.image, f.image_m, images, temp, hard, alpha),
          queue_contrast::direction(f.text, f.text_m, texts, temp, hard, alpha)};
}

}  // namespace vlm
