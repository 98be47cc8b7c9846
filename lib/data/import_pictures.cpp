#include "vlm/data/import_pictures.h"

#include <algorithm>
#include <deque>
#include <set>
#include <thread>

#include "vlm/core/error.h"
#include "vlm/core/progress.h"
#include "vlm/core/strings.h"
#include "vlm/core/thread_pool.h"
#include "vlm/data/import_pixels.h"
#include "vlm/data/import_text.h"
#include "vlm/io/atomic_file.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace import_pictures_detail {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

struct Package {
  std::vector<std::string> names;
  const char *installed, *pictures, *texts, *license;  ///< pictures, texts: folders below the root
};

const Package& package_of(PictureSource source) {
  static const Package tuxpaint = {{"tuxpaint-stamps-default"}, "/usr/share/tuxpaint/stamps", "", "",
                                   "GPL-2: the pictures are by Bill Kendrick and contributors; a set that holds them falls "
                                   "under the GPL-2 when it is passed on"};
  static const Package openclipart = {{"openclipart-png", "openclipart-svg"}, "/usr/share/openclipart", "png", "svg",
                                      "public domain: dedicated by the author of each picture"};
  return source == PictureSource::tuxpaint ? tuxpaint : openclipart;
}

/// The version of an installed Debian package; empty where dpkg does not know it.
std::string installed_version(const std::string& package) {
  const fs::path status = "/var/lib/dpkg/status";
  if (!fs::is_regular_file(status)) return {};
  const std::string text = "\n" + read_file(status);
  const size_t begin = text.find("\nPackage: " + package + "\n");
  if (begin == std::string::npos) return {};
  const std::string paragraph = text.substr(begin, text.find("\n\n", begin) - begin) + "\n";
  const std::string field = "\nVersion: ";
  const size_t version = paragraph.find(field);
  if (version == std::string::npos || paragraph.find("\nStatus: install ok installed\n") == std::string::npos) return {};
  return paragraph.substr(version + field.size(), paragraph.find('\n', version + 1) - version - field.size());
}

/// A file that stands for itself or is skipped before it is opened.
struct Candidate {
  std::string path, stem;  ///< relative to the root of the pictures
  std::string skipped;
};

bool is_excluded(std::string_view stem, bool with_stars) {
  for (const std::string_view prefix : {"recreation/games/cards/cardbacks/", "shapes/stars/star_", "special/examples/",
                                        "special/gradients/", "unsorted/duplicates/"}) {
    if (starts_with(stem, prefix)) return !(with_stars && prefix == "shapes/stars/star_");
  }
  return false;
}

struct Found {
  std::vector<Candidate> pictures;  ///< by the bytes of the relative path
  std::vector<std::string> svg_only;
  int64_t regular = 0;
};

Found find_pictures(const ImportOptions& options, const fs::path& root) {
  Found found;
  std::vector<std::string> drawings;
  std::set<std::string> stems;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    const std::string path = entry.path().lexically_relative(root).generic_string();
    if (!entry.is_symlink() && !entry.is_regular_file()) continue;
    if (ends_with(path, ".png")) {
      Candidate candidate{path, path.substr(0, path.size() - 4), ""};
      stems.insert(candidate.stem);
      const bool clipart = options.source == PictureSource::openclipart;
      if (entry.is_symlink()) {
        candidate.skipped = "symlink";
      } else {
        ++found.regular;
        if (clipart && is_excluded(candidate.stem, options.with_stars)) candidate.skipped = "excluded";
      }
      found.pictures.push_back(std::move(candidate));
    } else if (ends_with(path, ".svg")) {
      drawings.push_back(path);
    }
  }
  const auto by_path = [](const Candidate& a, const Candidate& b) { return a.path < b.path; };
  std::sort(found.pictures.begin(), found.pictures.end(), by_path);
  if (options.source == PictureSource::tuxpaint) {
    std::sort(drawings.begin(), drawings.end());
    for (const auto& path : drawings) {
      if (!stems.count(path.substr(0, path.size() - 4))) found.svg_only.push_back(path);
    }
  }
  return found;
}

