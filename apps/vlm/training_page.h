#pragma once
/// The page of `vlm report RUN…`: curves, numbers, configurations and examples of training runs in one file that needs
/// nothing from outside.

#include <string>
#include <vector>

#include "vlm/train/run_record.h"

namespace vlm::apps {

struct TrainingPageOptions {
  std::string title = "Training runs", note;
  size_t points = 1500;  ///< at most so many of a curve; longer ones are thinned out
};

std::string training_page(const std::vector<RunRecord>& runs, const TrainingPageOptions& options = {});

/// The style and the script of the page.
extern const char* const training_page_style;
extern const char* const training_page_script;

}  // namespace vlm::apps
