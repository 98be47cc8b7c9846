#include <algorithm>
#include <cstdio>
#include <optional>

#include "command.h"
#include "answer_flags.h"
#include "eval_flags.h"
#include "generate_flags.h"
#include "vlm/core/error.h"
#include "vlm/eval/generation_protocols.h"
#include "vlm/eval/instruction_protocols.h"
#include "vlm/eval/probe_protocol.h"
#include "vlm/eval/protocols.h"
#include "vlm/eval/two_stage.h"
#include "vlm/eval/vqa_wordings.h"

namespace vlm::apps {

namespace evaluate {

struct Options : EvalFlags {
  RetrievalOptions retrieval;
  int64_t rerank = 0;
  std::string classnames, templates;
  std::vector<std::string> prompts;
  std::string variant = "official";
  CaptionEvaluation caption;
  VqaEvaluation vqa;
  AnswerFlags answers;
  GenerateFlags generate;
  std::string train_data, val_data, floor_data;
  ProbeOptions probe;
};

void retrieval(const Options& options) {
  const auto source = options.open();
  const DualEncoderPipeline pipeline = options.model.load();
  JsonLines results(options.out);
  RetrievalOptions settings = options.retrieval;
  if (!options.out.empty()) settings.each = [&](const auto& result) { results.write(result); };
  const RetrievalReport report = options.rerank > 0 ? evaluate_two_stage(pipeline, *source, settings, options.rerank, options.strict).again
                                                    : evaluate_retrieval(pipeline, *source, settings, options.strict);
  results.close();
  if (options.model.json) {
    auto json = report.to_json();
    json["merge_equal_texts"] = options.retrieval.merge_equal_texts;
    json["all_captions"] = options.retrieval.all_captions;
    if (options.rerank > 0) json["rerank"] = options.rerank;
    return options.print(json);
  }
  std::printf("%ld pictures, %ld texts%s, %ld skipped\n", static_cast<long>(report.images), static_cast<long>(report.texts),
              options.retrieval.merge_equal_texts ? " (equal ones merged)" : "", static_cast<long>(report.skipped));
  std::vector<std::vector<std::string>> table(5);
  table[0] = {"retrieval"}, table[1] = {"image to text"}, table[2] = {"  by chance"}, table[3] = {"text to image"}, table[4] = {"  by chance"};
  for (const int64_t k : options.retrieval.ks) {
    table[0].push_back("R@" + std::to_string(k));
    table[1].push_back(percent(report.recall.image_to_text.at(k)));
    table[2].push_back(percent(report.chance.image_to_text.at(k)));
    table[3].push_back(percent(report.recall.text_to_image.at(k)));
    table[4].push_back(percent(report.chance.text_to_image.at(k)));
  }
  print_table(table);
}

void zero_shot(const Options& options) {
  const auto source = options.open();
  set_threads(options.model.threads);
  const PipelineOptions loading = options.model.pipeline_options();
  ModelParts parts = load_parts(options.model.model, loading);
  const bool instructed = dynamic_cast<Instructed*>(parts.model.get()) != nullptr;
  ZeroShotOptions zero_shot;
  if (!options.classnames.empty()) zero_shot.classes = read_lines(options.classnames);
  const auto templates = options.templates.empty() ? options.prompts : read_lines(options.templates);
  if (instructed && !templates.empty()) fail_usage("templates are for models with two towers; this ", parts.model->family(), " model is asked and answers with a class");
  if (!templates.empty()) zero_shot.templates = templates;
  JsonLines results(options.out);
  if (!options.out.empty()) zero_shot.each = [&](const auto& result) { results.write(result); };
  const ZeroShotReport report = instructed ? evaluate_zero_shot(TextPipeline::of(std::move(parts), loading), *source, zero_shot, options.strict)
                                           : evaluate_zero_shot(DualEncoderPipeline::of(std::move(parts), loading), *source, zero_shot, options.strict);
  results.close();
  if (options.model.json) return options.print(report.to_json());
  std::printf("%ld pictures of %zu classes; %ld without a class, %ld skipped\n", static_cast<long>(report.items), report.classes.size(),
              static_cast<long>(report.unlabelled), static_cast<long>(report.skipped));
  std::vector<std::vector<std::string>> table = {{"zero-shot", "share", "by chance"}};
  for (const auto& [k, share] : report.accuracy.top) {
    table.push_back({"top-" + std::to_string(k), percent(share), percent(static_cast<double>(k) / static_cast<double>(report.classes.size()))});
  }
  table.push_back({"mean per class", percent(report.accuracy.mean_per_class), percent(1.0 / static_cast<double>(report.classes.size()))});
  table.push_back({"always the commonest class", percent(report.majority), ""});
  print_table(table);
}

void probe(const Options& options) {
  const auto train = options.open(options.train_data), test = options.open();
  const auto held_out = options.val_data.empty() ? nullptr : options.open(options.val_data);
  const DualEncoderPipeline pipeline = options.model.load();
  JsonLines results(options.out);
  ProbeOptions settings = options.probe;
  settings.strict = options.strict;
  if (!options.out.empty()) settings.each = [&](const auto& result) { results.write(result); };
  const ProbeReport report = evaluate_probe(pipeline, *train, held_out.get(), *test, settings);
  results.close();
  if (options.model.json) {
    auto json = report.to_json();
    json["train_data"] = options.train_data;
    return options.print(json);
  }
  std::printf("fitted to %ld pictures of %zu classes (l2 %g, chosen on %s); counted on %ld, %ld without a class, %ld skipped\n",
              static_cast<long>(report.train_items), report.classes.size(), report.l2, held_out ? "--val-data" : "a fifth of them",
              static_cast<long>(report.items), static_cast<long>(report.unlabelled), static_cast<long>(report.skipped));
  std::vector<std::vector<std::string>> table = {{"linear probe", "share", "by chance"}};
  const auto classes = static_cast<double>(report.classes.size());
  for (const auto& [k, share] : report.accuracy.top) table.push_back({"top-" + std::to_string(k), percent(share), percent(static_cast<double>(k) / classes)});
  table.push_back({"mean per class", percent(report.accuracy.mean_per_class), percent(1 / classes)});
  table.push_back({"always the commonest class", percent(report.majority), ""});
  if (report.pixels) {
    table.push_back({"class of the nearest 16 x 16 pixels", percent(report.pixels->top.at(1)), ""});
    table.push_back({"  mean per class", percent(report.pixels->mean_per_class), ""});
  }
  print_table(table);
}

void captions(const Options& options) {
  const auto source = options.open();
  const TextPipeline pipeline = options.model.load_text();
  JsonLines results(options.out);
  CaptionEvaluation settings = options.caption;
  settings.caption.generate = options.generate.onto(pipeline.caption_search());
  settings.strict = options.strict;
  if (!options.out.empty()) settings.each = [&](const auto& result) { results.write(result); };
  const CaptionReport report = evaluate_captions(pipeline, *source, settings);
  results.close();
  std::optional<CaptionReport> floor;
  if (!options.floor_data.empty()) floor = nearest_picture_captions(*options.open(options.floor_data), *source, settings);
  if (options.model.json) {
    auto json = report.to_json();
    if (floor) json["nearest_picture"] = floor->to_json();
    return options.print(json);
  }
  std::printf("%ld pictures, %ld references, %ld skipped\n", static_cast<long>(report.pictures), static_cast<long>(report.references), static_cast<long>(report.skipped));
  const auto hundredfold = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value * 100.0);
    return std::string(text);
  };
  std::vector<std::vector<std::string>> table = {{"captions", "score x 100"}};
  if (floor) table[0].push_back("caption of the nearest training picture");
  for (const auto& [name, value] : report.scores) {
    table.push_back({name, hundredfold(value)});
    if (floor) table.back().push_back(hundredfold(floor->scores.at(name)));
  }
  print_table(table);
}

