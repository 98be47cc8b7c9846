#pragma once
/// Pictures in one folder a class, as ImageNet is laid out: root/<class>/**/picture (specs: data, section 6).

#include <filesystem>
#include <string>
#include <vector>

#include "vlm/data/source.h"

namespace vlm {

/// Classes are the folders below the root in byte order, numbered from 0; pictures (.jpg .jpeg .png .webp, any case) come in
/// byte order of their path within the class. Pictures of no class are problems() ("stray_file"). Virtual shards of 1000.
class ImageFolderSource : public Source {
 public:
  /// Throws a usage error if there is no such folder, no class in it, or if `classnames` names another number of classes.
  explicit ImageFolderSource(const SourceOptions& options);

  std::string shard_name(int64_t shard) const override;
  Sample read(int64_t shard, int64_t index) const override;
  /// The classes' folders, in order; class_names() has names to show.
  const std::vector<std::string>& class_folders() const { return class_folders_; }

  static constexpr int64_t shard_rows = 1000;

 private:
  std::filesystem::path root_;
  std::vector<std::string> class_folders_;
  std::vector<std::string> pictures_;  ///< relative to the root
  std::vector<int64_t> class_ends_;    ///< number of the first picture after each class
};

/// True for names of pictures.
bool is_picture_name(const std::filesystem::path& file);

}  // namespace vlm
