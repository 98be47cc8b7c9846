#include "eval_flags.h"

#include "vlm/core/config.h"

namespace vlm::apps {

void EvalFlags::add_to(CLI::App& command, int64_t batch) {
  model.add_to(command, batch);
  model.add_image_size_to(command);
  command.add_option("data", data, "A data set: shards, table, list or folder (see vlm data check --help)")->required();
  command.add_option("overrides", overrides, "How to read them, as data.caption_key=json.title");
  command.add_option("--out", out, "Also write the result of every sample to this file, one JSON line each");
  command.add_flag("--strict", strict, "End at the first sample that cannot be used");
}

std::unique_ptr<Source> EvalFlags::open(const std::string& path) const {
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

void EvalFlags::print(nlohmann::ordered_json report) const {
  report["data"] = data;
  report["model"] = model.model;
  print_json(report);
}

}  // namespace vlm::apps