void answers(const Options& options) {
  const auto source = options.open();
  const TextPipeline pipeline = options.model.load_text();
  JsonLines results(options.out);
  VqaEvaluation settings = options.vqa;
  settings.answer.generate = options.generate.onto(pipeline.answer_search());
  settings.variant = vqa_variant_named(options.variant);
  settings.strict = options.strict;
  options.answers.apply(settings.answer.answers, settings.answer.score_all, settings.answer.prompt);
  settings.answer.rank = options.answers.ranked();
  std::vector<AnsweredQuestion> answered;
  settings.each = [&](const auto& result) {
    if (!options.out.empty()) results.write(result);
    if (result.contains("answers")) answered.push_back({result["question"], result["answer"], result["answers"]});
  };
  const VqaReport report = evaluate_vqa(pipeline, *source, settings);
  results.close();
  // Data sets that ask a few things of every picture; where questions are all different there is nothing to show.
  const auto least = std::max<int64_t>(10, report.questions / 100);
  if (options.model.json) {
    auto json = report.to_json();
    json["variant"] = options.variant;
    if (settings.answer.rank > 0) json["k_test"] = settings.answer.rank;
    for (const auto& group : accuracy_by_wording(answered, least)) {
      json["per_wording"].push_back({{"wording", group.wording}, {"questions", group.questions}, {"accuracy", group.accuracy},
                                     {"commonest", group.commonest}, {"commonest_share", group.commonest_share}});
    }
    return options.print(json);
  }
  std::printf("%ld questions, %ld without known answers, %ld skipped\n", static_cast<long>(report.questions), static_cast<long>(report.unanswered), static_cast<long>(report.skipped));
  if (report.questions == report.unanswered) return;
  std::vector<std::vector<std::string>> table = {{"answers (" + options.variant + ")", "accuracy"}, {"all questions", percent(report.accuracy.overall / 100.0)}};
  // Where nobody counted who gave which answer, the official accuracy says nothing.
  if (report.soft_accuracy) table = {{"answers", "accuracy"}, {"all questions, by the answers' weights", percent(*report.soft_accuracy)}};
  for (const auto& [type, value] : report.accuracy.per_answer_type) {
    if (!report.soft_accuracy && !type.empty()) table.push_back({"answer type " + type, percent(value / 100.0)});
  }
  table.push_back({"exact match", percent(report.exact_match)});
  print_table(table);
  std::vector<std::vector<std::string>> wordings = {{"worded alike", "questions", "right", "always the commonest answer"}};
  for (const auto& group : accuracy_by_wording(answered, least)) {
    wordings.push_back({group.wording, std::to_string(group.questions), percent(group.accuracy), percent(group.commonest_share) + " " + group.commonest});
  }
  if (wordings.size() > 1) print_table(wordings);
}

}  // namespace evaluate

