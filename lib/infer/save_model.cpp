#include "vlm/infer/save_model.h"

#include <nlohmann/json.hpp>

#include "vlm/core/error.h"
#include "vlm/infer/preprocess_files.h"
#include "vlm/infer/tokenizer_files.h"
#include "vlm/io/atomic_file.h"
#include "vlm/models/model_folder.h"

namespace vlm {

namespace save_model {

/// The longest text, which tokenizer_config.json states.
int64_t text_length(const Model& model) {
  if (const auto* encoder = dynamic_cast<const DualEncoder*>(&model)) return encoder->context_length();
  return 512;
}

}  // namespace save_model

std::vector<std::string> save_model_folder(const std::filesystem::path& folder, const Model& model, const PreprocessOptions& preprocess,
                                           const std::filesystem::path& tokenizer) {
  std::vector<std::string> notes;
  const std::string layout = layout_for(model);
  if (layout == "hf") {
    save_hf_folder(folder, model, to_hf_preprocessor(preprocess, model.family(), notes));
  } else if (layout == "fairseq") {
    save_fairseq_folder(folder, model, to_open_clip_preprocess(preprocess, notes));
  } else {
    save_open_clip_folder(folder, model, to_open_clip_preprocess(preprocess, notes));
  }
  if (tokenizer.empty()) return notes;
  const auto files = tokenizer_files_for(tokenizer, layout, save_model::text_length(model));
  if (files.empty()) fail(tokenizer.string(), " holds no files of a tokenizer that could be written beside the model");
  for (const auto& file : files) write_file_atomically(folder / file.name, file.content);
  return notes;
}

}  // namespace vlm
