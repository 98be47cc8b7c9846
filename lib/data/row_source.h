#pragma once
/// Data sets that are rows of one file (or of a folder) with pictures beside them: what all of them share. Rows are cut into
/// virtual shards of 1000 (specs: data, 8.2).

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "vlm/data/shard_pictures.h"
#include "vlm/data/source.h"

namespace vlm {

class RowSource : public Source {
 public:
  static constexpr int64_t shard_rows = 1000;

  std::string shard_name(int64_t shard) const override;
  Sample read(int64_t shard, int64_t index) const override;
  Sample describe(int64_t shard, int64_t index) const override;

 protected:
  /// `file`: the annotation file, or the folder. Throws a usage error if there is nothing at `file`.
  RowSource(const SourceOptions& options, std::filesystem::path file);
  /// Called once by the constructor of the format.
  void set_rows(int64_t rows);
  /// The rows from `first` on are those of `file`; for formats that join several.
  void begin_file(int64_t first, const std::filesystem::path& file);
  const std::filesystem::path& file_of(int64_t row) const;
  /// "file: row 12", for errors.
  std::string place_of(int64_t row) const;

  /// What the row says; images have names. Throws a SampleError if it cannot be used. Any number of threads.
  virtual Sample row(int64_t number) const = 0;
  /// The folder that a picture's name is relative to. sample.number is set.
  virtual std::filesystem::path root_of(const Sample& sample) const;
  /// Fills in the bytes of a row's pictures: from files below root_of(), or, where image_root names tars or there are tars
  /// in that folder, from the members of that name.
  void load_pictures(Sample& sample) const;

  std::filesystem::path root_;  ///< image_root; if that is empty, each file's folder

 private:
  std::string load_picture(const std::filesystem::path& root, const std::string& name, const std::string& place) const;
  const ShardPictures* pictures_in(const std::filesystem::path& folder) const;

  std::vector<std::pair<int64_t, std::filesystem::path>> files_;  ///< with their first rows
  IndexFiles index_files_;
  std::unique_ptr<ShardPictures> pictures_;                                         ///< of an image_root that names tars
  mutable std::mutex mutex_;                                                        ///< guards what follows
  mutable std::map<std::filesystem::path, std::unique_ptr<ShardPictures>> beside_;  ///< by folder; null: it holds no tars
};

/// Rows that are kept in memory, packed to about the size of their text.
class StoredRows : public RowSource {
 protected:
  using RowSource::RowSource;
  void add(const Sample& sample);
  /// A row that keeps its place but cannot be used.
  void add_bad(const std::string& reason, const std::string& detail = "");
  int64_t rows() const { return static_cast<int64_t>(starts_.size()); }
  /// Something wrong that is no row of its own.
  void add_problem(const std::string& reason, const std::string& place, const std::string& detail = "");
  Sample row(int64_t number) const override;

 private:
  std::string packed_;
  std::vector<uint64_t> starts_;
};

/// A picture's file. Throws a SampleError "bad_image" that names `place` if it is missing, no regular file, or above 1 GiB.
std::string read_picture_file(const std::filesystem::path& file, const std::string& place);
/// A row's number as a key: eight digits, so that keys sort as rows do.
std::string row_key(int64_t row);

}  // namespace vlm
