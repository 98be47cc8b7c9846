// Any bytes as a table: OFA's TSV with all of its columns, open_clip's CSV, and the index of lines. What is read is
// consistent, or a sample or the file is refused.

#include <algorithm>
#include <cstdlib>
#include <string>

#include "memory_file.h"
#include "vlm/core/error.h"
#include "vlm/data/csv.h"
#include "vlm/data/line_index.h"
#include "vlm/data/source.h"

namespace vlm::fuzz {

void read_all(const vlm::SourceOptions& options) {
  try {
    const auto source = vlm::open_source(options);
    for (int64_t n = 0; n < std::min<int64_t>(source->size(), 300); ++n) {
      try {
        const vlm::Sample sample = options.type == "csv" ? source->describe_number(n) : source->read_number(n);
        if (sample.number != n || sample.key.empty() || sample.answers.size() != sample.weights.size()) std::abort();
        if (sample.box && !((*sample.box)[2] > (*sample.box)[0] && (*sample.box)[3] > (*sample.box)[1])) std::abort();
        for (const auto& caption : sample.captions) {
          if (caption.empty()) std::abort();
        }
      } catch (const vlm::SampleError&) {
      }
    }
  } catch (const vlm::Error&) {
  }
}

}  // namespace vlm::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const vlm::fuzz::MemoryFile memory(data, size);
  vlm::SourceOptions options;
  options.path = memory.path().string();
  options.write_index = false;
  options.type = "ofa_tsv";
  for (const char* task : {"caption", "refcoco", "vqa_gen", "snli_ve", "pretrain"}) {
    options.tsv_task = task;
    // Short rows reach the checks behind the number of columns only with small numbers.
    if (std::string(task) == "refcoco") options.selected_cols = "0,2,1,3";
    vlm::fuzz::read_all(options);
    options.selected_cols = "";
  }
  options.tsv_references = true;
  options.selected_cols = "0,2,1";
  options.tsv_task = "caption";
  vlm::fuzz::read_all(options);
  options.type = "csv";
  vlm::fuzz::read_all(options);
  options.csv_separator = ",";
  vlm::fuzz::read_all(options);

  const vlm::LineFile lines(memory.path());
  uint64_t length = 0;
  for (int64_t i = 0; i < lines.size(); ++i) length += lines.line(i).size();
  if (length > size) std::abort();
  const auto bytes = vlm::memory_bytes(std::string(reinterpret_cast<const char*>(data), size));
  uint64_t end = 0;
  for (const auto& record : vlm::find_csv_records(*bytes, ',')) {
    if (record.offset < end || record.size == 0 || record.size > size - record.offset) std::abort();
    end = record.offset + record.size;
  }
  return 0;
}
