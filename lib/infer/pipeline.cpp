#include "vlm/infer/pipeline.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/core/thread_pool.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace fs = std::filesystem;

namespace pipeline {

bool is_picture(const fs::path& file) {
  static const std::vector<std::string> extensions = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif"};
  return std::find(extensions.begin(), extensions.end(), ascii_lower(file.extension().string())) != extensions.end();
}

std::vector<fs::path> matching(const fs::path& pattern) {
  const fs::path folder = pattern.parent_path().empty() ? fs::path(".") : pattern.parent_path();
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!entry.is_regular_file() || !glob_match(pattern.filename().string(), entry.path().filename().string())) continue;
    out.push_back(pattern.parent_path().empty() ? entry.path().filename() : entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::shared_ptr<const Tokenizer> find_tokenizer(const LoadedModel& loaded, const std::string& named) {
  if (!named.empty()) return load_tokenizer(named);
  if (!loaded.folder.empty()) return load_tokenizer(loaded.folder);
  try {
    return load_tokenizer(loaded.weights.parent_path().empty() ? fs::path(".") : loaded.weights.parent_path());
  } catch (const Error&) {
    fail_usage(loaded.weights.string(), " is a bare weight file, and no tokenizer lies beside it; name one with --tokenizer FILE");
  }
}

}  // namespace pipeline

Picture Picture::from_file(const fs::path& file) {
  Picture picture;
  picture.name = file.string();
  picture.bytes = read_file(file);
  picture.decode.exif = Exif::apply;
  return picture;
}

std::vector<fs::path> expand_pictures(const std::vector<std::string>& arguments) {
  std::vector<fs::path> out;
  for (const auto& argument : arguments) {
    const fs::path path(argument);
    std::vector<fs::path> found;
    if (fs::is_directory(path)) {
      for (const auto& entry : fs::recursive_directory_iterator(path)) {
        if (entry.is_regular_file() && pipeline::is_picture(entry.path())) found.push_back(entry.path());
      }
      std::sort(found.begin(), found.end());
      if (found.empty()) fail_usage("no pictures below ", argument);
    } else if (fs::exists(path)) {
      found.push_back(path);
    } else if (argument.find_first_of("*?") != std::string::npos) {
      found = pipeline::matching(path);
      if (found.empty()) fail_usage("no file matches ", argument);
    } else {
      fail_usage("no such picture: ", argument);
    }
    out.insert(out.end(), found.begin(), found.end());
  }
  return out;
}

DualEncoderPipeline DualEncoderPipeline::load(const fs::path& path, const PipelineOptions& options) {
  LoadedModel loaded = load_model(path, ModelLoadOptions{.strict = options.strict, .arch = options.arch});
  if (!loaded.report.clean()) log_warning(loaded.weights.string(), ": the weights do not fit the model", loaded.report.text());
  auto tokenizer = pipeline::find_tokenizer(loaded, options.tokenizer);
  const PreprocessOptions preprocess = loaded.folder.empty() ? read_open_clip_preprocess(nlohmann::json::parse(loaded.open_clip_config))
                                                             : load_preprocess(loaded.folder);
  return DualEncoderPipeline(std::move(loaded.model), std::move(tokenizer), preprocess, options);
}

DualEncoderPipeline::DualEncoderPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer,
                                         const PreprocessOptions& preprocess, const PipelineOptions& options)
    : model_(std::move(model)),
      encoder_(&require<DualEncoder>(*model_, "embed pictures and texts", "it has no two towers")),
      tokenizer_(std::move(tokenizer)),
      preprocess_([&] {
        PreprocessOptions adapted = preprocess;
        // The image tower decides the size, whatever the preprocessing says (specs: clip, 8.1).
        const auto [height, width] = encoder_->image_size();
        adapted.size = height == width ? std::vector<int64_t>{height} : std::vector<int64_t>{height, width};
        return adapted;
      }()),
      options_(options) {
  if (options_.threads <= 0) options_.threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

Tensor DualEncoderPipeline::embed_stream(const std::function<bool(Picture&)>& read, std::vector<std::string>& kept,
                                         const std::function<void(const std::string&, const std::string&)>& failed) const {
  const c10::InferenceMode inference;
  const auto [height, width] = encoder_->image_size();
  const int64_t numbers = 3 * height * width;
  ThreadPool pool(options_.threads);

  struct Row {
    std::string name, problem;
  };
  struct Pending {
    Tensor pixels;
    std::vector<std::future<Row>> rows;
  };
  // One batch is decoded while the one before it runs through the model.
  const auto begin_batch = [&]() -> std::optional<Pending> {
    Pending pending;
    std::vector<Picture> pictures;
    Picture picture;
    while (static_cast<int64_t>(pictures.size()) < options_.batch_size && read(picture)) pictures.push_back(std::move(picture)), picture = {};
    if (pictures.empty()) return std::nullopt;
    pending.pixels = at::empty({static_cast<int64_t>(pictures.size()), 3, height, width}, at::kFloat);
    float* out = pending.pixels.data_ptr<float>();
    for (auto& item : pictures) {
      pending.rows.push_back(pool.submit([this, item = std::move(item), out] {
        Row row{item.name, ""};
        try {
          preprocess_.write(item.bytes, item.decode, out);
        } catch (const std::exception& error) {
          row.problem = error.what();
        }
        return row;
      }));
      out += numbers;
    }
    return pending;
  };

  std::vector<Tensor> vectors;
  std::optional<Pending> next = begin_batch();
  while (next) {
    Pending batch = std::move(*next);
    std::vector<int64_t> good;
    for (size_t i = 0; i < batch.rows.size(); ++i) {
      Row row = batch.rows[i].get();
      if (row.problem.empty()) {
        good.push_back(static_cast<int64_t>(i));
        kept.push_back(std::move(row.name));
      } else {
        failed(row.name, row.problem);
      }
    }
    next = begin_batch();
    if (good.empty()) continue;
    const bool all = good.size() == batch.rows.size();
    vectors.push_back(encoder_->embed_images(all ? batch.pixels : batch.pixels.index_select(0, at::tensor(good, at::kLong))));
  }
  return vectors.empty() ? Tensor() : at::cat(vectors);
}

Tensor DualEncoderPipeline::embed_pictures(const std::vector<Picture>& pictures) const {
  size_t at = 0;
  std::vector<std::string> kept;
  const Tensor out = embed_stream(
      [&](Picture& picture) {
        if (at == pictures.size()) return false;
        picture = pictures[at++];
        return true;
      },
      kept, [](const std::string& name, const std::string& reason) { fail(name, ": ", reason); });
  if (!out.defined()) fail("no pictures to embed");
  return out;
}

Tensor DualEncoderPipeline::embed_texts(const std::vector<std::string>& texts) const {
  const c10::InferenceMode inference;
  const int64_t length = encoder_->context_length();
  std::vector<Tensor> vectors;
  for (size_t at = 0; at < texts.size(); at += static_cast<size_t>(options_.batch_size)) {
    const size_t end = std::min(texts.size(), at + static_cast<size_t>(options_.batch_size));
    const std::vector<std::string> part(texts.begin() + static_cast<std::ptrdiff_t>(at), texts.begin() + static_cast<std::ptrdiff_t>(end));
    const Tensor ids = at::tensor(tokenizer_->encode_batch(part, length), at::kLong).view({-1, length});
    vectors.push_back(encoder_->embed_texts(ids));
  }
  if (vectors.empty()) fail("no texts to embed");
  return at::cat(vectors);
}

Tensor DualEncoderPipeline::logits(const Tensor& pictures, const Tensor& texts) const {
  const c10::InferenceMode inference;
  const Tensor scores = encoder_->logit_scale() * at::matmul(pictures, texts.t()), bias = encoder_->logit_bias();
  return bias.defined() ? scores + bias : scores;
}

}  // namespace vlm