PictureText failed_text(const char* reason) {
  PictureText text;
  text.skipped = reason;
  return text;
}

PictureText read_text(const ImportOptions& options, const fs::path& texts, const std::string& stem) {
  constexpr uintmax_t largest = 64 << 20;
  if (options.source == PictureSource::tuxpaint) {
    const fs::path file = texts / (stem + ".txt");
    return fs::is_regular_file(file) ? tuxpaint_text(read_file(file, largest)) : failed_text("no_text");
  }
  if (const int points = star_points(stem); points > 0 && options.with_stars) return star_text(points);
  const fs::path file = texts / (stem + ".svg");
  if (!fs::is_regular_file(file)) return failed_text("no_svg");
  std::optional<SvgMetadata> metadata;
  try {
    metadata = read_svg_metadata(read_file(file, largest));
  } catch (const Error&) {
    return failed_text("bad_xml");
  }
  if (!metadata) return failed_text("no_metadata");
  // An XML file with bytes that are no characters of its encoding is not well-formed.
  std::string all = metadata->title + metadata->description + metadata->language + join(metadata->keywords, "");
  if (!valid_utf8(all)) return failed_text("bad_xml");
  return openclipart_text(stem, *metadata, {options.all_languages});
}

struct Imported {
  PictureText text;
  PreparedPicture picture;
};

Imported read_picture(const ImportOptions& options, const fs::path& pictures, const fs::path& texts,
                      const Candidate& candidate, PixelBudget& budget) {
  Imported imported;
  imported.text = read_text(options, texts, candidate.stem);
  if (!imported.text.skipped.empty()) return imported;
  std::string bytes;
  try {
    bytes = read_file(pictures / candidate.path);
  } catch (const Error&) {
    imported.picture.skipped = "bad_image";
    return imported;
  }
  imported.picture = prepare_picture(bytes, budget);
  return imported;
}

CaptionedPicture captioned(const ImportOptions& options, const Candidate& candidate, Imported imported) {
  CaptionedPicture out;
  uint64_t number = 0;
  out.key = picture_key(options.source, candidate.stem, &number);
  out.split = picture_split(options.source, candidate.stem);
  out.class_name = picture_class(options.source, candidate.stem);
  out.questions = picture_questions(out.key, number, imported.text, out.class_name, picture_classes(options.source));
  out.png = std::move(imported.picture.png);
  out.captions = std::move(imported.text.captions);
  out.details = {{"source", source_name(options.source)}, {"path", candidate.path}, {"origin", imported.text.origin},
                 {"width", imported.picture.width}, {"height", imported.picture.height}};
  if (!imported.text.translations.empty()) out.details["translations"] = imported.text.translations;
  return out;
}

/// Results in the order of submission, with a bounded number of pictures under way.
class OrderedReader {
 public:
  OrderedReader(const ImportOptions& options, fs::path pictures, fs::path texts, const std::vector<Candidate>& candidates, int threads)
      : options_(options), pictures_(std::move(pictures)), texts_(std::move(texts)), candidates_(candidates), pool_(threads) {}

  Imported read(size_t index) {
    const size_t most_waiting = 16 * static_cast<size_t>(pool_.size());
    for (; submitted_ < candidates_.size() && waiting_.size() < most_waiting; ++submitted_) {
      if (!candidates_[submitted_].skipped.empty()) continue;
      waiting_.push_back(pool_.submit([this, &candidate = candidates_[submitted_]] {
        return with_context(candidate.path, [&] { return read_picture(options_, pictures_, texts_, candidate, budget_); });
      }));
      order_.push_back(submitted_);
    }
    if (order_.empty() || order_.front() != index) fail("pictures are read in order only");
    Imported imported = waiting_.front().get();
    waiting_.pop_front();
    order_.pop_front();
    return imported;
  }

 private:
  const ImportOptions& options_;
  fs::path pictures_, texts_;
  const std::vector<Candidate>& candidates_;
  PixelBudget budget_{128'000'000};
  size_t submitted_ = 0;
  std::deque<std::future<Imported>> waiting_;
  std::deque<size_t> order_;
  ThreadPool pool_;  // last: its threads end before what they use
};

