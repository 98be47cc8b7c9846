// A program of its own on an installed vlm: reads a linear embedding from a safetensors file, embeds pictures with it and
// prints how much alike they are.
//
//   embed_pictures WEIGHTS.safetensors PICTURE…    weights: "weight" [D, 3 * S * S], float32
//   embed_pictures --try                           the same on weights and pictures made up on the spot

#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/io/blas_check.h"
#include "vlm/io/safetensors.h"

namespace {

// One picture as a row of RGB values in 0 .. 1: [3 * side * side].
at::Tensor read_picture(const std::string& file, int side) {
  const cv::Mat picture = cv::imread(file, cv::IMREAD_COLOR);
  if (picture.empty()) vlm::fail(file, ": not a picture that OpenCV can read");
  cv::Mat small, row;
  cv::resize(picture, small, cv::Size(side, side), 0, 0, cv::INTER_AREA);
  cv::cvtColor(small, small, cv::COLOR_BGR2RGB);
  small.convertTo(row, CV_32FC3, 1.0 / 255);
  return at::from_blob(row.data, {3 * side * side}, at::kFloat).clone();
}

void embed(const std::string& weights, const std::vector<std::string>& files) {
  const at::Tensor weight = vlm::SafetensorsFile(weights).tensor("weight");  // [D, 3 * S * S]
  const int side = static_cast<int>(std::lround(std::sqrt(weight.size(1) / 3.0)));
  if (weight.dim() != 2 || 3 * side * side != weight.size(1)) vlm::fail(weights, ": 'weight' is not [D, 3 * S * S]");
  std::vector<at::Tensor> rows;
  for (const auto& file : files) rows.push_back(read_picture(file, side));
  at::Tensor embeddings = at::matmul(at::stack(rows), weight.t());  // [N, D]
  embeddings = embeddings.div(embeddings.norm(2, -1, true));
  const at::Tensor alike = at::matmul(embeddings, embeddings.t());  // [N, N]
  for (int64_t i = 0; i < alike.size(0); ++i) {
    for (int64_t j = 0; j < alike.size(1); ++j) std::printf("%6.3f ", alike[i][j].item<float>());
    std::printf(" %s\n", files[static_cast<size_t>(i)].c_str());
  }
}

// Two pictures that are alike and one that is not.
void try_out() {
  const auto folder = std::filesystem::temp_directory_path() / ("embed_pictures-" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  std::vector<std::string> files;
  for (const auto& [name, colour] : {std::pair{"red.png", cv::Scalar(20, 20, 230)},
                                     {"brick.png", cv::Scalar(40, 50, 180)},
                                     {"blue.png", cv::Scalar(230, 30, 20)}}) {
    files.push_back((folder / name).string());
    cv::imwrite(files.back(), cv::Mat(48, 64, CV_8UC3, colour));
  }
  const auto weights = (folder / "weights.safetensors").string();
  vlm::write_safetensors(weights, {{"weight", at::eye(3 * 16 * 16)}});
  embed(weights, files);
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
  try {
    if (arguments == std::vector<std::string>{"--try"}) {
      try_out();
    } else if (arguments.size() >= 2) {
      embed(arguments[0], {arguments.begin() + 1, arguments.end()});
    } else {
      std::fprintf(stderr, "usage: embed_pictures WEIGHTS.safetensors PICTURE... | --try\n");
      return 2;
    }
    report_blas();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
