#pragma once
/// The flags of commands that write text.

#include "command.h"
#include "vlm/infer/generate.h"

namespace vlm::apps {

/// Adds --beam, --max-new-tokens and their like; the values that `options` holds are shown as defaults.
void add_generate_flags(CLI::App& command, GenerateOptions& options);

}  // namespace vlm::apps
