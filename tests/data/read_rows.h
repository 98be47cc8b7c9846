#pragma once
/// What a source makes of a small file.

#include <string>
#include <vector>

#include "data/make_data.h"
#include "vlm/core/error.h"
#include "vlm/data/skips.h"
#include "vlm/data/source.h"

namespace vlm::test {

using Texts = std::vector<std::string>;

struct Rows {
  std::vector<Sample> samples;  ///< those that can be used, without pictures
  Texts skipped;                ///< "reason=count" in byte order
  Texts places;                 ///< messages of those that cannot
};

inline Rows read_rows(SourceOptions options, bool with_pictures = false) {
  options.write_index = false;
  const auto source = open_source(options);
  Rows rows;
  SkipCounter skips(source->name());
  const auto skip = [&](const SampleError& error) {
    skips.skip(error);
    rows.places.push_back(error.what());
  };
  for (const auto& problem : source->problems()) skip(problem);
  for (int64_t n = 0; n < source->size(); ++n) {
    try {
      rows.samples.push_back(with_pictures ? source->read_number(n) : source->describe_number(n));
    } catch (const SampleError& error) {
      skip(error);
    }
  }
  rows.skipped = skips.counts();
  return rows;
}

/// Options for a file with this content; the type is found out.
inline SourceOptions file_with(const TemporaryFolder& folder, const std::string& name, const std::string& content) {
  write_bytes(folder / name, content);
  SourceOptions options;
  options.path = (folder / name).string();
  return options;
}

/// The message of the error that opening ends with; "" if it opens.
inline std::string refusal(const SourceOptions& options) {
  try {
    read_rows(options);
  } catch (const SampleError&) {
    throw;
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace vlm::test
