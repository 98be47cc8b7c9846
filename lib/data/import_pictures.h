#pragma once
/// Pictures that ship with Debian, as a captioned, labelled set with questions (specs: real-data).
/// tuxpaint: package tuxpaint-stamps-default; openclipart: packages openclipart-png and openclipart-svg.

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "vlm/data/import_classes.h"
#include "vlm/data/import_writer.h"

namespace vlm {

struct ImportOptions {
  PictureSource source = PictureSource::tuxpaint;
  std::filesystem::path root;  ///< the unpacked package's folder; empty: where the package installs it
  std::filesystem::path out;
  PictureLayout layout = PictureLayout::shards;
  bool with_stars = false;     ///< openclipart: also its 1375 star polygons, which only counting can tell apart
  bool all_languages = false;  ///< openclipart: also pictures whose text is not English
  bool force = false;          ///< replace a set that is already in `out`
  int threads = 0;             ///< 0: one for each processor
};

struct ImportReport {
  bool already_done = false;        ///< the same import was there and was left as it is
  nlohmann::ordered_json manifest;  ///< as written
};

/// Reads, captions and writes; shows progress. Throws a usage error if the root is not there (naming the package that
/// brings it) or `out` holds something else.
ImportReport import_pictures(const ImportOptions& options);

}  // namespace vlm
