#pragma once
/// The pictures of a command: files that the user names, and the pictures of a data set.

#include "model_options.h"
#include "vlm/data/source.h"

#include <functional>
#include <map>
#include <optional>

namespace vlm::apps {

/// Names of data sets' pictures are "PATH#NUMBER:KEY": the data set as the user wrote it, the sample's place in it, its key.
struct PictureInput {
  std::vector<std::string> arguments;  ///< pictures, folders, patterns; with `data`, also data.KEY=VALUE
  std::string data;
  int64_t frames = 0;                  ///< more than 0: the arguments are videos, of which so many frames are looked at

  /// The positional `pictures` and --data.
  void add_to(CLI::App& command, const std::string& what);
  void add_data_to(CLI::App& command);
  void add_frames_to(CLI::App& command);
  /// Pictures or a data set are named (keys of a data set alone are neither).
  bool given() const;
  std::vector<std::string> pictures() const;
  /// Nothing without --data.
  std::unique_ptr<Source> open_data() const;
};

struct EmbedCounts {
  int64_t embedded = 0, failed = 0, passed_over = 0;
};

/// Embeds the pictures batch by batch with a progress bar. Those whose names `want` refuses are passed over without being read
/// (it is asked once for each, in order). A picture or video that cannot be used is a warning.
EmbedCounts embed_pictures(const DualEncoderPipeline& pipeline, const ModelFlags& flags, const PictureInput& input,
                           const std::function<bool(const std::string&)>& want,
                           const std::function<void(const Tensor&, const std::vector<std::string>&)>& keep);

/// Finds pictures again by the names that embed_pictures() gave them.
class PictureFinder {
 public:
  explicit PictureFinder(const PictureInput& input) : data_(input.data), source_(input.open_data()) {}
  /// Nothing if the picture is not there any more, or no regular file. Pictures of a data set are found in the one that
  /// `input` names.
  std::optional<Picture> find(const std::string& name) const;

 private:
  std::string data_;
  std::unique_ptr<Source> source_;
};

/// --frames.
void add_frames_option(CLI::App& command, int64_t& frames);

/// "DATA#NUMBER:KEY".
std::string sample_name(const std::string& data, int64_t number, const std::string& key);

}  // namespace vlm::apps
