#include "answer_flags.h"
#include "command.h"
#include "generate_flags.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace vqa {

struct Options {
  PictureTask task;
  AnswerOptions answer;
  AnswerFlags answers;
  GenerateFlags generate;
};

void run(Options options) {
  options.task.take_text("name a picture and ask a question: vlm vqa --model DIR photo.jpg \"what is this?\"");
  options.answers.apply(options.answer.answers, options.answer.score_all, options.answer.prompt);
  const auto files = options.task.files();
  const TextPipeline pipeline = options.task.model.load_text();
  options.answer.rank = options.answers.ranked();
  with_context(options.task.model.model, [&] { options.answer.rank > 0 ? pipeline.must_rank() : pipeline.must_answer(); });
  options.answer.generate = options.generate.onto(pipeline.answer_search());
  options.task.run(pipeline, files, [&](const PictureBatch& batch) {
    return for_each_text(batch, options.task.texts, [&](const std::vector<std::string>& questions) {
      std::vector<TaskResult> out;
      for (const auto& answer : pipeline.answer(batch.pixels, questions, options.answer)) {
        out.push_back({out.size(), {{"question", questions.front()}, {"answer", answer.text}, {"score", answer.score}}, answer.text});
      }
      return out;
    });
  });
}

}  // namespace vqa

void add_vqa(CLI::App& app) {
  auto options = std::make_shared<vqa::Options>();
  options->task.label = "answers";
  CLI::App* command = add_command(app, "vqa", "Answer a question about pictures (OFA, BLIP, ALBEF, mPLUG)", "vlm vqa --model blip-vqa-base photo.jpg \"what colour is the car?\"",
                                  [options] { vqa::run(*options); });
  options->task.add_to(*command, "Pictures, folders or patterns; the last argument is the question");
  options->task.add_frames_to(*command);
  options->task.add_text_to(*command, "question", "The question");
  options->answers.add_to(*command);
  options->answers.add_rank_to(*command);
  command->add_flag("--blip-enc-token", options->answer.enc_token, "Open the question with [ENC] as in the original BLIP code");
  options->generate.add_to(*command, {3, 10}, {5, 30});
}

}  // namespace vlm::apps
