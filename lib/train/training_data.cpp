#include "vlm/train/training_data.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "vlm/core/config_json.h"
#include "vlm/core/error.h"
#include "vlm/data/transforms_train.h"
#include "vlm/train/augmentation.h"

namespace vlm {

bool RunObjective::takes(const std::string& source) const { return data.empty() || std::find(data.begin(), data.end(), source) != data.end(); }

std::vector<RunObjective> make_run_objectives(const Recipe& recipe, const ModelSetup& setup, Communicator& communicator) {
  const ObjectiveContext context{*setup.model, setup.tokenizer, communicator};
  std::vector<RunObjective> out;
  const auto add = [&](const std::string& name, const ObjectiveRecipe& part) {
    with_context("objective '" + name + "'", [&] {
      out.push_back({name, part.weight, part.data, objectives().get(part.name)(context, part.options)});
    });
  };
  if (recipe.objectives.empty()) {
    add(recipe.objective.name, recipe.objective);
    return out;
  }
  const nlohmann::ordered_json all = recipe.objectives.to_json();
  for (const auto& [name, keys] : all.items()) {
    ObjectiveRecipe part;
    part.name = name;
    recipe.objectives.section(name).read(part);
    add(name, part);
  }
  return out;
}

PreprocessOptions preprocess_of_run(const ModelSetup& setup, const std::vector<RunObjective>& objectives) {
  PreprocessOptions out = setup.preprocess;
  const auto [height, width] = objectives.at(0).objective->image_size();
  if (height == 0) return out;  // texts alone
  out.size = height == width ? std::vector<int64_t>{height} : std::vector<int64_t>{height, width};
  return out;
}

TrainingData::TrainingData(const Recipe& recipe, const std::vector<RunObjective>& objectives, const PreprocessOptions& preprocess,
                           int64_t rank, int64_t world_size, const c10::Device& device)
    : recipe_(recipe.data), accumulate_(recipe.train.accumulate), rank_(rank), world_size_(world_size), device_(device) {
  if (accumulate_ < 1) fail_usage("train.accumulate must be at least 1, not ", accumulate_);
  if (recipe_.global_batch_size > 0) {
    if (recipe_.global_batch_size % world_size != 0) {
      fail_usage("data.global_batch_size is ", recipe_.global_batch_size, ", which ", world_size, " ranks cannot share evenly");
    }
    recipe_.loader.batch_size = recipe_.global_batch_size / world_size;
  }
  if (recipe_.mix.empty()) {
    if (recipe_.train.path.empty()) fail_usage("data.train.path is missing: shards, a folder or a list to train on");
    SourceRecipe source;
    static_cast<SourceOptions&>(source) = recipe_.train;
    loader_ = make_loader(source, "train", objectives, preprocess);
    const int64_t batches = loader_->batches_per_epoch(0);
    steps_per_epoch_ = (batches + accumulate_ - 1) / accumulate_;
    total_steps_ = recipe.train.steps;
    if (total_steps_ == 0) {
      for (int64_t epoch = 0; epoch < recipe.train.epochs; ++epoch) total_steps_ += (loader_->batches_per_epoch(epoch) + accumulate_ - 1) / accumulate_;
    }
    transfer_ = std::make_unique<DeviceTransfer>(device_, [this](Batch& batch) { return loader_->next(batch); });
    start_epoch(0);
    return;
  }
  if (!recipe_.train.path.empty()) fail_usage("data.train and data.mix are both given; put the first one into the mix");
  if (recipe.train.steps < 1) fail_usage("train.steps is missing: a mix of data sets has no epochs");
  total_steps_ = recipe.train.steps;
  std::vector<MixPart> parts;
  std::vector<std::unique_ptr<Loader>> loaders;
  const nlohmann::ordered_json mix = recipe_.mix.to_json();
  for (const auto& [name, keys] : mix.items()) {
    SourceRecipe source;
    with_context("data.mix." + name, [&, &name = name] { recipe_.mix.section(name).read(source); });
    if (source.path.empty()) fail_usage("data.mix.", name, ".path is missing");
    parts.push_back({name, source.weight});
    loaders.push_back(make_loader(source, name, objectives, preprocess));
  }
  mix_ = std::make_unique<MixLoader>(std::move(parts), std::move(loaders), static_cast<uint64_t>(recipe_.loader.seed));
}

std::unique_ptr<Loader> TrainingData::make_loader(const SourceRecipe& recipe, const std::string& name, const std::vector<RunObjective>& objectives,
                                                  const PreprocessOptions& preprocess) {
  const Objective* lead = nullptr;
  std::vector<const Objective*> takers;
  PrepareSample own;
  for (const auto& entry : objectives) {
    if (!entry.takes(name)) continue;
    const Objective& objective = *entry.objective;
    takers.push_back(&objective);
    if (auto prepare = objective.preparation(name, recipe_.augment, preprocess)) {
      if (own) fail_usage("two objectives prepare the pictures of data set '", name, "', each in its own way; give it to one of them (objectives.*.data)");
      own = std::move(prepare);
    }
    if (lead && lead->image_size_of(name) != objective.image_size_of(name)) {
      fail_usage("the objectives of data set '", name, "' want pictures of different sizes");
    }
    if (!lead || lead->text_length() == 0) lead = &objective;
  }
  if (!lead) fail_usage("no objective learns from data set '", name, "'; see objectives.*.data");
  const auto [height, width] = lead->image_size_of(name);
  BatchForm form;
  form.height = height;
  form.width = width;
  form.text_length = lead->text_length();
  form.pictures = lead->pictures();
  form.prepare = own ? std::move(own) : augmentation_of(recipe_.augment, preprocess, height, width);
  form.prepare = [takers, prepare = std::move(form.prepare)](Sample& sample, const Image& image, SplitMix64& random, float* pixels, std::string& text) {
    for (const Objective* objective : takers) objective->check(sample, text);
    prepare(sample, image, random, pixels, text);
  };
  form.tokenize = [lead](const std::string& text, int64_t* ids) { lead->tokenize(text, ids); };
  LoaderOptions options = recipe_.loader;
  options.rank = rank_;
  options.world_size = world_size_;
  if (recipe.batch_size > 0) options.batch_size = recipe.batch_size;
  batch_size_ += recipe_.mix_within_step || recipe_.mix.empty() ? options.batch_size : 0;
  if (!recipe_.mix_within_step && !recipe_.mix.empty()) batch_size_ = std::max(batch_size_, options.batch_size);
  names_.push_back(name);
  sources_.push_back(open_source(recipe));
  return std::make_unique<Loader>(sources_.back(), options, std::move(form));
}

void TrainingData::start_epoch(int64_t epoch) {
  transfer_->reset();
  epoch_ = epoch;
  loader_->start_epoch(epoch);
  left_ = loader_->batches_left();
  epoch_ended_ = false;
}

void TrainingData::to_device(Batch& batch) const {
  if (device_.is_cpu()) return;
  for (Tensor* tensor : {&batch.images, &batch.ids, &batch.labels, &batch.image_index}) *tensor = tensor->to(device_);
}

std::vector<StepBatch> TrainingData::next() {
  std::vector<StepBatch> out;
  if (mix_) {
    for (int64_t n = 0; n < accumulate_; ++n) {
      if (recipe_.mix_within_step) {
        std::vector<Batch> batches;
        mix_->next_of_each(batches);
        for (size_t part = 0; part < batches.size(); ++part) {
          if (mix_->part(part).weight <= 0) continue;
          to_device(batches[part]);
          out.push_back({std::move(batches[part]), part});
        }
      } else {
        StepBatch one;
        one.source = mix_->next(one.batch);
        to_device(one.batch);
        out.push_back(std::move(one));
      }
    }
    return out;
  }
  if (epoch_ended_) {
    finish();
    start_epoch(epoch_ + 1);
  }
  for (int64_t n = 0; n < accumulate_ && left_ > 0; ++n) {
    StepBatch one;
    if (!transfer_->next(one.batch)) break;
    left_ -= 1;
    out.push_back(std::move(one));
  }
  if (out.empty()) fail("data.train gave no batch in epoch ", epoch_);
  last_.emplace();
  last_->ticket = out.back().batch.ticket;
  return out;
}

void TrainingData::finish() {
  Batch none;
  if (loader_ && epoch_ended_) loader_->next(none);  // what is behind the last batch is the report
}

void TrainingData::mark_used() {
  if (mix_) {
    mix_->mark_used();
    return;
  }
  loader_->mark_used(*last_);
  epoch_ended_ = left_ == 0;
}

double TrainingData::wait_seconds() const {
  if (loader_) return loader_->wait_seconds();
  double sum = 0;
  for (size_t part = 0; part < mix_->size(); ++part) sum += mix_->loader(part).wait_seconds();
  return sum;
}

int64_t TrainingData::samples() const {
  int64_t sum = 0;
  for (const auto& source : sources_) sum += source->size();
  return sum;
}

nlohmann::ordered_json TrainingData::cursor(int64_t step) const {
  if (mix_) return mix_->cursor().to_json();
  Cursor cursor = loader_->cursor();
  cursor.step = step;
  return cursor.to_json();
}

void TrainingData::resume(const nlohmann::json& cursor) {
  if (mix_) {
    mix_->resume(MixCursor::from_json(cursor));
    return;
  }
  transfer_->reset();
  loader_->resume(Cursor::from_json(cursor));
  epoch_ = loader_->epoch();
  left_ = loader_->batches_left();
  epoch_ended_ = false;
}

}  // namespace vlm
