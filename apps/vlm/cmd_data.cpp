#include <array>
#include <cstdio>

#include <nlohmann/json.hpp>

#include "command.h"
#include "data_command.h"
#include "vlm/core/log.h"
#include "vlm/data/import_pictures.h"
#include "vlm/data/scenes.h"

namespace vlm::apps {

namespace data_command {

using Json = nlohmann::ordered_json;

void print_counts(const Json& manifest) {
  std::printf("%-18s%10s%10s%10s%10s\n", "", "train", "val", "test", "all");
  const Json& counts = manifest.at("counts");
  for (const char* what : {"images", "captions", "labelled", "questions"}) {
    std::printf("%-18s", what);
    int64_t all = 0;
    for (const char* split : picture_splits) {
      const auto n = counts.at(split).at(what).get<int64_t>();
      std::printf("%10lld", static_cast<long long>(n));
      all += n;
    }
    std::printf("%10lld\n", static_cast<long long>(all));
  }
}

void print_import(const Json& manifest) {
  const auto number = [&](const char* key) { return static_cast<long long>(manifest.at(key).get<int64_t>()); };
  std::printf("%-18s%10lld\n", "PNG files", number("looked_at"));
  std::printf("%-18s%10lld\n", "kept", number("kept"));
  for (const auto& [reason, n] : manifest.at("skipped").items()) {
    std::printf("%-18s%10lld\n", ("skipped, " + reason).c_str(), static_cast<long long>(n.get<int64_t>()));
  }
  std::printf("\n");
  print_counts(manifest);
}

void add_import(CLI::App& data) {
  struct Options {
    std::string source, root, out, layout = "shards";
    ImportOptions import;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(data, "import", "Make a captioned, labelled set with questions from pictures that ship with Debian",
                                        "vlm data import openclipart --out sets/openclipart", [options] {
    ImportOptions& import = options->import;
    import.source = options->source == "tuxpaint" ? PictureSource::tuxpaint : PictureSource::openclipart;
    import.root = options->root;
    import.out = options->out;
    import.layout = parse_picture_layout(options->layout);
    const ImportReport report = import_pictures(import);
    if (report.already_done) log_info(options->out, " holds this import already; it is left as it is");
    if (options->json) {
      std::printf("%s\n", report.manifest.dump(2).c_str());
    } else {
      print_import(report.manifest);
    }
  });
  command->add_option("source", options->source, "tuxpaint or openclipart")->required()->check(CLI::IsMember({"tuxpaint", "openclipart"}));
  command->add_option("--root", options->root, "The package's folder (default: /usr/share/tuxpaint/stamps or /usr/share/openclipart)");
  command->add_option("--out", options->out, "Folder to write")->required();
  command->add_option("--layout", options->layout, "shards (tar files of 500) or folder (images/)")->capture_default_str();
  command->add_flag("--with-stars", options->import.with_stars, "openclipart: also 1375 star polygons, for counting");
  command->add_flag("--all-languages", options->import.all_languages, "openclipart: also pictures whose text is not English");
  command->add_flag("--force", options->import.force, "Replace a set that is in the folder");
  command->add_option("--threads", options->import.threads, "0: one for each processor")->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print the manifest instead of a table");
}

void add_make(CLI::App& data) {
  CLI::App* make = add_command(data, "make", "Make data from nothing", "vlm data make scenes --out sets/scenes --count 2000", nullptr);
  make->require_subcommand(1);
  struct Options {
    std::string out, layout = "shards";
    SceneSetOptions scenes;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(*make, "scenes", "Draw captioned scenes of coloured shapes, with questions and boxes",
                                        "vlm data make scenes --out sets/scenes --count 2000 --seed 1", [options] {
    options->scenes.out = options->out;
    options->scenes.layout = parse_picture_layout(options->layout);
    const SceneReport report = make_scenes(options->scenes);
    if (report.already_done) log_info(options->out, " holds these scenes already; they are left as they are");
    if (options->json) {
      std::printf("%s\n", report.manifest.dump(2).c_str());
    } else {
      print_counts(report.manifest);
    }
  });
  command->add_option("--out", options->out, "Folder to write")->required();
  command->add_option("--count", options->scenes.count, "Scenes to draw")->required();
  command->add_option("--seed", options->scenes.seed, "Another seed, other scenes")->capture_default_str();
  command->add_option("--layout", options->layout, "shards (tar files of 500) or folder (images/)")->capture_default_str();
  command->add_flag("--force", options->scenes.force, "Replace a set that is in the folder");
  command->add_option("--threads", options->scenes.threads, "0: one for each processor")->check(CLI::Range(0, 1024));
  command->add_flag("--json", options->json, "Print the manifest instead of a table");
}

}  // namespace data_command

void add_data(CLI::App& app) {
  CLI::App* data = add_command(app, "data", "Make, check, describe and convert data sets",
                               "vlm data check captions_val.json --image-root val2014", nullptr);
  data->require_subcommand(1);
  data_command::add_import(*data);
  data_command::add_make(*data);
  add_data_check(*data);
  add_data_stats(*data);
  add_data_shard(*data);
  add_data_ngrams(*data);
}

}  // namespace vlm::apps
