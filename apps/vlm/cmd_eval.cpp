#include <cstdio>

#include "command.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
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

  std::unique_ptr<Source> open() const {
    Config config = Config::parse("{}", "command line");
    config.override_with(overrides);
    struct Data {
      SourceOptions data;
      void fields(Fields& f) { f.field("data", data, "the data set"); }
    } parsed;
    config.read(parsed);
    parsed.data.path = data;
    return open_source(parsed.data);
  }
};

void add_common(CLI::App& command, Options& options) {
  options.model.add_to(command);
  command.add_option("data", options.data, "WebDataset shards (file, pattern, folder; several joined by '::') or a folder of class folders")->required();
  command.add_option("overrides", options.overrides, "How to read them, as data.caption_key=json.title");
  command.add_flag("--strict", options.strict, "End at the first sample that cannot be used");
}

void retrieval(const Options& options) {
  const auto source = options.open();
  const DualEncoderPipeline pipeline = options.model.load();
  const RetrievalReport report = evaluate_retrieval(pipeline, *source, options.retrieval, options.strict);
  if (options.model.json) {
    auto json = report.to_json();
    json["data"] = options.data;
    json["model"] = options.model.model;
    json["merge_equal_texts"] = options.retrieval.merge_equal_texts;
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
  const ZeroShotReport report = evaluate_zero_shot(pipeline, *source, zero_shot, options.strict);
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
}

}  // namespace vlm::apps
