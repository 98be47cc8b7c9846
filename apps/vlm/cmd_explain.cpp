#include <algorithm>
#include <cctype>
#include <filesystem>

#include "command.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/data/draw_heat.h"
#include "vlm/data/image_encode.h"
#include "vlm/infer/explain_texts.h"
#include "vlm/io/atomic_file.h"

namespace vlm::apps {

namespace explain {

namespace fs = std::filesystem;

struct Options {
  PictureTask task;
  std::string folder;
  int64_t layer = -1;
};

/// Letters and digits of a word, for a file's name.
std::string file_part(const std::string& word) {
  std::string out;
  for (const char c : word) {
    if (std::isalnum(static_cast<unsigned char>(c))) out += c;
  }
  return out.empty() ? "word" : out;
}

/// A word, or the whole text ("").
struct Map {
  std::string word;
  Tensor heat;
  std::string file;  ///< empty: it is not written
};

/// Writes the maps of a picture; those of words in one scale, so that they can be held against each other.
void write_maps(const std::string& picture, std::vector<Map>& maps, const fs::path& folder, const std::string& stem) {
  const Picture source = Picture::from_file(picture);
  const Image image = decode_image(source.bytes, source.decode);
  double largest = 0;
  for (const auto& map : maps) {
    if (!map.word.empty()) largest = std::max(largest, peak_of(map.heat).heat);
  }
  for (size_t i = 0; i < maps.size(); ++i) {
    Image drawn = image;
    draw_heat(drawn, maps[i].heat, maps[i].word.empty() ? peak_of(maps[i].heat).heat : largest);
    const fs::path file = folder / (maps[i].word.empty() ? stem + "-text.png" : concat(stem, "-", i, "-", file_part(maps[i].word), ".png"));
    write_file_atomically(file, encode_png(drawn));
    maps[i].file = file.string();
  }
}

nlohmann::ordered_json json_of(const Map& map) {
  const HeatPeak peak = peak_of(map.heat);
  nlohmann::ordered_json out;
  if (!map.word.empty()) out["word"] = map.word;
  out["peak"] = {peak.x, peak.y};
  out["heat"] = peak.heat;
  if (!map.file.empty()) out["map"] = map.file;
  return out;
}

void run(Options options) {
  PictureTask& task = options.task;
  task.take_text("name a picture and a text: vlm explain --model DIR photo.jpg \"a cat on a sofa\" --out maps");
  if (task.texts.size() != 1) fail_usage("one text at a time is explained, not ", task.texts.size());
  const auto files = task.files();
  if (!options.folder.empty() && fs::exists(options.folder) && !fs::is_directory(options.folder)) {
    fail_usage("--out ", options.folder, " is no folder; each word's map goes into a file there");
  }
  const TextPipeline pipeline = task.model.load_text();
  with_context(task.model.model, [&] { must_explain(pipeline); });
  std::vector<std::string> stems;
  task.run(pipeline, files, [&](const PictureBatch& batch) {
    std::vector<TaskResult> out;
    const auto explained = explain_texts(pipeline, batch, std::vector<std::string>(batch.names.size(), task.texts[0]), options.layer);
    for (size_t i = 0; i < explained.size(); ++i) {
      std::vector<Map> maps = {{"", explained[i].heat, ""}};
      for (const auto& word : explained[i].words) maps.push_back({word.text, word.heat, ""});
      if (!options.folder.empty()) {
        const std::string stem = fs::path(batch.names[i]).stem().string();
        if (std::find(stems.begin(), stems.end(), stem) != stems.end()) fail("--out: the maps of two pictures would both be called ", stem);
        stems.push_back(stem);
        write_maps(batch.names[i], maps, options.folder, stem);
      }
      nlohmann::ordered_json values = json_of(maps[0]);
      values["text"] = task.texts[0];
      values["width"] = batch.placements[i].picture.width;
      values["height"] = batch.placements[i].picture.height;
      values["words"] = nlohmann::ordered_json::array();
      std::string line;
      for (size_t n = 0; n < maps.size(); ++n) {
        if (n > 0) values["words"].push_back(json_of(maps[n]));
        const HeatPeak peak = peak_of(maps[n].heat);
        line += concat(n ? "\n" : "", peak.x, " ", peak.y, "\t", n ? maps[n].word : task.texts[0], maps[n].file.empty() ? "" : "\t", maps[n].file);
      }
      out.push_back({i, std::move(values), std::move(line)});
    }
    return out;
  });
}

}  // namespace explain

void add_explain(CLI::App& app) {
  auto options = std::make_shared<explain::Options>();
  options->task.label = "maps";
  CLI::App* command = add_command(app, "explain", "Where a text and each of its words are in a picture: the warmest point, and maps of heat (ALBEF, TCL, CODIS, mPLUG, BLIP: those that match)",
                                  "vlm explain --model albef-flickr30k photo.jpg \"a cat on a sofa\" --out maps", [options] { explain::run(*options); });
  options->task.model.add_to(*command, 8);
  command->add_option("pictures", options->task.arguments, "Pictures, folders or patterns; the last argument is the text")->required();
  options->task.add_text_to(*command, "text", "A text");
  command->add_option("--out", options->folder, "Folder for the maps: NAME-text.png of the whole, NAME-1-WORD.png … of the words, light and red where they are");
  command->add_option("--layer", options->layer, "Layer whose look from the text at the picture is shown; a wrong one is told which there are (default: a third of the way through those that look)");
}

}  // namespace vlm::apps
