#include <cmath>

#include "answer_flags.h"
#include "command.h"
#include "picture_task.h"
#include "vlm/core/error.h"
#include "vlm/infer/judge_statements.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

namespace entailment {

struct Options {
  PictureTask task;
  AnswerFlags answers;
  std::string premise;
};

void run(Options options) {
  PictureTask& task = options.task;
  task.take_text("name a picture and a statement: vlm entail --model DIR photo.jpg \"two dogs are running\"");
  const auto files = task.files();
  const TextPipeline pipeline = task.model.load_text();
  with_context(task.model.model, [&] { must_judge(pipeline); });
  const auto prompt = ofa_instruction::prompt_named(options.answers.prompt_type);
  static constexpr const char* labels[] = {"contradiction", "neutral", "entailment"};
  static constexpr const char* words[] = {"no", "maybe", "yes"};
  task.run(pipeline, files, [&](const PictureBatch& batch) {
    return for_each_text(batch, task.texts, [&](const std::vector<std::string>& hypotheses) {
      const std::vector<std::string> premises(options.premise.empty() ? 0 : hypotheses.size(), options.premise);
      const Tensor scores = judge_statements(pipeline, batch.pixels, hypotheses, premises, prompt);   // [B, 3]
      std::vector<TaskResult> out;
      for (size_t i = 0; i < hypotheses.size(); ++i) {
        const float* row = scores.const_data_ptr<float>() + 3 * i;
        size_t best = 0;
        nlohmann::ordered_json probabilities;
        for (size_t k = 0; k < 3; ++k) {
          if (row[k] > row[best]) best = k;
          probabilities[labels[k]] = std::exp(static_cast<double>(row[k]));
        }
        const double share = std::exp(static_cast<double>(row[best]));
        out.push_back({i, {{"hypothesis", hypotheses[i]}, {"label", labels[best]}, {"answer", words[best]}, {"score", share}, {"probabilities", probabilities}},
                       concat(words[best], "\t", labels[best], "\t", percent(share))});
      }
      return out;
    });
  });
}

}  // namespace entailment

void add_entail(CLI::App& app) {
  auto options = std::make_shared<entailment::Options>();
  options->task.label = "statements";
  CLI::App* command = add_command(app, "entail", "Whether a statement follows from a picture: yes, maybe or no (OFA, ALBEF, mPLUG; SNLI-VE)",
                                  "vlm entail --model ofa-snli-ve photo.jpg \"two dogs are running\"", [options] { entailment::run(*options); });
  options->task.add_to(*command, "Pictures, folders or patterns; the last argument is the statement");
  options->task.add_text_to(*command, "hypothesis", "A statement");
  command->add_option("--premise,--caption", options->premise, "OFA: what else is known of the picture: models fine-tuned as published expect a caption of it");
  options->answers.add_prompt_to(*command, "prev_output");
}

}  // namespace vlm::apps
