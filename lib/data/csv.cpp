#include "vlm/data/csv.h"

#include <algorithm>

#include "vlm/core/strings.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace csv {

constexpr uint64_t longest_record = uint64_t(64) << 20;

char separator_of(const std::string& text) {
  if (text == "\\t") return '\t';
  if (text.size() != 1 || text[0] == '"' || text[0] == '\n' || text[0] == '\r')
    fail_usage("csv_separator is one character other than a quote or a line end, not '", text, "'");
  return text[0];
}

size_t column_of(const std::vector<std::string>& header, const std::string& name, const char* option,
                 const std::string& file) {
  const auto it = std::find(header.begin(), header.end(), name);
  if (it == header.end()) {
    fail_usage(file, ": there is no column '", name, "'", did_you_mean(name, header),
               "; the header names: ", join(header, ", "), ". Set ", option,
               " (and csv_separator, if the header looks wrong)");
  }
  return static_cast<size_t>(it - header.begin());
}

}  // namespace csv

std::vector<std::string> parse_csv_record(std::string_view record, char separator) {
  std::vector<std::string> fields(1);
  for (size_t at = 0; at < record.size();) {
    if (record[at] == '"') {
      for (++at; at < record.size(); ++at) {
        if (record[at] != '"') {
          fields.back() += record[at];
        } else if (at + 1 < record.size() && record[at + 1] == '"') {
          fields.back() += record[at++];
        } else {
          ++at;
          break;
        }
      }
    }
    // What stands between a closing quote and the separator belongs to the field, too.
    const size_t end = std::min(record.find(separator, at), record.size());
    fields.back() += record.substr(at, end - at);
    at = end;
    if (at < record.size()) {
      fields.emplace_back();
      ++at;
    }
  }
  return fields;
}

std::vector<CsvRecord> find_csv_records(const RandomBytes& bytes, char separator) {
  std::vector<CsvRecord> records;
  std::string chunk(std::min<uint64_t>(1 << 20, bytes.size()), '\0');
  CsvRecord current{0, 0, 1};
  int64_t line = 1;
  bool field_start = true, quoted = false, closed = false;
  char last = 0;
  const auto end_record = [&](uint64_t end, bool return_before) {
    current.size = end - current.offset - (return_before && end > current.offset ? 1 : 0);
    if (current.size > 0) records.push_back(current);
  };
  uint64_t at = 0;
  while (at < bytes.size()) {
    const size_t got = bytes.read_at(at, chunk.data(), chunk.size());
    if (got == 0) break;
    size_t i = 0;
    if (at == 0 && starts_with(std::string_view(chunk).substr(0, got), "\xef\xbb\xbf")) current.offset = i = 3;
    for (; i < got; ++i) {
      const char c = chunk[i];
      if (c == '\n') ++line;
      const bool was_quoted = quoted;
      if (quoted) {
        if (c == '"') quoted = false;
      } else if (c == '"' && (field_start || closed)) {
        // A doubled quote closes and opens again.
        quoted = true;
      } else if (c == '\n') {
        end_record(at + i, last == '\r');
        current = {at + i + 1, 0, line};
      }
      closed = was_quoted && !quoted;
      field_start = !was_quoted && !quoted && (c == separator || c == '\n');
      last = c;
    }
    at += got;
  }
  end_record(at, false);
  return records;
}

CsvSource::CsvSource(const SourceOptions& options)
    : RowSource(options, options.path),
      separator_(csv::separator_of(options.csv_separator)),
      bytes_(open_file_bytes(options.path)),
      records_(find_csv_records(*bytes_, separator_)) {
  if (records_.empty()) fail(options.path, " is empty: not even a header row");
  const auto header = parse_csv_record(record(0), separator_);
  image_column_ = csv::column_of(header, options.csv_img_key, "csv_img_key", options.path);
  caption_column_ = csv::column_of(header, options.csv_caption_key, "csv_caption_key", options.path);
  set_rows(static_cast<int64_t>(records_.size()) - 1);
}

std::string CsvSource::record(size_t i) const {
  const CsvRecord& place = records_[i];
  if (place.size > csv::longest_record) {
    throw SampleError("bad_row", concat(file_of(0).string(), ": line ", place.line),
                      concat("a record of ", place.size, " bytes; a quote may not be closed"));
  }
  std::string text(place.size, '\0');
  if (bytes_->read_at(place.offset, text.data(), text.size()) != text.size())
    fail(file_of(0).string(), " has become shorter since it was opened");
  return text;
}

Sample CsvSource::row(int64_t number) const {
  const auto i = static_cast<size_t>(number) + 1;
  const std::string place = concat(file_of(0).string(), ": line ", records_[i].line);
  auto fields = parse_csv_record(record(i), separator_);
  if (fields.size() <= std::max(image_column_, caption_column_))
    throw SampleError("bad_row", place, concat(fields.size(), " fields are too few"));
  if (strip(fields[image_column_]).empty()) throw SampleError("bad_row", place, "the field of the picture is empty");
  if (!valid_utf8(fields[caption_column_])) throw SampleError("bad_text", place, "the caption is not UTF-8");
  Sample sample;
  sample.key = row_key(number);
  sample.captions.emplace_back(strip(fields[caption_column_]));
  if (sample.captions[0].empty()) throw SampleError("no_caption", place);
  sample.images.push_back({std::move(fields[image_column_]), ""});
  return sample;
}

}  // namespace vlm
