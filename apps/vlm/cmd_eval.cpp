#include <cstdio>
#include <optional>

#include "command.h"
#include "generate_flags.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/eval/generation_protocols.h"
#include "vlm/eval/probe_protocol.h"
#include "vlm/eval/protocols.h"

namespace vlm::apps {

namespace evaluate {

struct Options {
  ModelFlags model;
  std::string data;
  std::vector<std::string> overrides;
  RetrievalOptions retrieval;
  std::string classnames, templates;
  std::vector<std::string> prompts = {"{}"};
  bool strict = false;
  std::string out, variant = "official";
  CaptionEvaluation caption;
  VqaEvaluation vqa;
  std::string answers;
  std::string train_data, val_data, floor_data;
  ProbeOptions probe;

  std::unique_ptr<Source> open() const { return open(data); }
  std::unique_ptr<Source> open(const std::string& path) const {
    Config config = Config::parse("{}", "command line");
    config.override_with(overrides);
    struct Data {
      SourceOptions data;
      void fields(Fields& f) { f.field("data", data, "the data set"); }
    } parsed;
    config.read(parsed);
    parsed.data.path = path;
    return open_source(parsed.data);
  }
};

void add_common(CLI::App& command, Options& options, int64_t batch = 32) {
  options.model.add_to(command, batch);
  command.add_option("data", options.data, "A data set: shards, table, list or folder (see vlm data check --help)")->required();
  command.add_option("overrides", options.overrides, "How to read them, as data.caption_key=json.title");
  command.add_option("--out", options.out, "Also write the result of every sample to this file, one JSON line each");
  command.add_flag("--strict", options.strict, "End at the first sample that cannot be used");
}

void retrieval(const Options& options) {
  const auto source = options.open();
  const DualEncoderPipeline pipeline = options.model.load();
  JsonLines results(options.out);
  RetrievalOptions settings = options.retrieval;
  if (!options.out.empty()) settings.each = [&](const auto& result) { results.write(result); };
  const RetrievalReport report = evaluate_retrieval(pipeline, *source, settings, options.strict);
  results.close();
  if (options.model.json) {
    auto json = report.to_json();
    json["data"] = options.data;
    json["model"] = options.model.model;
    json["merge_equal_texts"] = options.retrieval.merge_equal_texts;
    json["all_captions"] = options.retrieval.all_captions;
    return print_json(json);
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
  const DualEncoderPipeline pipeline = options.model.load();
  ZeroShotOptions zero_shot;
  if (!options.classnames.empty()) zero_shot.classes = read_lines(options.classnames);
  zero_shot.templates = options.templates.empty() ? options.prompts : read_lines(options.templates);
  JsonLines results(options.out);
  if (!options.out.empty()) zero_shot.each = [&](const auto& result) { results.write(result); };
  const ZeroShotReport report = evaluate_zero_shot(pipeline, *source, zero_shot, options.strict);
  results.close();
  if (options.model.json) {
    auto json = report.to_json();
    json["data"] = options.data;
    json["model"] = options.model.model;
    return print_json(json);
  }
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
    json["data"] = options.data;
    json["train_data"] = options.train_data;
    json["model"] = options.model.model;
    return print_json(json);
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
  settings.strict = options.strict;
  if (!options.out.empty()) settings.each = [&](const auto& result) { results.write(result); };
  const CaptionReport report = evaluate_captions(pipeline, *source, settings);
  results.close();
  std::optional<CaptionReport> floor;
  if (!options.floor_data.empty()) floor = nearest_picture_captions(*options.open(options.floor_data), *source, settings);
  if (options.model.json) {
    auto json = report.to_json();
    if (floor) json["nearest_picture"] = floor->to_json();
    json["data"] = options.data;
    json["model"] = options.model.model;
    return print_json(json);
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
  settings.variant = vqa_variant_named(options.variant);
  settings.strict = options.strict;
  if (!options.answers.empty()) settings.answer.answers = read_lines(options.answers);
  if (!options.out.empty()) settings.each = [&](const auto& result) { results.write(result); };
  const VqaReport report = evaluate_vqa(pipeline, *source, settings);
  results.close();
  if (options.model.json) {
    auto json = report.to_json();
    json["data"] = options.data;
    json["model"] = options.model.model;
    json["variant"] = options.variant;
    return print_json(json);
  }
  std::printf("%ld questions, %ld without known answers, %ld skipped\n", static_cast<long>(report.questions), static_cast<long>(report.unanswered), static_cast<long>(report.skipped));
  if (report.questions == report.unanswered) return;
  std::vector<std::vector<std::string>> table = {{"answers (" + options.variant + ")", "accuracy"}, {"all questions", percent(report.accuracy.overall / 100.0)}};
  for (const auto& [type, value] : report.accuracy.per_answer_type) {
    if (!type.empty()) table.push_back({"answer type " + type, percent(value / 100.0)});
  }
  table.push_back({"exact match", percent(report.exact_match)});
  print_table(table);
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
    evaluate::add_common(*retrieval, *options);
    retrieval->add_flag("--merge-equal-texts", options->retrieval.merge_equal_texts, "Equal texts (ignoring case and punctuation) are one text");
    retrieval->add_flag("--all-captions", options->retrieval.all_captions, "Every caption of a picture is a text, not only the first");
  }
  {
    auto options = std::make_shared<evaluate::Options>();
    CLI::App* zero_shot = add_command(*command, "zeroshot", "Classes by name: top-1, top-5 and the mean over classes",
                                      "vlm eval zeroshot --model runs/clip/model data/test.tar --classnames data/classes.txt",
                                      [options] { evaluate::zero_shot(*options); });
    evaluate::add_common(*zero_shot, *options);
    zero_shot->add_option("--classnames", options->classnames, "File with one class name a line, in the order of the class numbers");
    zero_shot->add_option("--template", options->prompts, "Text around a class name, which goes in place of {} (may be given several times)")->allow_extra_args(false)->capture_default_str();
    zero_shot->add_option("--templates", options->templates, "File with one such text a line");
  }
  {
    auto options = std::make_shared<evaluate::Options>();
    CLI::App* probe = add_command(*command, "probe", "A linear classifier on a model's vectors, fitted to labelled pictures",
                                  "vlm eval probe --model runs/clip/model --train-data data/train.tar --val-data data/val.tar data/test.tar --pixels",
                                  [options] { evaluate::probe(*options); });
    evaluate::add_common(*probe, *options);
    probe->add_option("--train-data", options->train_data, "The labelled pictures that it is fitted to")->required();
    probe->add_option("--val-data", options->val_data, "Labelled pictures to choose the strength of l2 by (default: a fifth of the training pictures)");
    probe->add_option("--l2", options->probe.fit.l2, "Strengths of l2 to choose from: mean cross entropy + l2 / 2 |weights|^2")->check(CLI::PositiveNumber);
    probe->add_flag("--pixels", options->probe.pixels, "Beside it the class of the training picture whose 16 x 16 pixels are nearest");
  }
  {
    auto options = std::make_shared<evaluate::Options>();
    options->caption.caption.generate = GenerateOptions::beam(3, 30);
    CLI::App* caption = add_command(*command, "caption", "Captions against references: BLEU, ROUGE-L, CIDEr-D (what papers call CIDEr), CIDEr",
                                    "vlm eval caption --model blip-base captions_val2014.json data.image_root=val2014", [options] { evaluate::captions(*options); });
    evaluate::add_common(*caption, *options, 8);
    caption->add_option("--prompt", options->caption.caption.prompt, "What every caption begins with");
    caption->add_option("--document-frequency", options->caption.document_frequency, "File of n-gram frequencies for CIDEr (default: those of the references)");
    caption->add_option("--floor", options->floor_data, "Training data: also score the captions of its pictures whose pixels are nearest");
    add_generate_flags(*caption, options->caption.caption.generate);
  }
  {
    auto options = std::make_shared<evaluate::Options>();
    CLI::App* vqa = add_command(*command, "vqa", "Answers against those of people: VQA accuracy and exact match",
                                "vlm eval vqa --model blip-vqa-base questions.json data.annotations=annotations.json data.image_root=val2014",
                                [options] { evaluate::answers(*options); });
    evaluate::add_common(*vqa, *options, 8);
    vqa->add_option("--variant", options->variant, "official, or albef (as ALBEF, TCL and mPLUG count)")->capture_default_str()->check(CLI::IsMember({"official", "albef"}));
    vqa->add_option("--answers", options->answers, "File with one answer a line: only these may come out");
    vqa->add_flag("--blip-enc-token", options->vqa.answer.enc_token, "Open questions with [ENC] as in the original BLIP code");
    add_generate_flags(*vqa, options->vqa.answer.generate);
  }
}

}  // namespace vlm::apps
