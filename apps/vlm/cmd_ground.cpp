#include <algorithm>
#include <filesystem>

#include "command.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/data/draw_box.h"
#include "vlm/data/draw_heat.h"
#include "vlm/data/image_encode.h"
#include "vlm/infer/explain_texts.h"
#include "vlm/infer/ground_texts.h"
#include "vlm/infer/text_pipeline.h"
#include "vlm/io/atomic_file.h"

namespace vlm::apps {

namespace grounding {

namespace fs = std::filesystem;

struct Options {
  PictureTask task;
  instruct::GroundOptions ground;
  std::string draw;
  bool any_reply = false;
  int64_t layer = -1;
};

/// A model may write coordinates a little outside of the picture.
Corners inside(const Corners& box, const ImageSize& size) {
  Corners out;
  for (size_t i = 0; i < 4; ++i) out[i] = std::clamp(box[i], 0.0f, static_cast<float>(i % 2 ? size.height : size.width));
  return out;
}

/// What is shown of a picture: boxes of all texts, or the heat of one.
struct Shown {
  std::vector<Corners> boxes;
  Tensor heat;
};

void draw(const std::string& picture, const Shown& shown, const fs::path& file) {
  static constexpr std::array<uint8_t, 3> colors[] = {{255, 48, 48}, {48, 160, 255}, {64, 220, 64}, {255, 180, 0}, {220, 64, 220}, {0, 210, 210}};
  const Picture source = Picture::from_file(picture);
  Image image = decode_image(source.bytes, source.decode);
  if (shown.heat.defined()) draw_heat(image, shown.heat, peak_of(shown.heat).heat);
  for (size_t i = 0; i < shown.boxes.size(); ++i) draw_box(image, shown.boxes[i], colors[i % std::size(colors)]);
  write_file_atomically(file, encode_png(image));
}

void run(Options options) {
  PictureTask& task = options.task;
  task.take_text("name a picture and what to find in it: vlm ground --model DIR photo.jpg \"the man in red\"");
  options.ground.only_bins = !options.any_reply;
  const auto files = task.files();
  if (!options.draw.empty() && files.size() > 1 && !fs::is_directory(options.draw)) {
    fail_usage("--draw ", options.draw, ": there are ", files.size(), " pictures, so name a folder that is there; each picture goes into a file of its own name");
  }
  const TextPipeline pipeline = task.model.load_text();
  const bool by_heat = explains(pipeline);
  if (!by_heat) with_context(task.model.model, [&] { must_ground(pipeline); });
  if (by_heat && task.texts.size() > 1 && !options.draw.empty()) fail_usage("--draw shows the heat of one text; give one, or leave --draw out");
  std::vector<std::string> drawn;
  task.run(pipeline, files, [&](const PictureBatch& batch) {
    std::vector<Shown> shown(batch.names.size());
    auto results = for_each_text(batch, task.texts, [&](const std::vector<std::string>& texts) {
      std::vector<TaskResult> out;
      if (by_heat) {
        const auto explained = explain_texts(pipeline, batch, texts, options.layer, /*with_words=*/false);
        for (size_t i = 0; i < explained.size(); ++i) {
          shown[i].heat = explained[i].heat;
          const HeatPeak peak = peak_of(shown[i].heat);
          const ImageSize& size = batch.placements[i].picture;
          out.push_back({i, {{"text", texts.front()}, {"point", {peak.x, peak.y}}, {"width", size.width}, {"height", size.height}, {"heat", peak.heat}},
                         concat(peak.x, " ", peak.y)});
        }
        return out;
      }
      for (const auto& found : ground_texts(pipeline, batch.pixels, batch.placements, texts, options.ground)) {
        const size_t i = out.size();
        const ImageSize& size = batch.placements[i].picture;
        const Corners box = inside(found.box, size);
        shown[i].boxes.push_back(box);
        std::string line;
        for (const float x : box) line += rounded(x, 1) + " ";
        out.push_back({i, {{"text", texts.front()}, {"box", box_json(box)}, {"width", size.width}, {"height", size.height}, {"score", found.score}},
                       line + rounded(found.score, 4)});
      }
      return out;
    });
    for (size_t i = 0; i < batch.names.size() && !options.draw.empty(); ++i) {
      const fs::path target = fs::is_directory(options.draw) ? fs::path(options.draw) / (fs::path(batch.names[i]).stem().string() + ".png") : fs::path(options.draw);
      if (std::find(drawn.begin(), drawn.end(), target.string()) != drawn.end()) fail("--draw: two pictures would both be written to ", target.string());
      draw(batch.names[i], shown[i], target);
      drawn.push_back(target.string());
    }
    return results;
  });
}

}  // namespace grounding

void add_ground(CLI::App& app) {
  auto options = std::make_shared<grounding::Options>();
  options->task.label = "boxes";
  options->task.model.usual_size = 512;
  CLI::App* command = add_command(app, "ground", "Find what a text speaks of in a picture: a box, left top right bottom in pixels, and its score (OFA, mPLUG), or the warmest point of a map (ALBEF, and whatever vlm explain takes)",
                                  "vlm ground --model ofa-refcoco photo.jpg \"the man in red\" --draw found.png", [options] { grounding::run(*options); });
  options->task.add_to(*command, "Pictures, folders or patterns; the last argument is the text");
  options->task.add_text_to(*command, "text", "A text");
  command->add_option("--draw", options->draw, "Write the picture with the box, or the map of heat, to this PNG file (with several pictures: to a folder)");
  command->add_option("--beam", options->ground.beams, "Beams; 1: greedy")->capture_default_str()->check(at_least_one)->group("Search");
  command->add_option("--max-image-size", options->ground.max_image_size, "Pixel that the model's last coordinate stands for; 512 as published, whatever the size of the pictures")
      ->capture_default_str()
      ->check(at_least_one);
  command->add_option("--layer", options->layer, "Of a map: the layer whose look from the text at the picture is taken (default: a third of the way through those that look)");
  command->add_flag("--any-reply", options->any_reply, "Do not force the reply to be coordinates, as published evaluation does not");
}

}  // namespace vlm::apps
