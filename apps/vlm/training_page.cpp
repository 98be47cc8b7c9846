#include "training_page.h"

#include <cmath>
#include <set>

#include "html.h"
#include "vlm/core/error.h"

namespace vlm::apps {

namespace page_of_runs {

using Json = nlohmann::ordered_json;

/// [[steps …], [values …]]; a value that is no number is null.
Json columns(const Series& series, size_t most) {
  Json steps = Json::array(), values = Json::array();
  for (const auto& [step, value] : thin_out(series, most)) {
    steps.push_back(step);
    if (std::isfinite(value)) {
      values.push_back(std::stod(concat(value)));  // six digits are enough to draw
    } else {
      values.push_back(nullptr);
    }
  }
  return Json::array({std::move(steps), std::move(values)});
}

Json columns(const std::map<std::string, Series>& all, size_t most) {
  Json out = Json::object();
  for (const auto& [name, series] : all) out[name] = columns(series, most);
  return out;
}

/// The ends of the paths, as long as it takes for them to differ.
std::vector<std::string> names_of(const std::vector<RunRecord>& runs) {
  std::vector<std::filesystem::path> paths;
  for (const auto& run : runs) {
    auto path = std::filesystem::absolute(run.folder).lexically_normal();
    paths.push_back(path.has_filename() ? path : path.parent_path());
  }
  for (size_t parts = 1; parts < 32; ++parts) {
    std::vector<std::string> names;
    for (const auto& path : paths) {
      std::filesystem::path name, rest = path;
      for (size_t k = 0; k < parts && rest.has_filename(); ++k, rest = rest.parent_path()) name = name.empty() ? rest.filename() : rest.filename() / name;
      names.push_back(name.string());
    }
    if (std::set<std::string>(names.begin(), names.end()).size() == names.size()) return names;
  }
  std::vector<std::string> names;
  for (const auto& path : paths) names.push_back(path.string());
  return names;
}

/// What stands in a script element must not end it.
std::string for_script(const Json& json) {
  std::string out;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace page_of_runs

std::string training_page(const std::vector<RunRecord>& runs, const TrainingPageOptions& options) {
  using namespace page_of_runs;
  Json data = {{"title", options.title}, {"note", options.note}, {"runs", Json::array()}};
  const auto names = names_of(runs);
  for (size_t i = 0; i < runs.size(); ++i) {
    const RunRecord& run = runs[i];
    Json one = {{"name", names[i]}, {"folder", run.folder.string()}, {"step", run.last_step}, {"epoch", run.last_epoch},
                {"seconds", run.seconds}, {"finished", run.finished}};
    one["steps"] = columns(run.steps, options.points);
    one["evaluations"] = columns(run.evaluations, options.points);
    one["config"] = flat_keys(run.recipe);
    one["samples"] = run.samples;
    data["runs"].push_back(std::move(one));
  }
  return concat("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
                "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">"
                "<meta name=\"color-scheme\" content=\"light dark\"><title>",
                html::escape(options.title), "</title><style>", training_page_style, "</style></head><body><main id=\"page\"><noscript>This page draws its curves with a script.</noscript></main>"
                "<script type=\"application/json\" id=\"data\">", for_script(data), "</script><script>", training_page_script, "</script></body></html>\n");
}

}  // namespace vlm::apps
