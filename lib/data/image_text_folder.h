#pragma once
/// Pictures with a .txt of the same name beside them, one caption a line (specs: data, section 4).

#include <string>
#include <vector>

#include "vlm/data/row_source.h"

namespace vlm {

/// Every picture below the folder, in byte order of its path; a text without a picture is one of problems() ("no_image").
class ImageTextFolderSource : public RowSource {
 public:
  explicit ImageTextFolderSource(const SourceOptions& options);

 protected:
  Sample row(int64_t number) const override;

 private:
  std::filesystem::path folder_;
  std::vector<std::string> pictures_;  ///< relative to the folder
};

/// Captions out of the content of such a file: its lines with something besides white space, stripped.
std::vector<std::string> caption_lines(std::string_view content);

}  // namespace vlm
