#include <ATen/ops/matmul.h>
#include <ATen/ops/topk.h>
#include <c10/core/InferenceMode.h>

#include <cstdio>

#include "command.h"
#include "model_options.h"
#include "output.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/progress.h"
#include "vlm/io/safetensors.h"

namespace vlm::apps {

namespace search {

struct Options {
  ModelFlags model;
  std::string query, index;
  std::vector<std::string> pictures;
  int64_t top = 5;
};

struct Index {
  Tensor vectors;                  // [N, E]
  std::vector<std::string> names;
};

/// Names travel in the file's metadata, as a JSON list.
Index read_index(const std::string& file) {
  const SafetensorsFile stored(file);
  const auto names = stored.metadata().find("names");
  if (names == stored.metadata().end() || !stored.tensors().count("vectors")) fail(file, " is no index of 'vlm search' (no vectors or no names in it)");
  Index out{stored.tensor("vectors"), nlohmann::json::parse(names->second).get<std::vector<std::string>>()};
  if (out.vectors.dim() != 2 || out.vectors.size(0) != static_cast<int64_t>(out.names.size())) fail(file, ": as many vectors as names are needed");
  return out;
}

Index embed(const Options& options, const DualEncoderPipeline& pipeline) {
  const auto files = expand_pictures(options.pictures);
  Progress bar("pictures", static_cast<int64_t>(files.size()), "pictures");
  size_t at = 0;
  Index out;
  out.vectors = pipeline.embed_stream(
      [&](Picture& picture) {
        if (at == files.size()) return false;
        picture = Picture::from_file(files[at++]);
        bar.update(static_cast<int64_t>(at));
        return true;
      },
      out.names, [](const std::string& name, const std::string& reason) { log_warning(name, " is left out: ", reason); });
  if (!out.vectors.defined()) fail("none of the pictures could be read");
  return out;
}

void run(const Options& options) {
  const bool stored = !options.index.empty() && options.pictures.empty();
  if (options.pictures.empty() && options.index.empty()) fail_usage("name the pictures to search in, or an index with --index FILE");
  const DualEncoderPipeline pipeline = options.model.load();
  const c10::InferenceMode inference;
  const Index index = stored ? read_index(options.index) : embed(options, pipeline);
  if (!stored && !options.index.empty()) {
    write_safetensors(options.index, {{"vectors", index.vectors}}, {{"names", nlohmann::json(index.names).dump()}});
    log_info("wrote ", options.index, " with ", index.names.size(), " pictures; search it with --index alone");
  }
  const Tensor query = pipeline.embed_texts({options.query});  // [1, E]
  if (query.size(1) != index.vectors.size(1)) fail(options.index, " was made by another model: its vectors have ", index.vectors.size(1), " numbers, not ", query.size(1));
  const auto [best, order] = at::matmul(index.vectors, query[0]).topk(std::min<int64_t>(options.top, index.vectors.size(0)));
  auto json = nlohmann::ordered_json::array();
  std::vector<std::vector<std::string>> table = {{"similarity", "picture"}};
  for (int64_t k = 0; k < best.size(0); ++k) {
    const std::string& name = index.names[static_cast<size_t>(order[k].item<int64_t>())];
    const double score = best[k].item<double>();
    char text[16];
    std::snprintf(text, sizeof text, "%.3f", score);
    json.push_back({{"picture", name}, {"similarity", score}});
    table.push_back({text, name});
  }
  if (options.model.json) {
    print_json(json);
  } else {
    print_table(table);
  }
}

}  // namespace search

void add_search(CLI::App& app) {
  auto options = std::make_shared<search::Options>();
  CLI::App* command = add_command(app, "search", "Find pictures by a text",
                                  "vlm search --model clip-vit-b32 \"a dog on a beach\" photos --index photos.safetensors",
                                  [options] { search::run(*options); });
  options->model.add_to(*command);
  command->add_option("query", options->query, "What to look for")->required();
  command->add_option("pictures", options->pictures, "Pictures, folders or patterns to search in");
  command->add_option("--index", options->index, "Keep the pictures' vectors in this file, or, without pictures, search in it");
  command->add_option("--top", options->top, "Pictures shown")->capture_default_str()->check(CLI::PositiveNumber);
}

}  // namespace vlm::apps
