#pragma once
/// Tables with a header row, as open_clip reads them: a column of pictures' paths and one of captions (specs: data, section
/// 4).

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vlm/data/row_source.h"
#include "vlm/data/tar_reader.h"

namespace vlm {

/// One record by RFC 4180: fields between separators, quoted ones may hold separators, line ends and doubled quotes.
/// `record` has no line end after it.
std::vector<std::string> parse_csv_record(std::string_view record, char separator);

/// Where the records of a table lie: a line end inside quotes is none.
struct CsvRecord {
  uint64_t offset = 0, size = 0;  ///< without the line end
  int64_t line = 0;               ///< the first one, from 1
};

/// All records but the wholly empty ones; a byte-order mark is passed over.
std::vector<CsvRecord> find_csv_records(const RandomBytes& bytes, char separator);

class CsvSource : public RowSource {
 public:
  /// Throws a usage error if the header lacks a column that is asked for, or the separator is not one character.
  explicit CsvSource(const SourceOptions& options);

 protected:
  Sample row(int64_t number) const override;

 private:
  std::string record(size_t i) const;

  char separator_;
  std::unique_ptr<RandomBytes> bytes_;
  std::vector<CsvRecord> records_;  ///< the header first
  size_t image_column_ = 0, caption_column_ = 0;
};

}  // namespace vlm
