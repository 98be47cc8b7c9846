#pragma once
/// What caption, vqa, ground and their like have in common: pictures and mostly a text go in, and for each picture (and text) comes
/// a line, or an entry of JSON.

#include <array>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "model_options.h"
#include "output.h"

namespace vlm::apps {

/// A result: `values` behind {"picture": …} in JSON; `line` for people, behind the picture's name where there are several results.
struct TaskResult {
  size_t picture = 0;  ///< row of the batch
  nlohmann::ordered_json values;
  std::string line;
};

struct PictureTask {
  ModelFlags model;
  std::vector<std::string> arguments;  ///< pictures; the last one may be a text
  std::vector<std::string> texts;      ///< of an option that takes the place of the last argument
  std::string out;
  int64_t frames = 0;                  ///< more than 0: the arguments are videos, of which so many frames are looked at
  std::string label = "pictures";      ///< of the progress bar

  /// The model's flags, the pictures and --out. `what` describes the positional arguments.
  void add_to(CLI::App& command, const std::string& what, int64_t batch = 8, bool required = true);
  /// The same with a text: "NAME" is the option that may be given in place of the last argument, several times.
  void add_text_to(CLI::App& command, const std::string& name, const std::string& what);
  /// --frames.
  void add_frames_to(CLI::App& command);
  /// Moves the last argument into `texts` unless the option was given. `how`: an example of the right use.
  void take_text(const std::string& how);

  std::vector<std::filesystem::path> files() const;
  /// Runs over the pictures in batches; broken ones are warned of and left out. Prints, writes --out, and ends the command with
  /// code 1 if a picture was left out.
  using Each = std::function<std::vector<TaskResult>(const PictureBatch&)>;
  void run(const TextPipeline& pipeline, const std::vector<std::filesystem::path>& files, const Each& each) const;
  /// The same output for results that are about no picture.
  void print(const std::vector<TaskResult>& results) const;
};

/// One result a picture and text, in the order pictures, texts: calls `each(rows of the batch, their texts)`, which returns a
/// result for each row.
std::vector<TaskResult> for_each_text(const PictureBatch& batch, const std::vector<std::string>& texts,
                                      const std::function<std::vector<TaskResult>(const std::vector<std::string>&)>& each);

/// Two to four digits behind the point, for people.
std::string rounded(double value, int digits = 2);
/// Corners with two digits behind the point.
nlohmann::ordered_json box_json(const std::array<float, 4>& box);
/// "x0,y0,x1,y1" in pixels. Throws a usage error that shows how a region is written.
std::array<float, 4> parse_region(const std::string& text);

}  // namespace vlm::apps
