#pragma once
/// OFA between HF's layout and fairseq's (specs: ofa, 2.7 and 3).

#include "vlm/infer/convert.h"
#include "vlm/models/model_source.h"

namespace vlm {

/// As convert_model(), for a source that is an OFA; options.to is "hf" or "fairseq".
///
///   hf:       config.json, model.safetensors with the copies of the tied embeddings, vocab.json, merges.txt, added_tokens.json
///   fairseq:  checkpoint.pt with "args" and "model", encoder.json, vocab.bpe, dict.txt
ConvertReport convert_ofa(const ModelSource& source, const std::filesystem::path& target, const ConvertOptions& options);

}  // namespace vlm
