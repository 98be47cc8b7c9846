#include <cstdio>

#include "command.h"
#include "generate_flags.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/progress.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace caption {

struct Options {
  ModelFlags model;
  std::vector<std::string> pictures;
  CaptionOptions caption;
  std::string coca_beam = "default", out;
};

void run(Options options) {
  options.caption.legacy_coca = options.coca_beam == "legacy";
  const auto files = expand_pictures(options.pictures);
  const TextPipeline pipeline = options.model.load_text();
  with_context(options.model.model, [&] {
    require<Captioner>(pipeline.model(), "caption", "it has no text decoder that reads a picture alone; BLIP's captioners and CoCa have one");
  });
  JsonLines results(options.out);
  auto json = nlohmann::ordered_json::array();
  size_t failed = 0;
  const PictureFailed skip = [&](const std::string& name, const std::string& reason) {
    ++failed;
    log_warning(name, ": ", reason);
  };
  PictureStream stream = pipeline.stream(read_files(files, skip), skip);
  Progress progress("captions", static_cast<int64_t>(files.size()), "pictures");
  int64_t done = 0;
  PictureBatch batch;
  while (stream.next(batch)) {
    const auto captions = pipeline.caption(batch.pixels, options.caption);
    for (size_t i = 0; i < captions.size(); ++i) {
      const nlohmann::ordered_json entry = {{"picture", batch.names[i]}, {"caption", captions[i].text}, {"score", captions[i].score}};
      results.write(entry);
      if (options.model.json) {
        json.push_back(entry);
      } else if (files.size() == 1) {
        std::printf("%s\n", captions[i].text.c_str());
      } else {
        std::printf("%s\t%s\n", batch.names[i].c_str(), captions[i].text.c_str());
      }
    }
    std::fflush(stdout);
    progress.update(done += static_cast<int64_t>(captions.size()));
  }
  progress.finish();
  results.close();
  if (options.model.json) print_json(json);
  if (failed > 0) throw Exit{1};
}

}  // namespace caption

void add_caption(CLI::App& app) {
  auto options = std::make_shared<caption::Options>();
  CLI::App* command = add_command(app, "caption", "Describe pictures in a sentence (BLIP, CoCa)", "vlm caption --model blip-image-captioning-base photo.jpg",
                                  [options] { caption::run(*options); });
  options->model.add_to(*command, 8);
  command->add_option("pictures", options->pictures, "Pictures, folders, patterns, or @FILE with one picture a line")->required();
  command->add_option("--prompt", options->caption.prompt, "What every caption begins with");
  command->add_option("--coca-beam", options->coca_beam, "legacy: CoCa's own search of open_clip 3.x")->capture_default_str()->check(CLI::IsMember({"default", "legacy"}));
  command->add_option("--out", options->out, "Also write one JSON line a picture to this file");
  add_generate_flags(*command, options->caption.generate);
}

}  // namespace vlm::apps
