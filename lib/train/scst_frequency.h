#pragma once
/// The n-gram frequencies that self-critical training weighs by.

#include <optional>
#include <string>

#include "vlm/eval/caption_frequency.h"

namespace vlm {

/// What objective.options.document_frequency means: a file of frequencies, or "corpus", those of each batch: nullopt. A usage error, which
/// says the command that makes the file, if there is none or it was counted in sentences of the other objective.
std::optional<DocumentFrequency> scst_frequency(const std::string& option, CaptionSentences sentences);

}  // namespace vlm
