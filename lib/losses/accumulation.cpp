#include "vlm/losses/accumulation.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>

#include "vlm/core/error.h"

namespace vlm {

std::vector<Tensor> accumulate_contrastive(int64_t micro_batches, const std::function<PairedFeatures(int64_t)>& embed,
                                           const std::function<Tensor(const PairedFeatures&)>& loss) {
  if (micro_batches < 1) fail("accumulation over ", micro_batches, " micro-batches");
  std::vector<Tensor> images, texts, losses;
  for (int64_t j = 0; j < micro_batches; ++j) {
    const at::NoGradGuard no_graph;
    const PairedFeatures features = embed(j);
    images.push_back(features.image);
    texts.push_back(features.text);
  }
  for (int64_t j = 0; j < micro_batches; ++j) {
    const auto place = static_cast<size_t>(j);
    const PairedFeatures fresh = embed(j);
    if (fresh.image.sizes() != images[place].sizes() || fresh.text.sizes() != texts[place].sizes()) {
      fail("micro-batch ", j, " had features ", images[place].sizes(), " at first and ", fresh.image.sizes(), " when it was computed again");
    }
    auto all_images = images, all_texts = texts;
    all_images[place] = fresh.image;
    all_texts[place] = fresh.text;
    const Tensor total = loss({at::cat(all_images), at::cat(all_texts)});
    total.backward();
    losses.push_back(total.detach());
  }
  return losses;
}

}  // namespace vlm