fs::path checked_root(const ImportOptions& options) {
  const Package& package = package_of(options.source);
  const fs::path root = options.root.empty() ? fs::path(package.installed) : options.root;
  const std::string install = "install it with: apt install " + join(package.names, " ") + " (or unpack the .deb files and give --root)";
  for (const char* part : {"", package.pictures, package.texts}) {
    if (!fs::is_directory(root / part)) {
      fail_usage("there is no folder ", (*part ? root / part : root).string(), ", where ", source_name(options.source),
                 " has its pictures; ", install);
    }
  }
  return root;
}

}  // namespace import_pictures_detail

ImportReport import_pictures(const ImportOptions& options) {
  using namespace import_pictures_detail;
  const Package& package = package_of(options.source);
  if (options.source == PictureSource::tuxpaint && (options.with_stars || options.all_languages)) {
    fail_usage("--with-stars and --all-languages are for openclipart; tuxpaint has no stars, and its other languages are kept as translations");
  }
  const fs::path root = checked_root(options);
  const Json request = {{"source", source_name(options.source)}, {"root", fs::canonical(root).string()},
                        {"layout", layout_name(options.layout)}, {"with_stars", options.with_stars},
                        {"all_languages", options.all_languages}};
  ImportReport report;
  report.manifest = options.force ? Json() : find_finished_set(options.out, request);
  if (!report.manifest.is_null()) {
    report.already_done = true;
    return report;
  }

  const fs::path pictures = root / package.pictures;
  const Found found = with_context(pictures.string(), [&] { return find_pictures(options, pictures); });
  if (found.regular == 0) {
    fail_usage("there are no PNG files below ", pictures.string(), ": is this the folder of ", package.names[0], "?");
  }
  PictureSetWriter writer({options.out, options.layout, 500, options.force}, picture_classes(options.source));
  const int processors = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  OrderedReader reader(options, pictures, root / package.texts, found.pictures, options.threads > 0 ? options.threads : processors);
  Progress progress(concat("import ", source_name(options.source)), static_cast<int64_t>(found.pictures.size()), "pictures");

  std::map<std::string, int64_t> skipped, origins;
  std::string skipped_lines;
  const auto skip = [&](const std::string& path, const std::string& reason) {
    ++skipped[reason];
    skipped_lines += Json({{"path", path}, {"reason", reason}}).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  };
  std::set<PixelDigest> seen;
  int64_t kept = 0;
  for (size_t i = 0; i < found.pictures.size(); ++i) {
    const Candidate& candidate = found.pictures[i];
    std::string reason = candidate.skipped;
    if (reason.empty()) {
      Imported imported = reader.read(i);
      reason = imported.text.skipped.empty() ? imported.picture.skipped : imported.text.skipped;
      if (reason.empty() && !seen.insert(imported.picture.digest).second) reason = "duplicate";
      if (reason.empty()) {
        ++origins[imported.text.origin];
        ++kept;
        writer.add(captioned(options, candidate, std::move(imported)));
      }
    }
    if (!reason.empty()) skip(candidate.path, reason);
    progress.update(static_cast<int64_t>(i + 1));
  }
  for (const auto& path : found.svg_only) skip(path, "svg_only");
  progress.finish();
  write_file_atomically(options.out / "skipped.jsonl", skipped_lines);

  // An unpacked package somewhere else says nothing of its version.
  const bool installed = starts_with(fs::canonical(root).string(), package.installed);
  Json packages = Json::object();
  for (const auto& name : package.names) {
    const std::string version = installed ? installed_version(name) : std::string();
    packages[name] = version.empty() ? Json() : Json(version);
  }
  report.manifest = writer.finish({{"request", request}, {"packages", packages}, {"license", package.license},
                                   {"looked_at", found.regular}, {"kept", kept}, {"skipped", skipped}, {"origins", origins}});
  return report;
}

}  // namespace vlm
