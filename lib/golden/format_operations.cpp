// Kinds of the data formats (specs: data, sections 3 to 7).

#include <ATen/ops/tensor.h>

#include <functional>
#include <map>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/image.h"
#include "vlm/data/ofa_tsv.h"
#include "vlm/data/skips.h"
#include "vlm/data/source.h"
#include "vlm/golden/case.h"
#include "vlm/text/caption_cleaning.h"

namespace vlm::golden {

namespace format_operations {

using Json = nlohmann::json;

/// The samples of a case's file, read as a run would; what cannot be used is counted.
struct Reading {
  std::vector<Sample> samples;
  std::vector<Json> sizes;  ///< [width, height] of the pictures, where they were decoded
  std::vector<std::string> skipped;
};

/// A parameter that names one file or several.
std::string files_of(const Case& c, const std::string& name) {
  const Json& value = c.params.at(name);
  std::vector<std::string> parts;
  if (value.is_array()) {
    for (const auto& part : value) parts.push_back(c.file(part.get<std::string>()).string());
  } else {
    parts.push_back(c.file(value.get<std::string>()).string());
  }
  return join(parts, "::");
}

SourceOptions options_of(const Case& c, const std::string& type, const std::string& path_param) {
  SourceOptions options;
  options.type = type;
  options.path = files_of(c, path_param);
  options.write_index = false;
  return options;
}

Reading read_all(const SourceOptions& options, bool decode) {
  const auto source = open_source(options);
  SkipCounter skips(source->name());
  for (const auto& problem : source->problems()) skips.skip(problem);
  Reading reading;
  for (int64_t n = 0; n < source->size(); ++n) {
    try {
      Sample sample = decode ? source->read_number(n) : source->describe_number(n);
      if (decode) {
        try {
          const Image image = decode_image(sample.images.at(0).bytes, source->decode_options());
          reading.sizes.push_back({image.width, image.height});
        } catch (const Error& error) {
          throw SampleError("bad_image", sample.place(), error.what());
        }
      }
      reading.samples.push_back(std::move(sample));
    } catch (const SampleError& error) {
      skips.skip(error);
    }
  }
  reading.skipped = skips.counts();
  return reading;
}

/// out.samples as `describe` writes them, and out.skipped.
Result results(const Case& c, const Reading& reading, const std::function<Json(const Sample&, size_t)>& describe) {
  auto samples = Json::array();
  for (size_t i = 0; i < reading.samples.size(); ++i) samples.push_back(describe(reading.samples[i], i).dump());
  Result result;
  result.set_strings("out.samples", samples);
  if (c.wants("out.skipped")) result.set_strings("out.skipped", reading.skipped);
  return result;
}

Result ofa_tsv(const Case& c) {
  SourceOptions options = options_of(c, "ofa_tsv", "file");
  options.selected_cols = c.params.at("columns").get<std::string>();
  options.tsv_roles = join(c.params.at("roles").get<std::vector<std::string>>(), ",");
  const Reading reading = read_all(options, true);
  return results(c, reading, [&](const Sample& sample, size_t i) {
    Json out = {{"size", reading.sizes[i]}};
    if (sample.meta.contains("id")) out["id"] = sample.meta["id"];
    if (!sample.captions.empty()) out["text"] = sample.captions[0];
    if (sample.box) out["box"] = *sample.box;
    return out;
  });
}

Result ofa_tsv_slices(const Case& c) {
  const auto rows = c.params.at("rows").get<int64_t>(), world = c.params.at("world_size").get<int64_t>();
  std::vector<int64_t> values;
  for (int64_t rank = 0; rank < world; ++rank) {
    const TsvSlice slice = ofa_slice(rows, world, rank);
    values.insert(values.end(), {slice.start, slice.count});
  }
  Result result;
  result.set("out.start_count", at::tensor(values, at::kLong).reshape({world, 2}));
  return result;
}

Result ofa_vqa_field(const Case& c) {
  auto parsed = Json::array();
  std::vector<std::string> answers;
  std::vector<float> weights;
  for (const auto& field : c.in_strings("fields")) {
    const WeightedAnswers all = parse_ofa_answers(field);
    Json object = Json::object();
    for (size_t i = 0; i < all.answers.size(); ++i) object[all.answers[i]] = all.weights[i];
    parsed.push_back(object.dump());
    answers.push_back(all.answers[all.best()]);
    weights.push_back(static_cast<float>(all.weights[all.best()]));
  }
  Result result;
  result.set_strings("out.parsed", parsed);
  result.set_strings("out.answer", answers);
  result.set("out.weight", at::tensor(weights));
  return result;
}

Json with_image_id(const Sample& sample) {
  return {{"image", sample.images.at(0).name}, {"image_id", sample.meta.at("image_id")}, {"captions", sample.captions}};
}

Result coco_captions(const Case& c) {
  return results(c, read_all(options_of(c, "coco_captions", "file"), false),
                 [](const Sample& sample, size_t) { return with_image_id(sample); });
}

Result coco_karpathy(const Case& c) {
  SourceOptions options = options_of(c, "coco_karpathy", "file");
  options.restval = c.param("restval", options.restval);
  const Reading reading = read_all(options, false);
  std::map<std::string, Json> splits = {{"train", Json::array()}, {"val", Json::array()}, {"test", Json::array()}};
  for (const auto& sample : reading.samples)
    splits.at(sample.meta.at("split").get<std::string>()).push_back(with_image_id(sample).dump());
  Result result;
  for (const auto& [split, samples] : splits) result.set_strings("out." + split, samples);
  result.set_strings("out.skipped", reading.skipped);
  return result;
}

Result albef_list(const Case& c) {
  return results(c, read_all(options_of(c, "albef_list", "file"), false), [](const Sample& sample, size_t) {
    return Json{
        {"image", sample.images.at(0).name}, {"captions", sample.captions}, {"image_index", sample.image_index.value()}};
  });
}

Result csv(const Case& c) {
  SourceOptions options = options_of(c, "csv", "file");
  options.csv_separator = c.param("separator", options.csv_separator);
  options.csv_img_key = c.param("img_key", options.csv_img_key);
  options.csv_caption_key = c.param("caption_key", options.csv_caption_key);
  return results(c, read_all(options, false), [](const Sample& sample, size_t) {
    return Json{{"image", sample.images.at(0).name}, {"captions", sample.captions}};
  });
}

Result image_text_dir(const Case& c) {
  const Reading reading = read_all(options_of(c, "image_text_dir", "root"), true);
  return results(c, reading, [&](const Sample& sample, size_t i) {
    return Json{{"image", sample.images.at(0).name}, {"captions", sample.captions}, {"size", reading.sizes[i]}};
  });
}

Result vqav2(const Case& c) {
  SourceOptions options = options_of(c, "vqav2", "questions");
  if (!c.param("annotations", std::string()).empty()) options.annotations = c.file(c.params["annotations"]).string();
  options.image_template = c.param("image_template", options.image_template);
  return results(c, read_all(options, false), [](const Sample& sample, size_t) {
    return Json{{"question_id", sample.meta.at("question_id")},
                {"question", sample.question},
                {"image", sample.images.at(0).name},
                {"answers", sample.answers},
                {"counts", sample.counts}};
  });
}

Result albef_vqa(const Case& c) {
  const auto eos = c.param("eos", std::string("[SEP]"));
  const auto words = c.param("max_ques_words", int64_t(30));
  std::vector<std::string> questions;
  auto answers = Json::array();
  std::vector<float> weights;
  for (const auto& sample : read_all(options_of(c, "albef_vqa", "file"), false).samples) {
    questions.push_back(albef_question(sample.question, words));
    auto list = Json::array();
    for (const auto& answer : sample.answers) list.push_back(answer + eos);
    answers.push_back(list);
    for (const double weight : sample.weights) weights.push_back(static_cast<float>(weight));
  }
  Result result;
  result.set_strings("out.questions", questions);
  result.set_strings("out.answers", answers);
  result.set("out.weights", at::tensor(weights));
  return result;
}

Result snli_ve(const Case& c) {
  return results(c, read_all(options_of(c, "snli_ve", "file"), false), [](const Sample& sample, size_t) {
    return Json{{"image", sample.images.at(0).name},
                {"label", sample.label.value()},
                {"premise", sample.meta.at("premise")},
                {"hypothesis", sample.captions.at(0)}};
  });
}

Result albef_ve(const Case& c) {
  const auto words = c.param("max_words", int64_t(30));
  return results(c, read_all(options_of(c, "albef_ve", "file"), false), [&](const Sample& sample, size_t) {
    return Json{{"image", sample.images.at(0).name},
                {"label", sample.label.value()},
                {"text", albef_caption(sample.captions.at(0), words)}};
  });
}

Result refcoco(const Case& c) {
  SourceOptions options = options_of(c, "refcoco", "refs");
  options.instances = c.file(c.params.at("instances")).string();
  return results(c, read_all(options, false), [](const Sample& sample, size_t) {
    const Json& meta = sample.meta;
    return Json{{"image", sample.images.at(0).name},
                {"ref_id", meta.at("ref_id")},
                {"sent_id", meta.at("sent_id")},
                {"split", meta.at("split")},
                {"size", {meta.at("width"), meta.at("height")}},
                {"text", sample.captions.at(0)},
                {"box", sample.box.value()}};
  });
}

Result nlvr2(const Case& c) {
  const auto words = c.param("max_words", int64_t(30));
  return results(c, read_all(options_of(c, "nlvr2", "file"), false), [&](const Sample& sample, size_t) {
    return Json{{"images", {sample.images.at(0).name, sample.images.at(1).name}},
                {"label", sample.label.value()},
                {"text", albef_caption(sample.captions.at(0), words)}};
  });
}

Result text_clean(const Case& c) {
  const auto words = c.param("max_words", int64_t(30));
  const std::map<std::string, std::string (*)(std::string_view, int64_t)> rules = {
      {"albef_caption", albef_caption},
      {"albef_question", albef_question},
      {"ofa_caption", ofa_caption},
      {"ofa_question", ofa_question},
      {"ofa_target_caption", ofa_target_caption}};
  Result result;
  for (const auto& [name, clean] : rules) {
    std::vector<std::string> out;
    for (const auto& text : c.in_strings("texts")) out.push_back(clean(text, words));
    result.set_strings("out." + name, out);
  }
  return result;
}

}  // namespace format_operations

void add_format_operations(Operations& operations) {
  operations["data.ofa_tsv"] = format_operations::ofa_tsv;
  operations["data.ofa_tsv_slices"] = format_operations::ofa_tsv_slices;
  operations["data.ofa_vqa_field"] = format_operations::ofa_vqa_field;
  operations["data.coco_captions"] = format_operations::coco_captions;
  operations["data.coco_karpathy"] = format_operations::coco_karpathy;
  operations["data.albef_list"] = format_operations::albef_list;
  operations["data.csv"] = format_operations::csv;
  operations["data.image_text_dir"] = format_operations::image_text_dir;
  operations["data.vqav2"] = format_operations::vqav2;
  operations["data.albef_vqa"] = format_operations::albef_vqa;
  operations["data.snli_ve"] = format_operations::snli_ve;
  operations["data.albef_ve"] = format_operations::albef_ve;
  operations["data.refcoco"] = format_operations::refcoco;
  operations["data.nlvr2"] = format_operations::nlvr2;
  operations["data.text_clean"] = format_operations::text_clean;
}

}  // namespace vlm::golden
