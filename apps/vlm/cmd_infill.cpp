#include "command.h"
#include "generate_flags.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/infer/instruction_tasks.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace infill {

struct Options {
  PictureTask task;  ///< its arguments are texts
  GenerateFlags generate;
  std::string file;
};

void run(Options options) {
  PictureTask& task = options.task;
  task.texts = options.file.empty() ? task.arguments : read_lines(options.file);
  if (!options.file.empty() && !task.arguments.empty()) fail_usage("name texts, or a file of texts with --file, but not both");
  if (task.texts.empty()) fail_usage("write a text with <mask> where words are missing: vlm infill --model DIR \"a dog <mask> on the beach\"");
  for (const auto& text : task.texts) {
    if (text.find("<mask>") == std::string::npos) fail_usage("'", text, "' has no <mask>, the place where words are missing");
  }
  const TextPipeline pipeline = task.model.load_text();
  const InstructionPipeline& model = with_context(task.model.model, [&]() -> const InstructionPipeline& { return pipeline.instructions("infill texts"); });
  const GenerateOptions search = options.generate.onto(instruct::reply_search());
  std::vector<TaskResult> results;
  const auto step = static_cast<size_t>(task.model.batch_size);
  for (size_t at = 0; at < task.texts.size(); at += step) {
    const auto end = std::min(task.texts.size(), at + step);
    const std::vector<std::string> part(task.texts.begin() + static_cast<std::ptrdiff_t>(at), task.texts.begin() + static_cast<std::ptrdiff_t>(end));
    const auto found = instruct::infill(model, part, search);
    for (size_t i = 0; i < found.size(); ++i) results.push_back({0, {{"text", part[i]}, {"filled", found[i].text}, {"score", found[i].score}}, found[i].text});
  }
  task.print(results);
}

}  // namespace infill

void add_infill(CLI::App& app) {
  auto options = std::make_shared<infill::Options>();
  CLI::App* command = add_command(app, "infill", "Complete texts in which words are missing (OFA)", "vlm infill --model ofa-base \"a dog <mask> on the beach\"",
                                  [options] { infill::run(*options); });
  options->task.model.add_to(*command, 8);
  command->add_option("texts", options->task.arguments, "Texts; <mask> stands for any number of words that are missing");
  command->add_option("--file", options->file, "File with one such text a line");
  command->add_option("--out", options->task.out, "Also write one JSON line a text to this file");
  options->generate.add_to(*command, {5, 200});
}

}  // namespace vlm::apps
