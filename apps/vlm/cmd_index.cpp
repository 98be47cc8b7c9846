#include <c10/core/InferenceMode.h>

#include <chrono>
#include <unordered_set>

#include "command.h"
#include "model_options.h"
#include "output.h"
#include "picture_input.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/models/fingerprint.h"
#include "vlm/infer/vector_index.h"

namespace vlm::apps {

namespace make_index {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  PictureInput input;
  std::string out, type = "auto";
  bool add = false, overwrite = false;
  int64_t save_every = 60;
};

/// Neither a file nor a folder of something else is to be written over.
void check_place(const Options& options) {
  const fs::path out(options.out);
  if (!fs::exists(out)) return;
  if (!fs::is_directory(out)) fail_usage(options.out, " is a file; an index is a folder");
  if (fs::exists(out / "index.json")) {
    if (options.add || options.overwrite) return;
    fail_usage(options.out, " is there already: --add adds to it what it lacks, --overwrite makes it anew");
  }
  for (const auto& entry : fs::directory_iterator(out)) {
    const std::string name = entry.path().filename().string();
    // What a first save leaves behind that was cut off.
    if (!starts_with(name, "vectors-") && !starts_with(name, ".")) fail_usage(options.out, " is a folder of something else, which holds ", name);
  }
}

VectorIndex open_or_make(const Options& options, const IndexModel& model) {
  if (options.add && fs::exists(fs::path(options.out) / "index.json")) {
    VectorIndex index = VectorIndex::open(options.out);
    if (index.model().fingerprint != model.fingerprint) {
      fail(options.out, " was made by another model (", printable(index.model().name), "); make an index of its own for ",
           options.model.model, ", or this one anew with --overwrite");
    }
    return index;
  }
  return VectorIndex(1, model);  // the width shows with the first vectors
}

void run(const Options& options) {
  const IndexType type = index_type_by_name(options.type);
  if (!options.input.given()) fail_usage("name pictures, or a data set with --data");
  check_place(options);
  const DualEncoderPipeline pipeline = options.model.load();
  const c10::InferenceMode inference;
  const IndexModel model{options.model.model, model_fingerprint(pipeline.model())};
  VectorIndex index = open_or_make(options, model);
  const int64_t before = index.size();
  std::unordered_set<std::string> seen;
  auto saved = std::chrono::steady_clock::now();
  const EmbedCounts counts = embed_pictures(
      pipeline, options.model, options.input,
      [&](const std::string& name) { return !index.contains(name) && seen.insert(name).second; },
      [&](const Tensor& vectors, const std::vector<std::string>& names) {
        if (index.size() == 0) index = VectorIndex(vectors.size(1), model);
        index.add(vectors, names);
        const auto now = std::chrono::steady_clock::now();
        if (now - saved < std::chrono::seconds(options.save_every)) return;
        index.save(options.out);
        saved = std::chrono::steady_clock::now();
      });
  if (index.size() == 0) fail("none of the pictures could be read");
  index.arrange(type);
  index.save(options.out);
  if (options.model.json) {
    print_json({{"index", options.out},
                {"type", index_type_name(index.type())},
                {"clusters", index.clusters()},
                {"count", index.size()},
                {"width", index.width()},
                {"added", index.size() - before},
                {"already_there", counts.passed_over},
                {"left_out", counts.failed}});
  } else {
    print_table({{"index", "type", "pictures", "width", "added", "already there", "left out"},
                 {options.out, index_type_name(index.type()), std::to_string(index.size()), std::to_string(index.width()),
                  std::to_string(index.size() - before), std::to_string(counts.passed_over), std::to_string(counts.failed)}});
  }
  if (counts.failed > 0) throw Exit{1};
}

}  // namespace make_index

void add_index(CLI::App& app) {
  auto options = std::make_shared<make_index::Options>();
  CLI::App* command = add_command(app, "index", "Make a folder of vectors that vlm search looks pictures up in",
                                  "vlm index --model clip-vit-b32 photos --out photos.index\n"
                                  "  vlm index --model clip-vit-b32 photos --out photos.index --add   # only what is new",
                                  [options] { make_index::run(*options); });
  options->model.add_to(*command);
  options->input.add_to(*command, "Pictures, folders or patterns");
  options->input.add_frames_to(*command);
  command->add_option("--out", options->out, "The folder to write")->required();
  auto* add = command->add_flag("--add", options->add, "Add pictures to the index that is there; those that it has are passed over");
  command->add_flag("--overwrite", options->overwrite, "Make the index that is there anew")->excludes(add);
  command
      ->add_option("--type", options->type,
                   "exact: compares every vector; ivf: only those of the nearest clusters, faster, misses some; auto: exact up "
                   "to 100000 pictures")
      ->capture_default_str();
  command->add_option("--save-every", options->save_every, "Seconds after which what is there is saved; --add goes on from there")
      ->capture_default_str()
      ->check(not_negative);
}

}  // namespace vlm::apps
