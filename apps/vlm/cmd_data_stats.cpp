#include <cmath>
#include <cstdio>

#include "command.h"
#include "data_command.h"
#include "html.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/image_encode.h"
#include "vlm/data/source_stats.h"
#include "vlm/io/atomic_file.h"

namespace vlm::apps {

namespace data_stats {

struct Options {
  DataFlags data;
  std::string sheet;
  int64_t pictures = 24, seed = 0;
  bool texts_only = false;
};

std::string number(int64_t n) { return std::to_string(n); }

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, value == std::floor(value) && std::abs(value) < 1e9 ? "%.0f" : "%.2f", value);
  return text;
}

std::vector<std::string> spread_row(const char* name, const Spread& spread) {
  return {name,
          number(spread.quantile(0)),
          number(spread.quantile(0.5)),
          number(spread.mean()),
          number(spread.quantile(0.95)),
          number(spread.quantile(1))};
}

std::string list_of(const std::vector<std::pair<std::string, int64_t>>& list) {
  std::vector<std::string> parts;
  for (const auto& [name, count] : list) parts.push_back(concat(name, " ", count));
  return join(parts, ", ");
}

void print_stats(const SourceStats& stats) {
  std::vector<std::vector<std::string>> counts = {{stats.dataset, stats.type}, {"samples", number(stats.samples)}};
  const auto row = [&](const std::string& name, int64_t value) {
    if (value > 0) counts.push_back({name, number(value)});
  };
  row("skipped", stats.skipped);
  for (const auto& [reason, count] : stats.reasons) row("  " + reason, count);
  for (const auto& [split, count] : stats.splits) row("split " + split, count);
  row("distinct pictures", stats.distinct_images);
  row("captions", stats.captions);
  row("questions", stats.questions);
  row("answers", stats.answers);
  row("boxes", stats.boxes);
  row("labelled", stats.labelled);
  row("labels", static_cast<int64_t>(stats.labels.size()));
  row("distinct words", static_cast<int64_t>(stats.words.size()));
  row("  seen once", stats.words_seen_once());
  for (const auto& [format, count] : stats.formats) row(format + " pictures", count);
  print_table(counts);
  std::vector<std::vector<std::string>> spreads = {{"", "least", "median", "mean", "95 %", "most"}};
  if (stats.captions > 0) {
    spreads.push_back(spread_row("captions a sample", stats.captions_per_sample));
    spreads.push_back(spread_row("words a caption", stats.caption_words));
    spreads.push_back(spread_row("characters a caption", stats.caption_characters));
  }
  if (stats.pictures > 0) {
    spreads.push_back(spread_row("width", stats.width));
    spreads.push_back(spread_row("height", stats.height));
    spreads.push_back(spread_row("width / height", stats.aspect));
  }
  if (spreads.size() > 1) {
    std::printf("\n");
    print_table(spreads);
  }
  if (!stats.words.empty()) std::printf("\ncommonest words: %s\n", list_of(stats.commonest_words(20)).c_str());
  if (!stats.answer_counts.empty()) std::printf("commonest answers: %s\n", list_of(stats.commonest_answers(20)).c_str());
}

void write_sheet(const Options& options, const Source& source, const SourceStats& stats) {
  constexpr int side = 192, columns = 6;
  const auto pictures = sheet_pictures(source, options.pictures, options.seed, side);
  if (pictures.empty()) fail(source.name(), ": not one picture can be shown; vlm data check says what is wrong");
  if (!ends_with(options.sheet, ".html")) {
    write_file_atomically(options.sheet, encode_png(contact_sheet(pictures, side, columns)));
    return;
  }
  std::string body = concat("<header><h1>", html::escape(stats.dataset), "</h1><p>", pictures.size(), " of ", stats.samples,
                            " samples, drawn at random.</p></header><section><div class=\"cards\">");
  for (const auto& picture : pictures) {
    body += "<div class=\"card\">" + html::picture(encode_png(picture.image), picture.key) + "<ol><li>" +
            html::escape(picture.text) + "</li></ol><div class=\"own\">" + html::escape(picture.key) + "</div></div>";
  }
  write_file_atomically(options.sheet, html::page(stats.dataset, body + "</div></section>"));
}

void run(const Options& options) {
  if (!options.sheet.empty() && !ends_with(options.sheet, ".html") && !ends_with(options.sheet, ".png"))
    fail_usage("--sheet writes .png or .html, not '", options.sheet, "'");
  const auto source = options.data.open();
  const SourceStats stats =
      source_stats(*source, options.data.detected_type(),
                   {.pictures = !options.texts_only, .strict = options.data.strict, .threads = options.data.threads});
  if (!options.sheet.empty()) write_sheet(options, *source, stats);
  if (options.data.json) return print_json(stats.to_json());
  print_stats(stats);
  if (!options.sheet.empty()) std::printf("\n%s: some of its pictures\n", options.sheet.c_str());
}

}  // namespace data_stats

void add_data_stats(CLI::App& data) {
  auto options = std::make_shared<data_stats::Options>();
  CLI::App* command =
      add_command(data, "stats", "What a data set holds: counts, lengths of captions, sizes of pictures, words",
                  "vlm data stats dataset_coco.json --split train --image-root coco --sheet coco.html",
                  [options] { data_stats::run(*options); });
  options->data.add_to(*command);
  command->add_option("--sheet", options->sheet, "Also draw some of the pictures: a .png, or a .html page with their texts");
  command->add_option("--pictures", options->pictures, "How many")->capture_default_str()->check(CLI::Range(1, 1000));
  command->add_option("--seed", options->seed, "Which ones")->capture_default_str();
  command->add_flag("--texts-only", options->texts_only, "Do not look at the pictures");
}

}  // namespace vlm::apps
