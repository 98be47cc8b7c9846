#include <ATen/TensorOperators.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/upsample_bicubic2d.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "command.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/image.h"
#include "vlm/data/image_encode.h"
#include "vlm/infer/grad_cam.h"
#include "vlm/infer/text_pipeline.h"
#include "vlm/io/atomic_file.h"

namespace vlm::apps {

namespace explain {

namespace fs = std::filesystem;

struct Options {
  PictureTask task;
  std::string draw = ".";
  int64_t layer = -1;
};

/// A word of the text, and which of its ids make it up.
struct Word {
  std::string text;
  std::vector<int64_t> places;
};

/// Pieces that go on with a word ("##s") belong to it; specials to none.
std::vector<Word> words_of(const Tokenizer& tokenizer, const std::vector<int64_t>& ids) {
  std::vector<Word> out;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (tokenizer.is_special(ids[i])) continue;
    std::string piece = tokenizer.id_to_piece(ids[i]);
    const bool goes_on = starts_with(piece, "##") && !out.empty();
    if (goes_on) {
      out.back().text += piece.substr(2);
    } else {
      out.push_back({std::move(piece), {}});
    }
    out.back().places.push_back(static_cast<int64_t>(i));
  }
  return out;
}

/// The picture darkened where `heat` [H, W], from 0 to 1, is low, and reddened where it is high.
Image overlay(Image image, const Tensor& heat) {
  const Tensor values = heat.contiguous();
  const float* h = values.const_data_ptr<float>();
  for (int y = 0; y < image.height; ++y) {
    uint8_t* row = image.row(y);
    for (int x = 0; x < image.width; ++x, row += image.channels) {
      const float v = h[size_t(y) * static_cast<size_t>(image.width) + static_cast<size_t>(x)], light = 0.45f + 0.55f * v, red = 0.5f * v;
      const float target[3] = {255, 64, 32};
      for (int c = 0; c < 3; ++c) {
        row[c] = static_cast<uint8_t>(std::clamp(std::lround((1 - red) * light * static_cast<float>(row[c]) + red * target[c]), 0L, 255L));
      }
    }
  }
  return image;
}

/// Letters and digits of a word, for a file's name.
std::string file_part(const std::string& word) {
  std::string out;
  for (const char c : word) {
    if (std::isalnum(static_cast<unsigned char>(c))) out += c;
  }
  return out.empty() ? "word" : out;
}

void write_maps(const Options& options, const std::string& picture, const std::vector<Word>& words, const Tensor& heat, std::vector<std::string>& files) {
  const Picture source = Picture::from_file(picture);
  const Image image = decode_image(source.bytes, source.decode);
  const Tensor maps = at::upsample_bicubic2d(heat.unsqueeze(0), {image.height, image.width}, false)[0].clamp_min(0);  // [words, H, W]
  const float largest = std::max(maps.max().item<float>(), 1e-20f);
  for (size_t i = 0; i < words.size(); ++i) {
    const std::string name = concat(fs::path(picture).stem().string(), "-", i + 1, "-", file_part(words[i].text), ".png");
    write_file_atomically(fs::path(options.draw) / name, encode_png(overlay(image, maps[static_cast<int64_t>(i)] / largest)));
    files.push_back((fs::path(options.draw) / name).string());
  }
}

void run(Options options) {
  PictureTask& task = options.task;
  task.take_text("name a picture and a text: vlm explain --model DIR photo.jpg \"a cat on a sofa\" --draw maps");
  if (task.texts.size() != 1) fail_usage("one text at a time is explained, not ", task.texts.size());
  const auto files = task.files();
  if (!fs::is_directory(options.draw)) fail_usage("--draw ", options.draw, ": there is no such folder; each word's map goes into a file there");
  const TextPipeline pipeline = task.model.load_text();
  const Tokenizer& tokenizer = pipeline.tokenizer();
  const auto row = tokenizer.with_specials(tokenizer.encode(task.texts[0]), 512);
  const auto words = words_of(tokenizer, row);
  if (words.empty()) fail_usage("the text has no words");
  task.run(pipeline, files, [&](const PictureBatch& batch) {
    const auto count = static_cast<int64_t>(batch.names.size());
    const Tensor ids = at::tensor(row, at::kLong).unsqueeze(0).repeat({count, 1});
    const Tensor heat = heat_of_words(pipeline.model(), batch.pixels, ids, at::ones_like(ids), options.layer).detach();  // [B, L, side, side]
    std::vector<TaskResult> out;
    for (int64_t i = 0; i < count; ++i) {
      std::vector<Tensor> maps;
      for (const auto& word : words) maps.push_back(heat[i].index_select(0, at::tensor(word.places, at::kLong)).mean(0));
      const Tensor of_words = at::stack(maps);                                                                           // [words, side, side]
      std::vector<std::string> written;
      write_maps(options, batch.names[static_cast<size_t>(i)], words, of_words, written);
      auto list = nlohmann::ordered_json::array();
      std::string line;
      for (size_t w = 0; w < words.size(); ++w) {
        const auto strength = of_words[static_cast<int64_t>(w)].sum().item<double>();
        list.push_back({{"word", words[w].text}, {"heat", strength}, {"map", written[w]}});
        line += (w ? "\n" : "") + written[w];
      }
      out.push_back({static_cast<size_t>(i), {{"text", task.texts[0]}, {"words", std::move(list)}}, std::move(line)});
    }
    return out;
  });
}

}  // namespace explain

void add_explain(CLI::App& app) {
  auto options = std::make_shared<explain::Options>();
  options->task.label = "maps";
  CLI::App* command = add_command(app, "explain", "Where the words of a text are in a picture, as a map for each word (ALBEF)",
                                  "vlm explain --model albef-flickr30k photo.jpg \"a cat on a sofa\" --draw maps", [options] { explain::run(*options); });
  options->task.add_to(*command, "Pictures, folders or patterns; the last argument is the text");
  options->task.add_text_to(*command, "text", "A text");
  command->add_option("--draw", options->draw, "Folder for the maps, one PNG a word: light and red where the word is")->capture_default_str();
  command->add_option("--layer", options->layer, "Layer of the text encoder whose look at the picture is shown (default: a third of the way through those that look)");
}

}  // namespace vlm::apps
