#include <cstdio>
#include <filesystem>

#include "answer_flags.h"
#include "command.h"
#include "generate_flags.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/infer/instruction_tasks.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace ask {

struct Options {
  PictureTask task;
  AnswerFlags answers;
  GenerateFlags generate;
};

void run(Options options) {
  PictureTask& task = options.task;
  const char* const usage = "say what to do, about pictures or without any: vlm ask --model DIR photo.jpg \"what are the objects in the image?\"";
  if (task.texts.empty() && task.arguments.size() == 1) {
    if (std::filesystem::exists(task.arguments.front())) fail_usage(task.arguments.front(), " is a file, and there is no instruction; ", usage);
    task.texts = {task.arguments.front()};
    task.arguments.clear();
  } else if (!task.arguments.empty() || task.texts.empty()) {
    task.take_text(usage);
  }
  ReplyOptions reply;
  options.answers.apply(reply.answers, reply.score_all, reply.prompt);
  const auto files = task.files();
  const TextPipeline pipeline = task.model.load_text();
  const InstructionPipeline& model = with_context(task.model.model, [&]() -> const InstructionPipeline& { return pipeline.instructions("be asked anything"); });
  reply.search = instruct::search_of(options.generate.onto(instruct::reply_search()));
  const auto encoded = [&](const std::string& text) { return model.encode(ofa_instruction::answer(text)); };
  const auto result = [](size_t row, const std::string& text, const GeneratedText& found) {
    return TaskResult{row, {{"instruction", text}, {"reply", found.text}, {"score", found.score}}, found.text};
  };
  if (files.empty()) {
    std::vector<InstructionPipeline::Ids> sources;
    for (const auto& text : task.texts) sources.push_back(encoded(text));
    std::vector<TaskResult> results;
    for (const auto& found : model.reply({}, sources, reply)) results.push_back(result(0, task.texts[results.size()], found));
    return task.print(results);
  }
  task.run(pipeline, files, [&](const PictureBatch& batch) {
    return for_each_text(batch, task.texts, [&](const std::vector<std::string>& texts) {
      const std::vector<InstructionPipeline::Ids> sources(texts.size(), encoded(texts.front()));
      std::vector<TaskResult> out;
      for (const auto& found : model.reply(batch.pixels, sources, reply)) out.push_back(result(out.size(), texts.front(), found));
      return out;
    });
  });
}

}  // namespace ask

void add_ask(CLI::App& app) {
  auto options = std::make_shared<ask::Options>();
  options->task.label = "replies";
  CLI::App* command = add_command(app, "ask", "Give a model any instruction, about pictures or texts alone (OFA)",
                                  "vlm ask --model ofa-base photo.jpg \"what are the objects in the image?\"", [options] { ask::run(*options); });
  options->task.add_to(*command, "Pictures, folders or patterns, or none; the last argument is the instruction", 8, false);
  options->task.add_text_to(*command, "instruction", "An instruction");
  options->answers.add_to(*command);
  options->generate.add_to(*command, {5, 200});
}

}  // namespace vlm::apps
