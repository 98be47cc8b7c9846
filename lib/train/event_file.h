#pragma once
/// A file that TensorBoard reads: events as protocol buffers (tensorflow/core/util/event.proto, summary.proto), framed as
/// TFRecords:
///
///   length   uint64, little endian
///   check    uint32, masked CRC-32C of the eight bytes before
///   event    `length` bytes
///   check    uint32, masked CRC-32C of the event
///
/// where the mask of a checksum c is (c rotated right by 15 bits) + 0xa282ead8.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vlm {

class EventFile {
 public:
  /// Begins FOLDER/events.out.tfevents.TIME.HOST.PID.N, which sorts behind the ones that are there. The first event makes
  /// TensorBoard forget all points of earlier files whose step is `first_step` or more. Throws an Error if it cannot be written.
  EventFile(const std::filesystem::path& folder, int64_t first_step);
  /// Numbers of one step by their tags ("loss/contrastive"). NaN and infinity are drawn as what they are.
  void scalars(int64_t step, const std::vector<std::pair<std::string, double>>& values);
  /// Markdown for TensorBoard's page of texts.
  void text(int64_t step, const std::string& tag, const std::string& markdown);
  const std::filesystem::path& file() const { return file_; }

 private:
  void write(const std::string& event);

  std::filesystem::path file_;
  std::ofstream out_;
};

/// The checksum as TFRecord files hold it.
uint32_t masked_crc32c(std::string_view bytes);

}  // namespace vlm
