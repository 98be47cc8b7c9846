#include "model_options.h"

#include <ATen/Parallel.h>

namespace vlm::apps {

void ModelFlags::add_to(CLI::App& command, int64_t batch) {
  batch_size = batch;
  command.add_option("--model", model, "Model folder, a weight file (.safetensors, .pt, .bin), or tuned parameters, which name their model")->required();
  command.add_option("--arch", arch, "Architecture of a bare weight file, as ViT-B-32 or ViT-B-32-quickgelu");
  command.add_option("--adapter", adapter, "Tuned parameters (RUN/model of a recipe with model.tuning) that go on top of the model");
  command.add_option("--tokenizer", tokenizer, "Tokenizer file or folder (default: the model folder)");
  command.add_option("--batch-size", batch_size, "Pictures in a batch")->capture_default_str()->check(at_least_one);
  command.add_option("--threads", threads, "Threads (default: all cores)");
  command.add_flag("--json", json, "Print JSON");
  command.add_flag("--allow-unfit-weights", allow_unfit, "Load what fits and warn about weights that are missing, unexpected or misshapen");
}

void ModelFlags::add_image_size_to(CLI::App& command) {
  command.add_option("--image-size", image_size, "Side of the pictures, for models that take several (OFA; default: the model's)")->check(at_least_one);
}

void ModelFlags::add_imagenet_mean_to(CLI::App& command) {
  command.add_flag("--imagenet-mean", imagenet_mean, "Normalise pictures by ImageNet's mean and deviation, as OFA's models for ImageNet were fine-tuned");
}

void set_threads(int threads) {
  if (threads > 0) at::set_num_threads(threads);
}

DualEncoderPipeline ModelFlags::load() const {
  set_threads(threads);
  return DualEncoderPipeline::load(model, pipeline_options());
}

TextPipeline ModelFlags::load_text() const {
  set_threads(threads);
  return TextPipeline::load(model, pipeline_options());
}

PipelineOptions ModelFlags::pipeline_options() const {
  return PipelineOptions{.strict = !allow_unfit, .tokenizer = tokenizer, .arch = arch, .adapter = adapter, .image_size = image_size, .usual_size = usual_size,
                         .imagenet_mean = imagenet_mean, .batch_size = batch_size, .threads = threads};
}

}  // namespace vlm::apps
