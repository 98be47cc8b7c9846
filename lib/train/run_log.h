#pragma once
/// What a run says about itself while it trains.
///
///   RUN/metrics.jsonl   one JSON object a line:
///     a step        {"step": 12, "epoch": 0, "loss": 5.1, "losses": {"contrastive": 5.1}, "lr": 1e-4, …}
///     an evaluation {"step": 36, "epoch": 1, "eval": "validation", "metrics": {"mean_recall": 0.1, …}, "report": {…}}
///   RUN/tensorboard     the same numbers for TensorBoard: `loss`, `loss/NAME`, `lr`, …, `eval/NAME`
///
/// Every line is on its way to the disk before the call returns. A full disk is no reason to stop training: lines that cannot be
/// written are kept and written when that is possible again, which a warning says. `vlm report RUN…` makes a page of it all.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <set>
#include <string>
#include <string>
#include <utility>

namespace vlm {

class EventFile;

struct RunLogOptions {
  bool tensorboard = true;
};

class RunLog {
 public:
  /// Goes on behind step `from_step`: lines of later steps are dropped, as is what a killed process left half written. 0: a
  /// new run, of which nothing is kept. Throws an Error if the folder cannot be written.
  RunLog(const std::filesystem::path& run, int64_t from_step, const RunLogOptions& options = {});
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// `entry` has a "step". Its numbers are scalars of TensorBoard, those of an object ("losses") under the object's name
  /// ("loss/…" for "losses"). A "time" (seconds since 1970) is added where there is none.
  void step(const nlohmann::ordered_json& entry);
  /// `entry` has "step", "eval" (a name) and "metrics". Left out if an evaluation of that name and step is there already: it
  /// was made before the run was interrupted. Tags are eval/METRIC, and eval/NAME/METRIC for a name other than "validation".
  void evaluation(const nlohmann::ordered_json& entry);
  /// A text (Markdown) for TensorBoard: the recipe, an example.
  void text(const std::string& tag, int64_t step, const std::string& markdown);

 private:
  void write(nlohmann::ordered_json entry);
  bool write_kept();
  /// TensorBoard's file ends where it cannot be written: what comes after half a record cannot be read.
  void to_events(const std::function<void(EventFile&)>& write);

  std::filesystem::path file_;
  int descriptor_ = -1;
  int64_t size_ = 0;       ///< bytes of whole lines in the file
  std::string kept_;       ///< lines that are not in the file yet
  int64_t dropped_ = 0;    ///< lines that there was no room for in memory either
  bool warned_ = false;
  std::set<std::pair<int64_t, std::string>> evaluated_;
  std::unique_ptr<EventFile> events_;
};

}  // namespace vlm
