#include "vlm/data/source_formats.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/csv.h"
#include "vlm/data/image_folder.h"
#include "vlm/data/json_items.h"

namespace vlm {

namespace fs = std::filesystem;

namespace source_formats {

/// Goes by the first file that tells; whole data sets are not searched.
std::string type_of_folder(const fs::path& folder) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".tar") return "webdataset";
  }
  std::error_code error;
  const auto has_text = [&](fs::path picture) { return fs::is_regular_file(picture.replace_extension(".txt"), error); };
  int pictures = 0;
  bool in_folders = false;
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink)) {
    if (entry.path().extension() == ".tar") return "webdataset";
    if (!is_picture_name(entry.path())) continue;
    if (has_text(entry.path())) return "image_text_dir";
    in_folders = in_folders || entry.path().parent_path() != folder;
    // Some pictures may lack their text, so a few are looked at.
    if (++pictures >= 20 && in_folders) break;
  }
  if (pictures == 0) return "webdataset";
  return in_folders ? "image_folder" : "image_text_dir";
}

std::string first_line(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string line(1 << 16, '\0');
  in.read(line.data(), static_cast<std::streamsize>(line.size()));
  line.resize(static_cast<size_t>(std::max<std::streamsize>(in.gcount(), 0)));
  line.resize(std::min(line.find('\n'), line.size()));
  if (!line.empty() && line.back() == '\r') line.pop_back();
  if (starts_with(line, "\xef\xbb\xbf")) line.erase(0, 3);
  return line;
}

bool has_csv_header(const SourceOptions& options) {
  const char separator =
      options.csv_separator == "\\t" || options.csv_separator.size() != 1 ? '\t' : options.csv_separator[0];
  const auto header = parse_csv_record(first_line(options.path), separator);
  const auto names = [&](const std::string& name) { return std::find(header.begin(), header.end(), name) != header.end(); };
  return names(options.csv_img_key) && names(options.csv_caption_key);
}

/// "" if no rule fits.
std::string type_of_object(const JsonShape& shape) {
  const auto& lists = shape.first_items;
  if (lists.count("questions")) return "vqav2";
  if (shape.has("images", "sentences")) return "coco_karpathy";
  if (shape.has("annotations", "caption")) return "coco_captions";
  return "";
}

std::string type_of_list(const JsonShape& shape) {
  if (shape.has("ann_id") && shape.has("sentences")) return "refcoco";
  if (shape.has("images") && shape.has("sentence")) return "nlvr2";
  if (shape.has("sentence") && shape.has("label")) return "albef_ve";
  if (shape.has("question") && shape.has("image")) return "albef_vqa";
  if (shape.has("text") && shape.has("ref_id")) return "albef_grounding";
  if (shape.has("caption") && shape.has("image")) return "albef_list";
  return "";
}

std::string type_of_json(const std::string& path) {
  const JsonShape shape = read_json_shape(path, [](const JsonShape& so_far) { return !type_of_object(so_far).empty(); });
  const auto has_key = [&](const char* key) {
    return std::find(shape.keys.begin(), shape.keys.end(), key) != shape.keys.end();
  };
  std::string type = shape.list ? type_of_list(shape) : type_of_object(shape);
  if (type.empty() && has_key("gold_label")) type = "snli_ve";
  if (!type.empty()) return type;
  if (shape.has("annotations", "answers"))
    fail_usage(path, " holds the answers of VQAv2; give the questions file as the path, and this one as annotations");
  if (shape.has("annotations", "bbox"))
    fail_usage(path, " holds the boxes of COCO; give the refs file as the path, and this one as instances");
  fail_usage(path, ": its keys are those of no known list (", join(shape.list ? shape.item_keys : shape.keys, ", "),
             "); set type to what it is: ", join(source_types(), ", "));
}

}  // namespace source_formats

std::vector<std::string> source_types() {
  return {"webdataset",    "image_folder",  "image_text_dir", "csv",     "ofa_tsv",
          "coco_captions", "coco_karpathy", "albef_list",     "vqav2",   "albef_vqa",
          "snli_ve",       "albef_ve",      "nlvr2",          "refcoco", "albef_grounding"};
}

std::string detect_source_type(const SourceOptions& options) {
  std::error_code error;
  if (fs::is_directory(options.path, error)) return source_formats::type_of_folder(options.path);
  // Of several parts the first tells.
  const std::string first = split(options.path, "::")[0];
  const std::string ext = ascii_lower(fs::path(first).extension().string());
  if (ext == ".parquet") {
    fail_usage(options.path,
               ": Parquet is not read; let img2dataset write webdataset shards (output_format=webdataset), or export the "
               "table to CSV");
  }
  if (ext == ".p" || ext == ".pkl" || ext == ".pickle") {
    fail_usage(options.path,
               ": Python pickles are not read, since they can run code; convert the refs to JSON once (specs: data, "
               "section 6.1)");
  }
  if ((ext == ".json" || ext == ".jsonl" || ext == ".csv" || ext == ".tsv") && !fs::exists(first, error))
    fail_usage("there is no ", first);
  if (ext == ".tsv") {
    SourceOptions one = options;
    one.path = first;
    return source_formats::has_csv_header(one) ? "csv" : "ofa_tsv";
  }
  if (ext == ".csv") return "csv";
  if (ext == ".jsonl") return "snli_ve";
  if (ext == ".json") return source_formats::type_of_json(first);
  return "webdataset";
}

}  // namespace vlm
