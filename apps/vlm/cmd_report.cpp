#include <ATen/TensorOperators.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/topk.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "command.h"
#include "html.h"
#include "model_options.h"
#include "output.h"
#include "training_page.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/eval/protocols.h"
#include "vlm/io/atomic_file.h"

namespace vlm::apps {

namespace report {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  std::vector<std::string> what;  ///< folders of runs, or one data set
  std::string run, out = "report.html", title, note;
  std::vector<std::string> queries, links;
  int64_t pictures = 18, seed = 4;
};

/// Thumbnails come out of the data set as they are stored there.
class Thumbnails {
 public:
  explicit Thumbnails(const Source& source) : source_(source) {}
  std::string tag(int64_t number, const std::string& title) const {
    const Sample sample = source_.read_number(number);
    return html::picture(sample.images.at(0).bytes, title);
  }

 private:
  const Source& source_;
};

std::string recall_table(const RetrievalReport& report) {
  std::string out = "<table><tr><th></th>";
  for (const auto& [k, share] : report.recall.image_to_text) out += concat("<th>R@", k, "</th>");
  const auto row = [&](const char* name, const char* kind, const std::map<int64_t, double>& shares) {
    out += concat("</tr><tr class=\"", kind, "\"><td>", name, "</td>");
    for (const auto& [k, share] : shares) out += "<td class=\"number\">" + percent(share) + "</td>";
  };
  row("the right text for a picture", "", report.recall.image_to_text);
  row("by chance", "chance", report.chance.image_to_text);
  row("the right picture for a text", "", report.recall.text_to_image);
  row("by chance", "chance", report.chance.text_to_image);
  return out + "</tr></table>";
}

/// "runs.html" or "runs.html=How it was learnt", as links below the heading.
std::string links_line(const std::vector<std::string>& links) {
  std::string out;
  for (const auto& link : links) {
    const size_t at = link.find('=');
    const std::string place = link.substr(0, at), words = at == std::string::npos ? place : link.substr(at + 1);
    out += concat(out.empty() ? "<p>" : " · ", "<a href=\"", html::escape(place), "\">", html::escape(words), "</a>");
  }
  return out.empty() ? out : out + "</p>";
}

/// Points that a chart can draw.
std::vector<std::pair<double, double>> points_of(const std::map<std::string, Series>& all, const std::string& name, double scale) {
  std::vector<std::pair<double, double>> out;
  if (const auto it = all.find(name); it != all.end()) {
    for (const auto& [step, value] : it->second) out.emplace_back(static_cast<double>(step), value * scale);
  }
  return out;
}

std::string loss_section(const fs::path& folder) {
  const RunRecord record = read_run(folder);
  const auto losses = points_of(record.steps, "loss", 1), recalls = points_of(record.evaluations, "image_to_text_recall@10", 100);
  if (losses.size() < 2) return "";
  std::string out = "<section><h2>How it was learnt</h2><div class=\"charts\">" +
                    html::chart(losses, "loss over optimiser steps (contrastive, in nats)", "loss");
  if (recalls.size() >= 2) out += html::chart(recalls, "R@10 on the validation pictures, in percent", "recall");
  return out + "</div></section>";
}

std::string queries_section(const Options& options, const DualEncoderPipeline& pipeline, const EmbeddedSet& set, const Thumbnails& thumbnails) {
  if (options.queries.empty()) return "";
  const Tensor scores = at::matmul(pipeline.embed_texts(options.queries), set.images.t());  // [Q, N]
  std::string out = "<section><h2>Pictures found for words</h2><p>The first six of the held-out pictures for each query, the best one first.</p>";
  for (size_t q = 0; q < options.queries.size(); ++q) {
    const auto [best, index] = scores[static_cast<int64_t>(q)].topk(std::min<int64_t>(6, set.images.size(0)));
    out += "<div class=\"query\"><div class=\"words\">" + html::escape(options.queries[q]) + "</div><div class=\"found\">";
    for (int64_t k = 0; k < index.size(0); ++k) {
      const auto row = static_cast<size_t>(index[k].item<int64_t>());
      const std::string& caption = set.texts[static_cast<size_t>(set.relevant[row][0])];
      out += "<figure>" + thumbnails.tag(set.numbers[row], caption) + "<figcaption>" + html::escape(caption) + "</figcaption></figure>";
    }
    out += "</div></div>";
  }
  return out + "</section>";
}

std::string names_section(const Options& options, const DualEncoderPipeline& pipeline, const EmbeddedSet& set, const Thumbnails& thumbnails) {
  const Tensor logits = pipeline.logits(set.images, set.text_vectors);  // [N, T]
  const auto order = permutation(set.images.size(0), static_cast<uint64_t>(options.seed));
  std::string out = concat("<section><h2>Names found for pictures</h2><p>", std::min<int64_t>(options.pictures, set.images.size(0)),
                           " held-out pictures drawn at random, each with the three texts (of ", set.texts.size(),
                           ") that the model finds nearest. A green one is the picture's own.</p><div class=\"cards\">");
  for (int64_t i = 0; i < options.pictures && i < set.images.size(0); ++i) {
    const auto row = static_cast<size_t>(order[static_cast<size_t>(i)]);
    const Tensor scores = at::softmax(logits[static_cast<int64_t>(row)], 0);
    const auto [best, index] = scores.topk(std::min<int64_t>(3, scores.size(0)));
    const auto& own = set.relevant[row];
    const std::string& caption = set.texts[static_cast<size_t>(own[0])];
    out += "<div class=\"card\">" + thumbnails.tag(set.numbers[row], caption) + "<ol>";
    bool hit = false;
    for (int64_t k = 0; k < index.size(0); ++k) {
      const int64_t text = index[k].item<int64_t>();
      const bool right = std::find(own.begin(), own.end(), text) != own.end();
      hit = hit || right;
      out += concat("<li", right ? " class=\"right\"" : "", "><span>", html::escape(set.texts[static_cast<size_t>(text)]), "</span> <em>",
                    percent(best[k].item<double>()), "</em></li>");
    }
    out += "</ol>";
    if (!hit) out += "<div class=\"own\">its own: " + html::escape(caption) + "</div>";
    out += "</div>";
  }
  return out + "</div></section>";
}

void page_of_model(const Options& options) {
  if (options.what.size() != 1) fail_usage("name one data set of held-out pictures beside --model");
  const std::string title = options.title.empty() ? "What the model learnt" : options.title;
  SourceOptions source_options;
  source_options.path = options.what[0];
  const auto source = open_source(source_options);
  const DualEncoderPipeline pipeline = options.model.load();
  const c10::InferenceMode inference;
  RetrievalOptions retrieval;
  retrieval.merge_equal_texts = true;
  SkipCounter skips(source->name());
  const EmbeddedSet set = embed_set(pipeline, *source, retrieval, skips);
  const RetrievalReport recall = evaluate_retrieval(pipeline, set, retrieval);
  const Thumbnails thumbnails(*source);
  int64_t parameters = 0;
  for (const auto& [name, tensor] : pipeline.model().state()) parameters += tensor.numel();

  std::string body = "<header><h1>" + html::escape(title) + "</h1>";
  if (!options.note.empty()) body += "<p class=\"lead\">" + html::escape(options.note) + "</p>";
  char millions[32];
  std::snprintf(millions, sizeof millions, "%.1f", static_cast<double>(parameters) / 1e6);
  body += concat("<p>A ", html::escape(pipeline.model().family()), " model of ", millions, " million parameters, asked about ", recall.images,
                 " pictures that it has never seen, with ", recall.texts, " different texts.</p>");
  body += links_line(options.links) + "</header>";
  body += "<section><h2>How often it is right</h2>" + recall_table(recall) + "</section>";
  body += queries_section(options, pipeline, set, thumbnails);
  body += names_section(options, pipeline, set, thumbnails);
  if (!options.run.empty()) body += loss_section(options.run);
  write_file_atomically(options.out, html::page(title, body));
  if (options.model.json) {
    print_json({{"page", options.out}, {"retrieval", recall.to_json()}});
  } else {
    std::printf("%s: open it in a browser\n", options.out.c_str());
  }
}

void page_of_runs(const Options& options) {
  std::vector<std::string> folders = options.what;
  if (!options.run.empty()) folders.push_back(options.run);
  if (folders.empty()) fail_usage("name the folders of training runs, or a model with --model and a data set to ask it about");
  std::vector<RunRecord> runs;
  for (const auto& folder : folders) {
    if (!is_run_folder(folder)) {
      fail_usage(folder, " is no training run: it holds neither metrics.jsonl nor log.jsonl (for a page of a model's answers, name it with --model)");
    }
    runs.push_back(read_run(folder));
  }
  TrainingPageOptions page;
  if (!options.title.empty()) page.title = options.title;
  page.note = options.note;
  write_file_atomically(options.out, training_page(runs, page));
  if (!options.model.json) {
    std::printf("%s: open it in a browser\n", options.out.c_str());
    return;
  }
  nlohmann::ordered_json out = {{"page", options.out}, {"runs", nlohmann::ordered_json::array()}};
  for (const auto& run : runs) {
    nlohmann::ordered_json one = {{"run", run.folder.string()}, {"steps", run.last_step}, {"finished", run.finished}, {"metrics", nlohmann::ordered_json::object()}};
    if (const auto loss = run.steps.find("loss"); loss != run.steps.end()) one["loss"] = loss->second.back().second;
    for (const auto& [name, series] : run.evaluations) one["metrics"][name] = series.back().second;
    out["runs"].push_back(std::move(one));
  }
  print_json(out);
}

void run(const Options& options) { options.model.model.empty() ? page_of_runs(options) : page_of_model(options); }

}  // namespace report

