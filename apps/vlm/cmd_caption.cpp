#include "command.h"
#include "generate_flags.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace caption {

struct Options {
  PictureTask task;
  CaptionOptions caption;
  GenerateFlags generate;
  std::string coca_beam = "default";
};

void run(Options options) {
  options.caption.legacy_coca = options.coca_beam == "legacy";
  const auto files = options.task.files();
  const TextPipeline pipeline = options.task.model.load_text();
  with_context(options.task.model.model, [&] { pipeline.must_caption(); });
  options.caption.generate = options.generate.onto(pipeline.caption_search());
  options.task.run(pipeline, files, [&](const PictureBatch& batch) {
    std::vector<TaskResult> out;
    for (const auto& caption : pipeline.caption(batch.pixels, options.caption)) {
      out.push_back({out.size(), {{"caption", caption.text}, {"score", caption.score}}, caption.text});
    }
    return out;
  });
}

}  // namespace caption

void add_caption(CLI::App& app) {
  auto options = std::make_shared<caption::Options>();
  options->task.label = "captions";
  CLI::App* command = add_command(app, "caption", "Describe pictures in a sentence (OFA, BLIP, mPLUG, CoCa)", "vlm caption --model blip-image-captioning-base photo.jpg",
                                  [options] { caption::run(*options); });
  options->task.add_to(*command, "Pictures, folders, patterns, or @FILE with one picture a line");
  options->task.add_frames_to(*command);
  command->add_option("--prompt", options->caption.prompt, "What every caption begins with");
  command->add_option("--coca-beam", options->coca_beam, "legacy: CoCa's own search of open_clip 3.x")->capture_default_str()->check(CLI::IsMember({"default", "legacy"}));
  options->generate.add_to(*command, {3, 30}, {5, 16});
}

}  // namespace vlm::apps
