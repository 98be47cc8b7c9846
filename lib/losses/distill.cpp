#include "vlm/losses/distill.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>

#include "vlm/core/error.h"

namespace vlm {

Tensor soft_cross_entropy(const Tensor& teacher, const Tensor& student) {
  if (teacher.dim() != 2 || teacher.sizes() != student.sizes()) {
    fail("distillation needs scores of the same shape: the teacher's are ", teacher.sizes(), ", the student's ", student.sizes());
  }
  return -(at::softmax(teacher.detach(), 1) * at::log_softmax(student, 1)).sum(1).mean();
}

Tensor distill_loss(const ContrastiveLogits& teacher, const ContrastiveLogits& student) {
  return (soft_cross_entropy(teacher.per_image, student.per_image) + soft_cross_entropy(teacher.per_text, student.per_text)) / 2;
}

}  // namespace vlm