void add_report(CLI::App& app) {
  auto options = std::make_shared<report::Options>();
  CLI::App* command = add_command(app, "report", "A page about training runs (curves, numbers, examples), or, with --model, about what a model finds",
                                  "vlm report runs/first runs/second --out runs.html\n"
                                  "  vlm report --model runs/clip/model --run runs/clip 'data/test-000000.tar' --query 'a red flower' --out report.html",
                                  [options] { report::run(*options); });
  options->model.add_to(*command);
  command->get_option("--model")->required(false);
  command->add_option("what", options->what, "Folders of training runs; with --model: held-out pictures with captions, WebDataset shards, several joined by '::'");
  command->add_option("--run", options->run, "With --model: its training run, for the loss curve");
  command->add_option("--query", options->queries, "Words to find pictures for (may be given several times)")->allow_extra_args(false);
  command->add_option("--pictures", options->pictures, "Pictures to find names for")->capture_default_str();
  command->add_option("--seed", options->seed, "Which pictures are drawn")->capture_default_str();
  command->add_option("--title", options->title, "Heading of the page");
  command->add_option("--note", options->note, "A line below it");
  command->add_option("--link", options->links, "With --model: another page to link to, as PAGE=WORDS (may be given several times)")->allow_extra_args(false);
  command->add_option("--out", options->out, "The page")->capture_default_str();
}

}  // namespace vlm::apps
