#include "vlm/data/import_writer.h"

#include <algorithm>
#include <map>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/tar_writer.h"
#include "vlm/io/atomic_file.h"

namespace vlm {

namespace import_writer {

using Json = nlohmann::ordered_json;

/// Names of openclipart's files may hold any bytes: those that are no UTF-8 must not stop a whole set.
std::string text_of(const Json& json, int indent = -1) { return json.dump(indent, ' ', false, Json::error_handler_t::replace); }

/// A list with one element a line: as readable as it is short.
void write_list(const std::filesystem::path& file, const std::vector<std::string>& elements) {
  write_file_atomically(file, [&](std::ostream& out) {
    out << "[";
    for (size_t i = 0; i < elements.size(); ++i) out << (i ? ",\n" : "\n") << elements[i];
    out << "\n]\n";
  });
}

bool is_ours(const std::string& name) {
  static const std::vector<std::string> patterns = {
      "train-*.tar", "val-*.tar", "test-*.tar", "*.tar.idx.json", ".*.part", "sizes.json", "classes.txt",
      "captions_*.json", "vqa_*.json", "grounding_*.json", "samples_*.jsonl", "skipped.jsonl", "manifest.json"};
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) { return glob_match(pattern, name); });
}

void prepare_folder(const PictureSetOptions& options) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::create_directories(options.out, error);
  if (error || !fs::is_directory(options.out)) fail("cannot make the folder ", options.out.string(), ": ", error.message());
  if (fs::is_empty(options.out)) return;
  if (!options.force) {
    const bool whole = fs::exists(options.out / "manifest.json");
    fail_usage(options.out.string(), " is not empty: it holds ", whole ? "another set" : "something else, or an unfinished set",
               "; give another folder, or --force to replace a set of pictures that is there");
  }
  std::vector<fs::path> old;
  for (const auto& entry : fs::directory_iterator(options.out)) {
    const std::string name = entry.path().filename().string();
    const bool images = name == "images" && entry.is_directory();
    if (images) {
      for (const auto& image : fs::directory_iterator(entry.path())) {
        if (image.is_directory() || image.path().extension() != ".png") {
          fail_usage(image.path().string(), " is no part of a set of pictures: --force does not remove it");
        }
      }
    } else if (!entry.is_regular_file() || !is_ours(name)) {
      fail_usage(entry.path().string(), " is no part of a set of pictures: --force does not remove it");
    }
    old.push_back(entry.path());
  }
  // The manifest goes first: from then on the set does not count as whole.
  fs::remove(options.out / "manifest.json", error);
  for (const auto& path : old) {
    error.clear();
    fs::remove_all(path, error);
    if (error) fail("cannot remove ", path.string(), ": ", error.message());
  }
}

}  // namespace import_writer

PictureLayout parse_picture_layout(const std::string& name) {
  if (name == "shards") return PictureLayout::shards;
  if (name == "folder") return PictureLayout::folder;
  fail_usage("unknown layout '", name, "'", did_you_mean(name, {"shards", "folder"}), "; there are: shards, folder");
}

const char* layout_name(PictureLayout layout) { return layout == PictureLayout::shards ? "shards" : "folder"; }

struct PictureSetWriter::Split {
  std::string name;
  std::unique_ptr<ShardWriter> shards;
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> by_key;  ///< members, until finish()
  std::vector<std::string> captions, questions, phrases, samples;  ///< lines of the lists
  int64_t images = 0, labelled = 0, caption_count = 0;
  std::map<std::string, int64_t> classes, question_types;
};

PictureSetWriter::PictureSetWriter(const PictureSetOptions& options, std::vector<std::string> classes)
    : options_(options), classes_(std::move(classes)) {
  import_writer::prepare_folder(options_);
  for (const char* name : picture_splits) {
    Split split;
    split.name = name;
    if (options_.layout == PictureLayout::shards) {
      split.shards = std::make_unique<ShardWriter>(options_.out, name, options_.samples_per_shard);
    }
    splits_.push_back(std::move(split));
  }
}

PictureSetWriter::~PictureSetWriter() = default;

