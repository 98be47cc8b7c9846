#include <cstdio>

#include "command.h"
#include "generate_flags.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace vqa {

struct Options {
  ModelFlags model;
  std::vector<std::string> arguments;
  std::string question, answers, out;
  AnswerOptions answer;
};

void run(Options options) {
  std::vector<std::string> pictures = options.arguments;
  std::vector<std::string> questions;
  if (!options.question.empty()) {
    questions = {options.question};
  } else {
    if (pictures.size() < 2) fail_usage("name a picture and ask a question: vlm vqa --model DIR photo.jpg \"what is this?\"");
    questions = {pictures.back()};
    pictures.pop_back();
  }
  if (!options.answers.empty()) options.answer.answers = read_lines(options.answers);
  const auto files = expand_pictures(pictures);
  const TextPipeline pipeline = options.model.load_text();
  with_context(options.model.model, [&] {
    require<Answerer>(pipeline.model(), "answer questions", "it has no decoder that reads a question; BLIP's models for VQA have one");
  });
  JsonLines results(options.out);
  auto json = nlohmann::ordered_json::array();
  size_t failed = 0;
  const PictureFailed skip = [&](const std::string& name, const std::string& reason) {
    ++failed;
    log_warning(name, ": ", reason);
  };
  PictureStream stream = pipeline.stream(read_files(files, skip), skip);
  PictureBatch batch;
  while (stream.next(batch)) {
    const auto answers = pipeline.answer(batch.pixels, std::vector<std::string>(batch.names.size(), questions.front()), options.answer);
    for (size_t i = 0; i < answers.size(); ++i) {
      const nlohmann::ordered_json entry = {{"picture", batch.names[i]}, {"question", questions.front()}, {"answer", answers[i].text}, {"score", answers[i].score}};
      results.write(entry);
      if (options.model.json) {
        json.push_back(entry);
      } else if (files.size() == 1) {
        std::printf("%s\n", answers[i].text.c_str());
      } else {
        std::printf("%s\t%s\n", batch.names[i].c_str(), answers[i].text.c_str());
      }
    }
    std::fflush(stdout);
  }
  results.close();
  if (options.model.json) print_json(json);
  if (failed > 0) throw Exit{1};
}

}  // namespace vqa

void add_vqa(CLI::App& app) {
  auto options = std::make_shared<vqa::Options>();
  CLI::App* command = add_command(app, "vqa", "Answer a question about pictures (BLIP)", "vlm vqa --model blip-vqa-base photo.jpg \"what colour is the car?\"",
                                  [options] { vqa::run(*options); });
  options->model.add_to(*command, 8);
  command->add_option("pictures", options->arguments, "Pictures, folders or patterns; the last argument is the question")->required();
  command->add_option("--question", options->question, "The question (all arguments are pictures then)");
  command->add_option("--answers", options->answers, "File with one answer a line: only these may come out");
  command->add_flag("--blip-enc-token", options->answer.enc_token, "Open the question with [ENC] as in the original BLIP code");
  command->add_option("--out", options->out, "Also write one JSON line a picture to this file");
  add_generate_flags(*command, options->answer.generate);
}

}  // namespace vlm::apps
