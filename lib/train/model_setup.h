#pragma once
/// The model of a run: made anew or taken from a folder, with its tokenizer and preprocessing, and what of it is trained.

#include <filesystem>
#include <memory>
#include <vector>

#include "vlm/data/transforms.h"
#include "vlm/models/interfaces.h"
#include "vlm/text/tokenizer.h"
#include "vlm/train/recipe.h"

namespace vlm {

struct ModelSetup {
  std::shared_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::filesystem::path tokenizer_path;   ///< file or folder it was read from
  std::vector<NamedTensor> trained;       ///< parameters that are not frozen; the others need no gradient
  PreprocessOptions preprocess;
};

/// Throws an Error or a usage error that names the key of the recipe that does not fit.
ModelSetup set_up_model(const Recipe& recipe);

/// The weights become ordinary memory: the file that they were mapped from may go.
void detach_from_files(const Model& model);

}  // namespace vlm
