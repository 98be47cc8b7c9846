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
  if (pixels.size(0) != pictures() * ids.size(0)) {
    fail(ids.size(0), " sentences need ", pictures() * ids.size(0), " pictures, not ", pixels.size(0));
  }
  const Tensor text = networks.encode_text(ids, mask), image = encode_image(pixels);                        // [B, L, H], [n B, P, H]
  std::vector<Tensor> read;
  const auto of_each = image.chunk(pictures());
  for (const auto& of_picture : of_each) read.push_back(fuse(of_picture, text, mask).text.select(1, 0));    // [B, H]
  return cls_head_->forward(at::cat(read, 1));
}

}  // namespace vlm