void PictureSetWriter::add(const CaptionedPicture& picture) {
  using import_writer::Json, import_writer::text_of;
  const auto split = std::find_if(splits_.begin(), splits_.end(), [&](const Split& s) { return s.name == picture.split; });
  if (split == splits_.end() || picture.captions.empty()) fail("the picture ", picture.key, " has no split or no caption");
  const std::string image = picture.key + ".png";

  Json json = {{"captions", picture.captions}};
  if (!picture.class_name.empty()) json["class"] = picture.class_name;
  Json questions = Json::array();
  for (const auto& question : picture.questions) {
    questions.push_back({{"question_id", question.id}, {"type", question.type}, {"question", question.question}, {"answer", question.answer}});
    split->questions.push_back(text_of({{"question_id", question.id}, {"question", question.question}, {"image", image},
                                        {"dataset", "vqa"}, {"answer", std::vector<std::string>(10, question.answer)}}));
    ++split->question_types[question.type];
  }
  if (!questions.empty()) json["questions"] = std::move(questions);
  for (const auto& [name, value] : picture.details.items()) json[name] = value;

  std::vector<std::pair<std::string, std::string>> members = {
      {"png", picture.png}, {"txt", picture.captions[0]}, {"json", text_of(json)}};
  if (!picture.class_name.empty()) {
    const auto at = std::lower_bound(classes_.begin(), classes_.end(), picture.class_name);
    if (at == classes_.end() || *at != picture.class_name) fail("the class '", picture.class_name, "' is not among the classes of the set");
    members.emplace_back("cls", std::to_string(at - classes_.begin()));
    ++split->labelled;
    ++split->classes[picture.class_name];
  }
  if (split->shards) {
    if (!split->by_key.emplace(picture.key, std::move(members)).second) fail("two pictures have the key ", picture.key);
  } else {
    write_file_atomically(options_.out / "images" / image, picture.png);
    Json line = {{"image", image}};
    line.update(json);
    split->samples.push_back(text_of(line));
  }
  for (size_t i = 0; i < picture.phrases.size(); ++i) {
    const auto& [text, box] = picture.phrases[i];
    split->phrases.push_back(text_of({{"image", image}, {"text", text}, {"ref_id", concat(picture.key, "_", i)}, {"box", box}}));
  }
  split->captions.push_back(text_of({{"image", image}, {"caption", picture.captions}, {"image_id", picture.key}}));
  split->caption_count += static_cast<int64_t>(picture.captions.size());
  ++split->images;
}

nlohmann::ordered_json PictureSetWriter::finish(nlohmann::ordered_json manifest) {
  using import_writer::Json;
  std::string names;
  for (const auto& name : classes_) names += name + "\n";
  write_file_atomically(options_.out / "classes.txt", names);

  Json counts = Json::object(), classes = Json::object();
  for (const auto& name : classes_) classes[name] = Json::array();
  for (auto& split : splits_) {
    if (split.shards) {
      for (const auto& [key, members] : split.by_key) split.shards->add(key, members);
      split.by_key.clear();
      split.shards->finish();
    } else {
      std::string lines;
      for (const auto& line : split.samples) lines += line + "\n";
      write_file_atomically(options_.out / ("samples_" + split.name + ".jsonl"), lines);
    }
    import_writer::write_list(options_.out / ("captions_" + split.name + ".json"), split.captions);
    import_writer::write_list(options_.out / ("vqa_" + split.name + ".json"), split.questions);
    if (!split.phrases.empty()) import_writer::write_list(options_.out / ("grounding_" + split.name + ".json"), split.phrases);
    counts[split.name] = {{"images", split.images}, {"captions", split.caption_count}, {"labelled", split.labelled},
                          {"questions", split.questions.size()}, {"question_types", split.question_types}};
    for (const auto& name : classes_) classes[name].push_back(split.classes[name]);
  }
  manifest["counts"] = std::move(counts);
  manifest["classes"] = std::move(classes);  // pictures in train, val, test
  write_file_atomically(options_.out / "manifest.json", import_writer::text_of(manifest, 2) + "\n");
  return manifest;
}

nlohmann::ordered_json find_finished_set(const std::filesystem::path& out, const nlohmann::ordered_json& request) {
  const auto file = out / "manifest.json";
  if (!std::filesystem::is_regular_file(file)) return nullptr;
  auto manifest = nlohmann::ordered_json::parse(read_file(file), nullptr, false);
  return manifest.is_object() && manifest.contains("request") && manifest["request"] == request ? manifest : nlohmann::ordered_json();
}

}  // namespace vlm
