#include "command.h"
#include "generate_flags.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/infer/instruction_tasks.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace region {

struct Options {
  PictureTask task;
  GenerateFlags generate;
  int64_t max_image_size = 512;
};

void must_lie_inside(const Corners& box, const std::string& text, const std::string& name, const ImageSize& size) {
  if (box[0] >= 0 && box[1] >= 0 && box[2] <= static_cast<float>(size.width) && box[3] <= static_cast<float>(size.height)) return;
  fail_usage("the region ", text, " does not lie inside ", name, ", which is ", size.width, " pixels wide and ", size.height, " high");
}

void run(Options options) {
  PictureTask& task = options.task;
  task.take_text("name a picture and a region of it: vlm describe-region --model DIR photo.jpg 10,20,200,180");
  std::vector<Corners> regions;
  for (const auto& text : task.texts) regions.push_back(parse_region(text));
  const auto files = task.files();
  const TextPipeline pipeline = task.model.load_text();
  const InstructionPipeline& model = with_context(task.model.model, [&]() -> const InstructionPipeline& { return pipeline.instructions("describe regions"); });
  const GenerateOptions search = options.generate.onto(instruct::caption_search());
  task.run(pipeline, files, [&](const PictureBatch& batch) {
    size_t region = 0;
    return for_each_text(batch, task.texts, [&](const std::vector<std::string>& texts) {
      const Corners& box = regions[region++];
      for (size_t i = 0; i < batch.names.size(); ++i) must_lie_inside(box, texts.front(), batch.names[i], batch.placements[i].picture);
      std::vector<TaskResult> out;
      for (const auto& found : instruct::describe_region(model, batch.pixels, batch.placements, std::vector<Corners>(texts.size(), box), search, options.max_image_size)) {
        out.push_back({out.size(), {{"region", box_json(box)}, {"description", found.text}, {"score", found.score}}, found.text});
      }
      return out;
    });
  });
}

}  // namespace region

void add_describe_region(CLI::App& app) {
  auto options = std::make_shared<region::Options>();
  options->task.label = "regions";
  options->task.model.usual_size = 512;
  CLI::App* command = add_command(app, "describe-region", "Say what a region of a picture shows (OFA)", "vlm describe-region --model ofa-base photo.jpg 10,20,200,180",
                                  [options] { region::run(*options); });
  options->task.add_to(*command, "Pictures, folders or patterns; the last argument is the region in pixels: left,top,right,bottom");
  options->task.add_text_to(*command, "region", "A region");
  command->add_option("--max-image-size", options->max_image_size, "Pixel that the model's last coordinate stands for")->capture_default_str()->check(at_least_one);
  options->generate.add_to(*command, {5, 16});
}

}  // namespace vlm::apps
