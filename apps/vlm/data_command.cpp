#include "data_command.h"

#include "vlm/data/source_formats.h"

namespace vlm::apps {

void DataFlags::add_to(CLI::App& command, std::string* destination) {
  command
      .add_option("data", path,
                  "Tars (file, pattern, folder; several joined by '::'), a folder of class folders or of pictures with "
                  "texts, a .csv or .tsv, or a list in .json or .jsonl")
      ->required();
  if (destination) command.add_option("out", *destination, "Folder to write")->required();
  command.add_option(
      "overrides", overrides,
      "How to read it, as data.caption_key=json.title (keys: those of data.train in vlm pretrain --print-recipe)");
  command
      .add_option("--type", type, "What it is, if its name and content do not tell: webdataset, coco_captions, ofa_tsv ...")
      ->capture_default_str();
  command.add_option("--split", split, "A part of it, where its file says which is which: train, val, testA ...");
  command.add_option("--image-root", image_root,
                     "Folder, or tars, that the pictures' paths are relative to (default: the folder of the file)");
  command.add_option("--threads", threads, "0: one for each core")->check(CLI::Range(0, 256));
  command.add_flag("--strict", strict, "End at the first sample that cannot be used");
  command.add_flag("--json", json, "Print JSON");
}

SourceOptions DataFlags::options() const {
  Config config = Config::parse("{}", "command line");
  config.override_with(overrides);
  struct Data {
    SourceOptions data;
    void fields(Fields& f) { f.field("data", data, "the data set"); }
  } parsed;
  config.read(parsed);
  SourceOptions& data = parsed.data;
  data.path = path;
  if (type != "auto") data.type = type;
  if (!split.empty()) data.split = split;
  if (!image_root.empty()) data.image_root = image_root;
  return data;
}

std::string DataFlags::detected_type() const {
  const SourceOptions data = options();
  return data.type == "auto" ? detect_source_type(data) : data.type;
}

}  // namespace vlm::apps
