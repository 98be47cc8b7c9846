// A program of its own on an installed vlm: loads a model folder, embeds pictures and prints how well texts fit them.
//
//   embed_pictures MODEL PICTURE… --texts TEXT…    MODEL: a CLIP folder, released or trained by 'vlm pretrain'
//   embed_pictures --try                           the same with an untrained model and pictures made up on the spot

#include <ATen/ops/eye.h>
#include <ATen/ops/matmul.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <opencv2/imgcodecs.hpp>
#include <string>
#include <vector>

#include "vlm/infer/pipeline.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/blas_check.h"
#include "vlm/models/model_folder.h"
#include "vlm/text/sentencepiece_trainer.h"

namespace {

void embed(const std::string& model, const std::vector<std::string>& files, const std::vector<std::string>& texts) {
  const auto clip = vlm::DualEncoderPipeline::load(model);
  std::vector<vlm::Picture> pictures;
  for (const auto& file : files) pictures.push_back(vlm::Picture::from_file(file));
  const at::Tensor image_vectors = clip.embed_pictures(pictures);                      // [N, E]
  const at::Tensor text_vectors = clip.embed_texts(texts);                             // [M, E]
  const at::Tensor similarity = at::matmul(image_vectors, text_vectors.t());           // [N, M]
  for (int64_t i = 0; i < similarity.size(0); ++i) {
    for (int64_t j = 0; j < similarity.size(1); ++j) {
      std::printf("%7.3f  %s  %s\n", similarity[i][j].item<float>(), files[static_cast<size_t>(i)].c_str(), texts[static_cast<size_t>(j)].c_str());
    }
  }
}

// A model folder as 'vlm pretrain' leaves one, but with the weights it starts from.
void make_model_folder(const std::filesystem::path& folder) {
  const auto config = vlm::Config::parse(
      "embed_dim: 32\n"
      "vision_cfg: {image_size: 32, patch_size: 16, width: 64, layers: 1, head_width: 32}\n"
      "text_cfg: {context_length: 8, vocab_size: 64, width: 32, heads: 1, layers: 1, pool_type: eos, eos_id: 2}\n", "example");
  vlm::save_open_clip_folder(folder, *vlm::make_model("clip", config, 1), {{"size", 32}, {"resize_mode", "squash"}});
  vlm::write_file_atomically(folder / "tokenizer.model",
                             vlm::train_sentencepiece({"a red picture", "a blue picture"}, {.vocab_size = 64}));
}

void try_out() {
  const auto folder = std::filesystem::temp_directory_path() / ("embed_pictures-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::vector<std::string> files;
  for (const auto& [name, colour] : {std::pair{"red.png", cv::Scalar(20, 20, 230)}, {"blue.png", cv::Scalar(230, 30, 20)}}) {
    files.push_back((folder / name).string());
    cv::imwrite(files.back(), cv::Mat(48, 64, CV_8UC3, colour));
  }
  make_model_folder(folder / "model");
  embed((folder / "model").string(), files, {"a red picture", "a blue picture"});
  std::filesystem::remove_all(folder);
}

void report_blas() {
  if (const std::string warning = vlm::blas_provider_warning(); !warning.empty()) {
    std::fprintf(stderr, "warning: %s\n", warning.c_str());
  }
  const at::Tensor square = at::eye(1024);
  at::matmul(square, square);
  const auto begin = std::chrono::steady_clock::now();
  at::matmul(square, square);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::printf("matrix products: %s, %.0f GFLOP/s\n", vlm::blas_provider().c_str(), 2 * 1.073741824 / seconds.count());
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const auto texts = std::find(arguments.begin(), arguments.end(), "--texts");
  try {
    if (arguments == std::vector<std::string>{"--try"}) {
      try_out();
    } else if (texts - arguments.begin() >= 2 && arguments.end() - texts >= 2) {
      embed(arguments[0], {arguments.begin() + 1, texts}, {texts + 1, arguments.end()});
    } else {
      std::fprintf(stderr, "usage: embed_pictures MODEL PICTURE... --texts TEXT... | --try\n");
      return 2;
    }
    report_blas();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
