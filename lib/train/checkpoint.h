#pragma once
/// Checkpoints of a run: folders that are model folders too, with what training needs beside the weights.
///
///   RUN/checkpoints/step-00000450/   open_clip_config.json, open_clip_model.safetensors, tokenizer.model,
///                                    optimizer.safetensors, trainer.json, cursor.json
///   RUN/checkpoints/latest           a link to the newest one

#include <filesystem>
#include <functional>
#include <string>

namespace vlm {

/// Writes a checkpoint: `fill` puts the files into the folder it is given, which then gets its name and becomes the latest;
/// older ones beyond `keep` are removed. A kill at any moment leaves the earlier checkpoints as they were.
void write_checkpoint(const std::filesystem::path& run, int64_t step, int keep, const std::function<void(const std::filesystem::path&)>& fill);

/// The newest complete checkpoint of a run, or an empty path.
std::filesystem::path latest_checkpoint(const std::filesystem::path& run);

/// The folder that `--resume` names: "auto" (the newest, if there is one), "none" (an empty path), or a path, which must be a
/// checkpoint or a run with one.
std::filesystem::path checkpoint_to_resume(const std::filesystem::path& run, const std::string& resume);

}  // namespace vlm
