#include "vlm/data/video_file.h"

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/io/program.h"

namespace vlm {

namespace video_file {

namespace fs = std::filesystem;

/// Names that begin with a dash or look like a protocol are files all the same.
std::string address_of(const fs::path& file) { return "file:" + fs::absolute(file).string(); }

ProgramOutput run(const fs::path& file, const std::vector<std::string>& words) {
  if (!fs::exists(file)) fail_usage("no such video: ", file.string());
  auto result = run_program(words);
  if (!result) {
    fail_usage("to read the video ", file.string(), " the program ", words[0], " is needed, which is not installed (Debian: apt-get install ffmpeg); "
               "or give a folder of its frames");
  }
  if (result->code != 0) {
    const std::string complaint = result->complaint();
    fail(file.string(), " cannot be read as a video: ", complaint.empty() ? concat(words[0], " ended with code ", result->code) : complaint);
  }
  return *std::move(result);
}

uint32_t big_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

/// Where the PNG file that begins at `begin` ends; npos if it is cut off.
size_t end_of_png(const std::string& bytes, size_t begin) {
  constexpr size_t signature = 8, around = 12;  // a chunk's length, name and checksum
  size_t at = begin + signature;
  while (at + around <= bytes.size()) {
    const size_t next = at + around + big_endian(bytes, at);
    if (next > bytes.size()) return std::string::npos;
    if (bytes.compare(at + 4, 4, "IEND") == 0) return next;
    at = next;
  }
  return std::string::npos;
}

}  // namespace video_file

int64_t count_video_frames(const std::filesystem::path& file) {
  using namespace video_file;
  const std::string printed = run(file, {"ffprobe", "-v", "error", "-protocol_whitelist", "file", "-select_streams", "v:0", "-count_frames", "-show_entries",
                                         "stream=nb_read_frames", "-of", "default=nokey=1:noprint_wrappers=1", address_of(file)})
                                  .out;
  int64_t count = 0;
  for (size_t i = 0; i < printed.size() && printed[i] >= '0' && printed[i] <= '9' && i < 15; ++i) count = 10 * count + (printed[i] - '0');
  if (count == 0) fail(file.string(), " has no frames of a video");
  return count;
}

std::vector<std::string> read_video_frames(const std::filesystem::path& file, const std::vector<int64_t>& indices) {
  using namespace video_file;
  std::vector<std::string> wanted;
  for (const int64_t index : indices) wanted.push_back(concat("eq(n\\,", index, ")"));
  const std::string bytes = run(file, {"ffmpeg", "-v", "error", "-nostdin", "-protocol_whitelist", "file", "-i", address_of(file), "-map", "0:v:0", "-vf",
                                       "select=" + join(wanted, "+"), "-fps_mode", "passthrough", "-f", "image2pipe", "-c:v", "png", "-pix_fmt", "rgb24", "pipe:1"})
                                .out;
  std::vector<std::string> out;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = end_of_png(bytes, at);
    if (end == std::string::npos) break;
    out.push_back(bytes.substr(at, end - at));
    at = end;
  }
  if (out.size() != indices.size()) fail(file.string(), ": ", indices.size(), " frames were asked for, and ", out.size(), " came");
  return out;
}

}  // namespace vlm
