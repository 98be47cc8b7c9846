#pragma once
/// A model whose logits are drawn from a row's history, for tests of searches.

#include <ATen/ops/empty.h>

#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "vlm/core/rng.h"
#include "vlm/models/generator.h"

namespace vlm::testing {

struct ToyLogits {
  int64_t vocabulary = 9;
  uint64_t seed = 0;
  double grid = 0;  ///< logits are multiples of it, so that ties occur; 0: they are not

  /// Of what follows `ids` about instruction `row`.
  std::vector<float> operator()(int64_t row, const std::vector<int64_t>& ids) const {
    std::vector<uint64_t> name = {seed, static_cast<uint64_t>(row)};
    for (const int64_t id : ids) name.push_back(static_cast<uint64_t>(id));
    SplitMix64 random(mix(name));
    std::vector<float> out;
    for (int64_t v = 0; v < vocabulary; ++v) {
      const double value = 1.5 * random.normal();
      out.push_back(static_cast<float>(grid > 0 ? grid * std::round(value / grid) : value));
    }
    return out;
  }
};

class ToyState : public DecoderState {
 public:
  ToyState(ToyLogits logits, int64_t rows, bool leaves_out) : logits_(logits), pictures_(rows), leaves_out_(leaves_out) {
    for (int64_t row = 0; row < rows; ++row) rows_.push_back({row, {}});
  }
  Tensor step(const Tensor& ids, const Tensor&) override {
    EXPECT_EQ(ids.size(0), static_cast<int64_t>(rows_.size()));
    Tensor out = at::empty({ids.size(0), logits_.vocabulary}, at::kFloat);
    for (size_t r = 0; r < rows_.size(); ++r) {
      for (int64_t i = 0; i < ids.size(1); ++i) rows_[r].ids.push_back(ids[static_cast<int64_t>(r)][i].item<int64_t>());
      const auto values = logits_(rows_[r].row, rows_[r].ids);
      std::copy(values.begin(), values.end(), out.data_ptr<float>() + static_cast<int64_t>(r) * logits_.vocabulary);
    }
    rows_fed += ids.size(0);
    ++steps;
    return out;
  }
  void select(const Tensor& rows) override {
    std::vector<Row> chosen;
    for (int64_t i = 0; i < rows.size(0); ++i) chosen.push_back(rows_.at(static_cast<size_t>(rows[i].item<int64_t>())));
    EXPECT_EQ(rows.size(0) % pictures_, 0);
    const auto each = static_cast<size_t>(rows.size(0) / pictures_);
    for (size_t i = 0; i < chosen.size(); ++i) EXPECT_EQ(chosen[i].row, chosen[i / each * each].row) << "rows of a picture stay together";
    rows_ = chosen;
  }
  bool keep_pictures(const Tensor& pictures) override {
    if (!leaves_out_) return false;
    const auto each = static_cast<int64_t>(rows_.size()) / pictures_;
    std::vector<Row> chosen;
    for (int64_t i = 0; i < pictures.size(0); ++i) {
      for (int64_t k = 0; k < each; ++k) chosen.push_back(rows_.at(static_cast<size_t>(pictures[i].item<int64_t>() * each + k)));
    }
    rows_ = chosen;
    pictures_ = pictures.size(0);
    return true;
  }
  int64_t rows_fed = 0, steps = 0;

 private:
  struct Row {
    int64_t row;
    std::vector<int64_t> ids;
  };
  ToyLogits logits_;
  std::vector<Row> rows_;
  int64_t pictures_;
  bool leaves_out_;
};

/// 0 begin, 1 padding, 2 end, 3 unknown, then words.
inline const GenerationTokens toy_tokens{.begin = 0, .end = 2, .pad = 1, .max_length = 20};

class ToyModel : public Instructed {
 public:
  ToyModel(ToyLogits logits, bool leaves_out) : logits_(logits), leaves_out_(leaves_out) {}
  struct Encoded : EncodedInstruction {
    int64_t count = 0;
    int64_t rows() const override { return count; }
  };
  GenerationTokens generation_tokens() const override { return toy_tokens; }
  InstructionVocabulary instruction_vocabulary() const override { return {.size = logits_.vocabulary, .unknown = 3}; }
  std::shared_ptr<const EncodedInstruction> encode_instruction(const Instruction& instruction) override {
    const auto out = std::make_shared<Encoded>();
    out->count = instruction.ids.size(0);
    return out;
  }
  std::unique_ptr<DecoderState> begin_reply(std::shared_ptr<const EncodedInstruction> encoded) override {
    return std::make_unique<ToyState>(logits_, encoded->rows(), leaves_out_);
  }
  Tensor reply_logits(const EncodedInstruction& encoded, const Tensor& previous) override {
    Tensor out = at::empty({previous.size(0), previous.size(1), logits_.vocabulary}, at::kFloat);
    const int64_t each = previous.size(0) / encoded.rows();
    for (int64_t r = 0; r < previous.size(0); ++r) {
      std::vector<int64_t> ids;
      for (int64_t t = 0; t < previous.size(1); ++t) {
        ids.push_back(previous[r][t].item<int64_t>());
        const auto values = logits_(r / each, ids);
        std::copy(values.begin(), values.end(), out.data_ptr<float>() + (r * previous.size(1) + t) * logits_.vocabulary);
      }
    }
    positions += previous.numel();
    return out;
  }
  int64_t positions = 0;

 private:
  ToyLogits logits_;
  bool leaves_out_;
};

}  // namespace vlm::testing
