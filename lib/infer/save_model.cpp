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

void write_tokenizer(const std::filesystem::path& folder, const std::filesystem::path& tokenizer, const std::string& layout, const Model& model) {
  if (tokenizer.empty()) return;
  const auto files = tokenizer_files_for(tokenizer, layout, text_length(model));
  if (files.empty()) fail(tokenizer.string(), " holds no files of a tokenizer that could be written beside the model");
  for (const auto& file : files) write_file_atomically(folder / file.name, file.content);
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
  save_model::write_tokenizer(folder, tokenizer, layout, model);
  return notes;
}

std::vector<std::string> save_adapter_folder(const std::filesystem::path& folder, const Model& model, const AdapterInfo& info,
                                             const PreprocessOptions& preprocess, const std::filesystem::path& tokenizer) {
  std::vector<std::string> notes;
  save_adapter(folder, model, info);
  write_file_atomically(folder / "preprocessor_config.json", to_hf_preprocessor(preprocess, model.family(), notes).dump(2) + "\n");
  save_model::write_tokenizer(folder, tokenizer, "hf", model);
  return notes;
}

}  // namespace vlm
