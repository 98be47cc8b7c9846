#pragma once
/// Which data formats there are, and how one is told from its names and contents.

#include <string>
#include <vector>

#include "vlm/data/source_options.h"

namespace vlm {

/// Values of SourceOptions::type besides "auto".
std::vector<std::string> source_types();

/// The type of what lies at options.path:
///
///   folder      webdataset if a tar is found in it first; image_text_dir if a picture has a .txt beside it; else
///   image_folder .tsv        csv if its first line names the columns csv_img_key and csv_caption_key, else ofa_tsv .csv csv
///   .json       by its keys: coco_captions, coco_karpathy, vqav2, refcoco, nlvr2, albef_ve, albef_vqa, albef_grounding or
///               albef_list; JSON lines with gold_label are snli_ve
///   .jsonl      snli_ve
///   else        webdataset
///
/// Throws a usage error for JSON that is none of these, for a pickle and for Parquet (with the two ways out), each saying
/// what would help.
std::string detect_source_type(const SourceOptions& options);

}  // namespace vlm
