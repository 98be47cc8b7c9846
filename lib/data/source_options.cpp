#include "vlm/data/source_options.h"

#include "vlm/core/error.h"

namespace vlm {

void SourceOptions::fields(Fields& f) {
  f.field(
      "path", path,
      "one tar, a brace pattern, a .txt list, a folder of tars, of class folders or of pictures with texts, a .csv, .tsv, "
      ".json or .jsonl file; several tars or ALBEF lists joined by '::'");
  f.field("type", type,
          "auto, webdataset, image_folder, image_text_dir, csv, ofa_tsv, coco_captions, coco_karpathy, albef_list, vqav2, "
          "albef_vqa, snli_ve, albef_ve, nlvr2, refcoco or albef_grounding");
  f.field("name", name, "what messages call the data set (default: its path)");
  f.field("split", split, "part of the set that is read, where its file says which is which (train, val, test, testA …)");
  f.field("image_root", image_root,
          "folder that paths of pictures are relative to, or tars with members of these names (default: the folder of the "
          "annotation file)");
  f.field("image_key", image_key,
          "extension of the picture's member; alternatives in order, separated by ';'; empty: none is read");
  f.field("caption_key", caption_key,
          "extension of the caption's member or json.FIELD; alternatives separated by ';'; empty: none is read");
  f.field("captions_field", captions_field, "field of the json member that lists all captions; training draws one of them");
  f.field("upsampling_factors", upsampling_factors, "weights of the '::' parts, as 1::2.5; only with resampled order");
  f.field("csv_separator", csv_separator, "csv: one character between fields");
  f.field("csv_img_key", csv_img_key, "csv: column of the picture's path");
  f.field("csv_caption_key", csv_caption_key, "csv: column of the caption");
  f.field("tsv_task", tsv_task,
          "ofa_tsv: what the columns are for: caption, refcoco, vqa_gen, snli_ve, image_classify or pretrain");
  f.field("selected_cols", selected_cols, "ofa_tsv: numbers of the columns from 0, as 0,4,2 (default: those of the task)");
  f.field("tsv_roles", tsv_roles, "ofa_tsv: roles of these columns, as id,image,text (default: those of the task)");
  f.field("tsv_references", tsv_references, "ofa_tsv: the caption column of an evaluation file, references joined by '&&'");
  f.field("restval", restval, "coco_karpathy: the split that restval counts as: train, val, or drop");
  f.field("annotations", annotations, "vqav2: the file with the answers; none for test questions");
  f.field("image_template", image_template,
          "vqav2: name of the picture with {:012d} for its number (default: as the file's data_subtype says)");
  f.field("vqa_root", vqa_root, "albef_vqa: folder of the pictures of the vqa rows (default: image_root)");
  f.field("vg_root", vg_root, "albef_vqa: folder of the pictures of the vg rows (default: image_root)");
  f.field("gqa_root", gqa_root, "albef_vqa: folder of the pictures of the gqa rows (default: image_root)");
  f.field("instances", instances, "refcoco: the file with boxes and pictures (default: instances.json beside the refs)");
  f.field("classnames", classnames, "image_folder: file with one class name a line, in the order of the class folders");
  f.field("alpha", alpha, "what becomes of transparency: drop, white or black");
  f.field("truncated_images", truncated_images, "accept a JPEG that ends early, the rest grey");
  f.field("max_image_pixels", max_image_pixels, "larger pictures are skipped before they are decoded");
  f.field("cache_dir", cache_dir,
          "where indexes of shards go if there is no room beside them (default: the user's cache folder)");
  f.field("write_index", write_index, "keep the indexes of shards in files, so that opening again is fast");
}

DecodeOptions SourceOptions::decode_options() const {
  DecodeOptions decode;
  if (alpha == "drop") {
    decode.alpha = Alpha::drop;
  } else if (alpha == "white") {
    decode.alpha = Alpha::white;
  } else if (alpha == "black") {
    decode.alpha = Alpha::black;
  } else {
    fail_usage("alpha is drop, white or black, not '", alpha, "'");
  }
  decode.max_pixels = max_image_pixels;
  decode.truncated = truncated_images;
  return decode;
}

}  // namespace vlm
