#include <ATen/ops/cat.h>
#include <c10/core/InferenceMode.h>

#include "command.h"
#include "model_options.h"
#include "output.h"
#include "picture_input.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/progress.h"
#include "vlm/core/strings.h"
#include "vlm/models/fingerprint.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/npy.h"
#include "vlm/io/safetensors.h"

namespace vlm::apps {

namespace embed {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  PictureInput input;
  std::vector<std::string> texts;
  std::string text_file, out;
  bool captions = false;

  bool of_texts() const { return !texts.empty() || !text_file.empty() || captions; }
};

struct Vectors {
  Tensor vectors;                  // [N, E]
  std::vector<std::string> names;  // N
  int64_t failed = 0;
};

Vectors embed_all_pictures(const Options& options, const DualEncoderPipeline& pipeline) {
  Vectors out;
  std::vector<Tensor> parts;
  const EmbedCounts counts = embed_pictures(pipeline, options.model, options.input, nullptr,
                                            [&](const Tensor& vectors, const std::vector<std::string>& names) {
                                              parts.push_back(vectors);
                                              out.names.insert(out.names.end(), names.begin(), names.end());
                                            });
  if (parts.empty()) fail("none of the pictures could be read");
  out.vectors = at::cat(parts);
  out.failed = counts.failed;
  return out;
}

/// Names of texts are the texts themselves; those of captions tell sample and place: "DATA#NUMBER:KEY#2".
Vectors embed_all_texts(const Options& options, const DualEncoderPipeline& pipeline) {
  Vectors out;
  std::vector<std::string> texts = options.texts;
  if (!options.text_file.empty()) {
    for (auto& line : read_lines(options.text_file)) texts.push_back(std::move(line));
  }
  out.names = texts;
  if (options.captions) {
    const auto source = options.input.open_data();
    for (int64_t number = 0; number < source->size(); ++number) {
      try {
        const Sample sample = source->describe_number(number);
        for (size_t i = 0; i < sample.captions.size(); ++i) {
          out.names.push_back(concat(sample_name(options.input.data, number, sample.key), "#", i));
          texts.push_back(sample.captions[i]);
        }
      } catch (const SampleError& error) {
        ++out.failed;
        log_warning("left out: ", error.what());
      }
    }
  }
  if (texts.empty()) fail("there are no texts to embed");
  Progress bar("texts", static_cast<int64_t>(texts.size()), "texts");
  const auto step = static_cast<size_t>(options.model.batch_size);
  std::vector<Tensor> parts;
  for (size_t at = 0; at < texts.size(); at += step) {
    const size_t end = std::min(texts.size(), at + step);
    parts.push_back(pipeline.embed_texts({texts.begin() + static_cast<std::ptrdiff_t>(at), texts.begin() + static_cast<std::ptrdiff_t>(end)}));
    bar.update(static_cast<int64_t>(end));
  }
  out.vectors = at::cat(parts);
  return out;
}

/// "vectors.npy": "vectors.names.txt". A name is one line, whatever stands in it.
std::string write(const Options& options, const Vectors& vectors, const DualEncoderPipeline& pipeline) {
  if (ends_with(options.out, ".npy")) {
    const std::string names_file = options.out.substr(0, options.out.size() - 4) + ".names.txt";
    std::string lines;
    for (std::string name : vectors.names) {
      for (char& c : name) c = c == '\n' || c == '\r' ? ' ' : c;
      lines += name + "\n";
    }
    write_file_atomically(names_file, lines);
    write_npy(options.out, vectors.vectors);
    return names_file;
  }
  const auto names = nlohmann::json(vectors.names).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  write_safetensors(options.out, {{"vectors", vectors.vectors.to(at::kFloat)}},
                    {{"names", names}, {"model", options.model.model}, {"fingerprint", model_fingerprint(pipeline.model())}});
  return options.out;
}

void run(const Options& options) {
  if (!ends_with(options.out, ".npy") && !ends_with(options.out, ".safetensors")) {
    fail_usage("--out writes .npy or .safetensors, not '", options.out, "'");
  }
  if (options.captions && options.input.data.empty()) fail_usage("--captions are those of a data set: add --data DATASET");
  if (options.of_texts() && (!options.input.pictures().empty() || (!options.input.data.empty() && !options.captions))) {
    fail_usage("one file holds vectors of pictures or of texts: run the command once for each");
  }
  if (!options.of_texts() && !options.input.given()) fail_usage("name pictures, a data set with --data, or texts with --text or --texts");
  const DualEncoderPipeline pipeline = options.model.load();
  const c10::InferenceMode inference;
  const Vectors vectors = options.of_texts() ? embed_all_texts(options, pipeline) : embed_all_pictures(options, pipeline);
  const std::string names_file = write(options, vectors, pipeline);
  const int64_t count = vectors.vectors.size(0), width = vectors.vectors.size(1);
  if (options.model.json) {
    print_json({{"out", options.out},
                {"names", names_file},
                {"kind", options.of_texts() ? "texts" : "pictures"},
                {"count", count},
                {"width", width},
                {"left_out", vectors.failed}});
  } else {
    print_table({{"file", "vectors", "width", "left out"},
                 {options.out, std::to_string(count), std::to_string(width), std::to_string(vectors.failed)}});
  }
  if (vectors.failed > 0) throw Exit{1};
}

}  // namespace embed

void add_embed(CLI::App& app) {
  auto options = std::make_shared<embed::Options>();
  CLI::App* command = add_command(app, "embed", "Pictures or texts to vectors of unit length, in a .npy or .safetensors file",
                                  "vlm embed --model clip-vit-b32 photos --out photos.npy", [options] { embed::run(*options); });
  options->model.add_to(*command);
  options->input.add_to(*command, "Pictures, folders or patterns");
  command->add_option("--text", options->texts, "A text (may be given several times)")->allow_extra_args(false);
  command->add_option("--texts", options->text_file, "File with one text a line");
  command->add_flag("--captions", options->captions, "The captions of the data set instead of its pictures");
  command
      ->add_option("--out", options->out,
                   "File to write: .npy, with the names in .names.txt beside it, or .safetensors, with the tensor 'vectors' and "
                   "the names as JSON in its metadata")
      ->required();
}

}  // namespace vlm::apps