void add_eval(CLI::App& app) {
  CLI::App* command = add_command(app, "eval", "Measure a model on a data set", "vlm eval retrieval --model runs/clip/model data/test-*.tar --merge-equal-texts", nullptr);
  command->require_subcommand(1);
  {
    auto options = std::make_shared<evaluate::Options>();
    CLI::App* retrieval = add_command(*command, "retrieval", "Recall of texts for pictures and pictures for texts, beside chance",
                                      "vlm eval retrieval --model runs/clip/model 'data/test-{000000..000001}.tar' --merge-equal-texts",
                                      [options] { evaluate::retrieval(*options); });
    options->add_to(*retrieval);
    retrieval->add_flag("--merge-equal-texts", options->retrieval.merge_equal_texts, "Equal texts (ignoring case and punctuation) are one text");
    retrieval->add_option("--rerank", options->rerank, "Let the matching head look again at so many of each picture's texts and each text's pictures (ALBEF, mPLUG, BLIP)")
        ->check(at_least_one);
    retrieval->add_flag("--all-captions", options->retrieval.all_captions, "Every caption of a picture is a text, not only the first");
  }
  const auto classes = [&](const char* name, const char* description, const char* example) {
    auto options = std::make_shared<evaluate::Options>();
    CLI::App* zero_shot = add_command(*command, name, description, example, [options] { evaluate::zero_shot(*options); });
    options->add_to(*zero_shot);
    options->model.add_imagenet_mean_to(*zero_shot);
    zero_shot->add_option("--classnames", options->classnames, "File with one class name a line, in the order of the class numbers");
    zero_shot->add_option("--template", options->prompts, "Text around a class name, which goes in place of {} (may be given several times; default: {})")->allow_extra_args(false);
    zero_shot->add_option("--templates", options->templates, "File with one such text a line");
  };
  classes("zeroshot", "Classes by name: top-1, top-5 and the mean over classes", "vlm eval zeroshot --model runs/clip/model data/test.tar --classnames data/classes.txt");
  classes("classify", "The same for models that answer with a class: its name among all names (OFA)",
          "vlm eval classify --model ofa-imagenet imagenet_val.tsv data.type=ofa_tsv data.tsv_task=image_classify --classnames classes.txt --imagenet-mean");
  {
    auto options = std::make_shared<evaluate::Options>();
    CLI::App* probe = add_command(*command, "probe", "A linear classifier on a model's vectors, fitted to labelled pictures",
                                  "vlm eval probe --model runs/clip/model --train-data data/train.tar --val-data data/val.tar data/test.tar --pixels",
                                  [options] { evaluate::probe(*options); });
    options->add_to(*probe);
    probe->add_option("--train-data", options->train_data, "The labelled pictures that it is fitted to")->required();
    probe->add_option("--val-data", options->val_data, "Labelled pictures to choose the strength of l2 by (default: a fifth of the training pictures)");
    probe->add_option("--l2", options->probe.fit.l2, "Strengths of l2 to choose from: mean cross entropy + l2 / 2 |weights|^2")->check(CLI::PositiveNumber);
    probe->add_flag("--pixels", options->probe.pixels, "Beside it the class of the training picture whose 16 x 16 pixels are nearest");
  }
  {
    auto options = std::make_shared<evaluate::Options>();
    CLI::App* caption = add_command(*command, "caption", "Captions against references: BLEU, ROUGE-L, CIDEr-D (what papers call CIDEr), CIDEr",
                                    "vlm eval caption --model ofa-base captions_val2014.json data.image_root=val2014", [options] { evaluate::captions(*options); });
    options->add_to(*caption, 8);
    caption->add_option("--prompt", options->caption.caption.prompt, "What every caption begins with");
    caption->add_option("--document-frequency", options->caption.document_frequency, "File of n-gram frequencies for CIDEr, as vlm data ngrams makes it (default: those of the references)");
    caption->add_option("--floor", options->floor_data, "Training data: also score the captions of its pictures whose pixels are nearest");
    options->generate.add_to(*caption, {3, 30}, {5, 16});
  }
  {
    auto options = std::make_shared<evaluate::Options>();
    CLI::App* vqa = add_command(*command, "vqa", "Answers against those of people: VQA accuracy and exact match",
                                "vlm eval vqa --model blip-vqa-base questions.json data.annotations=annotations.json data.image_root=val2014",
                                [options] { evaluate::answers(*options); });
    options->add_to(*vqa, 8);
    vqa->add_option("--variant", options->variant, "official, or albef (as ALBEF, TCL and mPLUG count)")->capture_default_str()->check(CLI::IsMember({"official", "albef"}));
    options->answers.add_to(*vqa);
    options->answers.add_rank_to(*vqa);
    vqa->add_flag("--with-objects", options->vqa.with_objects, "OFA: the names of a picture's objects in the data set are part of the question, as in published models");
    vqa->add_flag("--blip-enc-token", options->vqa.answer.enc_token, "Open questions with [ENC] as in the original BLIP code");
    options->generate.add_to(*vqa, {3, 10}, {5, 30});
  }
  add_instruction_protocols(*command);
}

}  // namespace vlm::apps
