#include "vlm/models/mplug/classifier.h"

#include <ATen/ops/cat.h>

#include "vlm/core/error.h"

namespace vlm {

/// Two layers under the names that a sequence with a ReLU between them has.
class MplugClassifier::Head : public torch::nn::Module {
 public:
  Head(int64_t in, int64_t width, int64_t classes) {
    first_ = register_module("0", std::make_shared<Linear>(in, width));
    last_ = register_module("2", std::make_shared<Linear>(width, classes));
  }
  Tensor forward(const Tensor& x) const { return last_->forward(first_->forward(x).relu()); }

 private:
  std::shared_ptr<Linear> first_, last_;
};

MplugClassifier::MplugClassifier(const MplugConfig& config) : MplugModel(config, config.task) {
  cls_head_ = register_module("cls_head", std::make_shared<Head>(pictures() * config.hidden_size, config.hidden_size, classes()));
  torch::nn::Module::train(false);
}

Tensor MplugClassifier::logits(const Tensor& pixels, const Tensor& ids, const Tensor& mask) const {
  const Tensor text = networks.encode_text(ids, mask);
  if (pictures() == 1) return cls_head_->forward(fuse(encode_image(pixels), text, mask).text.select(1, 0));
  if (pixels.dim() != 5 || pixels.size(1) != 2) fail("NLVR2 takes two pictures for each text, [B, 2, 3, S, S], not ", pixels.sizes());
  std::vector<Tensor> read;
  for (int64_t i = 0; i < 2; ++i) read.push_back(fuse(encode_image(pixels.select(1, i)), text, mask).text.select(1, 0));  // [B, H]
  return cls_head_->forward(at::cat(read, 1));
}

}  // namespace vlm
