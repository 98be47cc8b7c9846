#include <cstdio>

#include "answer_flags.h"
#include "eval_flags.h"
#include "vlm/core/error.h"
#include "vlm/eval/instruction_protocols.h"

namespace vlm::apps {

namespace eval_instructions {

struct Options {
  EvalFlags eval;
  AnswerFlags answers;
  EntailmentEvaluation entailment;
  GroundingEvaluation grounding;
  ZeroShotOptions classes;
  std::string classnames;
  bool only_bins = false;
};

long count(int64_t n) { return static_cast<long>(n); }

/// Has every sample's result written to --out, where that is given.
template <class Settings>
void write_each(const EvalFlags& eval, JsonLines& results, Settings& settings) {
  if (!eval.out.empty()) settings.each = [&results](const auto& result) { results.write(result); };
}

/// Statements about one picture, or two.
void statements(Options options, EntailmentReport (*evaluate)(const TextPipeline&, const Source&, const EntailmentEvaluation&), const char* title, bool instructed) {
  const auto source = options.eval.open();
  const TextPipeline pipeline = options.eval.model.load_text();
  JsonLines results(options.eval.out);
  EntailmentEvaluation settings = options.entailment;
  if (instructed) settings.prompt = ofa_instruction::prompt_named(options.answers.prompt_type);
  settings.strict = options.eval.strict;
  write_each(options.eval, results, settings);
  const EntailmentReport report = with_context(options.eval.model.model, [&] { return evaluate(pipeline, *source, settings); });
  results.close();
  if (options.eval.model.json) {
    auto json = report.to_json();
    if (pipeline.takes_instructions()) {
      json["prompt_type"] = options.answers.prompt_type;
      json["with_premise"] = settings.with_premise;
    }
    return options.eval.print(json);
  }
  std::printf("%ld statements, %ld without a label, %ld skipped\n", count(report.items), count(report.unlabelled), count(report.skipped));
  std::vector<std::vector<std::string>> table = {{title, "accuracy"}, {"all statements", percent(report.accuracy)}};
  for (const auto& [label, value] : report.per_label) table.push_back({"  " + label, percent(value)});
  table.push_back({"always the commonest label", percent(report.majority)});
  print_table(table);
}

void ground(Options options) {
  const auto source = options.eval.open();
  const TextPipeline pipeline = options.eval.model.load_text();
  JsonLines results(options.eval.out);
  GroundingEvaluation settings = options.grounding;
  settings.ground.only_bins = options.only_bins;
  settings.strict = options.eval.strict;
  write_each(options.eval, results, settings);
  const GroundingReport report = with_context(options.eval.model.model, [&] { return evaluate_grounding(pipeline, *source, settings); });
  results.close();
  if (options.eval.model.json) {
    auto json = report.to_json();
    json["threshold"] = settings.threshold;
    return options.eval.print(json);
  }
  std::printf("%ld texts, %ld skipped\n", count(report.items), count(report.skipped));
  char threshold[32];
  std::snprintf(threshold, sizeof threshold, "Acc@%g", settings.threshold);
  std::vector<std::vector<std::string>> table = {{"boxes", threshold}, {"all texts", percent(report.accuracy)}};
  for (const auto& [split, value] : report.per_split) table.push_back({"  " + split, percent(value)});
  table.push_back({"mean overlap", percent(report.mean_iou)});
  print_table(table);
}

}  // namespace eval_instructions

void add_instruction_protocols(CLI::App& eval) {
  {
    auto options = std::make_shared<eval_instructions::Options>();
    CLI::App* entail = add_command(eval, "entail", "Whether statements follow from pictures: accuracy (OFA, ALBEF, mPLUG; SNLI-VE)",
                                   "vlm eval entail --model ofa-snli-ve snli_ve_dev.tsv data.type=ofa_tsv data.tsv_task=snli_ve --with-premise",
                                   [options] { eval_instructions::statements(*options, evaluate_entailment, "entailment", true); });
    options->eval.add_to(*entail, 8);
    entail->add_flag("--with-premise", options->entailment.with_premise, "OFA: the picture's caption is part of the instruction, as in published models");
    options->answers.add_prompt_to(*entail, "prev_output");
  }
  {
    auto options = std::make_shared<eval_instructions::Options>();
    CLI::App* nlvr2 = add_command(eval, "nlvr2", "Whether statements about two pictures are true: accuracy (ALBEF, mPLUG; NLVR2)",
                                  "vlm eval nlvr2 --model albef-nlvr2 nlvr_test.json data.image_root=nlvr2",
                                  [options] { eval_instructions::statements(*options, evaluate_nlvr2, "two pictures", false); });
    options->eval.add_to(*nlvr2, 16);
  }
  {
    auto options = std::make_shared<eval_instructions::Options>();
    options->eval.model.usual_size = 512;
    CLI::App* ground = add_command(eval, "ground", "Boxes of what texts speak of: share that overlaps the right one (OFA, mPLUG, ALBEF; RefCOCO, RefCOCO+, RefCOCOg)",
                                   "vlm eval ground --model ofa-refcoco refcoco_val.tsv data.type=ofa_tsv data.tsv_task=refcoco",
                                   [options] { eval_instructions::ground(*options); });
    options->eval.add_to(*ground, 8);
    ground->add_option("--threshold", options->grounding.threshold, "Overlap (intersection over union) from which on a box is right")->capture_default_str()->check(CLI::Range(0.0, 1.0));
    ground->add_option("--beam", options->grounding.ground.beams, "Beams; 1: greedy")->capture_default_str()->check(at_least_one);
    ground->add_option("--max-image-size", options->grounding.ground.max_image_size, "Pixel that the model's last coordinate stands for")->capture_default_str()->check(at_least_one);
    ground->add_option("--detections", options->grounding.detections,
                       "ALBEF, TCL: JSON file {picture: [[x, y, w, h], …]} of boxes that the model chooses from by heat; pictures by name or image_id")
        ->check(CLI::ExistingFile);
    ground->add_option("--layer", options->grounding.layer, "With --detections: layer of the text encoder whose look at the picture is taken (default: a third of the way through those that look)");
    ground->add_flag("--only-bins", options->only_bins, "Let nothing but coordinates come out (published evaluation leaves that to the model)");
  }
}

}  // namespace vlm::apps
