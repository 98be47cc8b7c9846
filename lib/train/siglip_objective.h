#pragma once
/// Pretraining of a dual encoder with the pairwise sigmoid loss (SigLIP, arXiv 2303.15343): every pair of the batch is a
/// question of its own, so no normalisation over the batch is needed.

#include "vlm/train/objective.h"

namespace vlm {

struct SiglipObjectiveOptions {
  std::string exchange = "ring";  ///< how texts get to other processes: ring or gather
  int64_t chunk_rows = 1024;      ///< rows of scores that exist at a time
  int64_t grad_cache = 0;         ///< rows that a tower takes at a time; 0: all (GradCache, arXiv 2101.06983)
  int64_t image_chunk = 0;        ///< the same for the image tower alone; 0: grad_cache
  int64_t text_chunk = 0;         ///< for the text tower; 0: grad_cache

  void fields(Fields& f) {
    f.field("exchange", exchange, "how texts get to other processes: ring or gather");
    f.field("chunk_rows", chunk_rows, "rows of scores that exist at a time");
    f.field("grad_cache", grad_cache,
            "rows that a tower takes at a time, for batches larger than memory; each is computed twice. 0: all at once");
    f.field("image_chunk", image_chunk, "the same for the image tower alone; 0: grad_cache");
    f.field("text_chunk", text_chunk, "the same for the text tower alone; 0: grad_cache");
  }
};

class SiglipObjective : public Objective {
 public:
  SiglipObjective(const ObjectiveContext& context, const SiglipObjectiveOptions& options);
  std::vector<LossTerm> losses(const Batch& batch) override;
  std::vector<std::pair<std::string, double>> metrics() const override;
  int64_t text_length() const override { return encoder_.context_length(); }
  void tokenize(const std::string& text, int64_t* ids) const override;
  std::pair<int64_t, int64_t> image_size() const override { return encoder_.image_size(); }
  std::string evaluation() const override { return "retrieval"; }

 private:
  DualEncoder& encoder_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  Communicator& communicator_;
  SiglipObjectiveOptions options_;
};

std::unique_ptr<Objective> make_siglip_objective(const ObjectiveContext& context, const Config& options);

}  // namespace vlm
