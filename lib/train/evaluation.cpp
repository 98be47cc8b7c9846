#include "vlm/train/evaluation.h"

#include <ATen/core/Tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/data/answer_set.h"
#include "vlm/data/subset_source.h"
#include "vlm/eval/generation_protocols.h"
#include "vlm/eval/instruction_protocols.h"
#include "vlm/eval/protocols.h"
#include "vlm/io/atomic_file.h"
#include "vlm/train/thumbnail.h"

namespace vlm {

namespace evaluation {

using Json = nlohmann::ordered_json;

/// What an evaluation is made of.
struct Task {
  std::shared_ptr<Model> model;
  std::shared_ptr<const Tokenizer> tokenizer;
  const PreprocessOptions& preprocess;
  const Source& source;
  const EvaluationOptions& options;

  PipelineOptions pipeline_options() const { return PipelineOptions{.batch_size = options.batch_size}; }
  TextPipeline text_pipeline() const { return TextPipeline(model, tokenizer, preprocess, pipeline_options()); }
  DualEncoderPipeline dual_encoder() const { return DualEncoderPipeline(model, tokenizer, preprocess, pipeline_options()); }
  GenerateOptions generate(GenerateOptions usual) const {
    usual.beams = options.beams;
    usual.max_new_tokens = options.max_tokens;
    return usual;
  }

  /// Which of `count` results are kept: spread over them, the same ones at every evaluation.
  std::vector<size_t> kept(size_t count) const {
    const size_t most = std::min(count, static_cast<size_t>(std::max<int64_t>(0, options.samples)));
    std::vector<size_t> out;
    for (size_t i = 0; i < most; ++i) out.push_back(i * count / most);
    return out;
  }
  Json example(const std::string& key, int64_t number) const {
    Json out = {{"key", key}};
    if (std::string data = thumbnail(source, number); !data.empty()) out["thumbnail"] = std::move(data);
    return out;
  }
};

std::string percent_of(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

EvaluationResult retrieval(const Task& task) {
  const DualEncoderPipeline pipeline = task.dual_encoder();
  const c10::InferenceMode inference;
  const RetrievalOptions options{.merge_equal_texts = task.options.merge_equal_texts, .progress = false};
  SkipCounter skips(task.source.name());
  const EmbeddedSet set = embed_set(pipeline, task.source, options, skips);
  RetrievalReport report = evaluate_retrieval(pipeline, set, options);
  report.skipped = skips.skipped();

  EvaluationResult out;
  for (const auto& [k, share] : report.recall.image_to_text) out.metrics[concat("image_to_text_recall@", k)] = share;
  for (const auto& [k, share] : report.recall.text_to_image) out.metrics[concat("text_to_image_recall@", k)] = share;
  out.metrics["mean_recall"] = report.recall.mean;
  out.main_metric = "mean_recall";
  const auto last = *report.recall.image_to_text.rbegin();
  out.headline = concat("R@", last.first, " image to text ", percent_of(last.second), ", text to image ",
                        percent_of(report.recall.text_to_image.at(last.first)), " (chance ", percent_of(report.chance.image_to_text.at(last.first)), ")");
  out.report = report.to_json();
  for (const size_t row : task.kept(set.keys.size())) {
    const auto& own = set.relevant[row];
    Json example = task.example(set.keys[row], set.numbers[row]);
    example["caption"] = set.texts[static_cast<size_t>(own.at(0))];
    const Tensor scores = pipeline.logits(set.images.slice(0, static_cast<int64_t>(row), static_cast<int64_t>(row) + 1), set.text_vectors)[0];  // [T]
    const Tensor best = std::get<1>(scores.topk(std::min<int64_t>(3, scores.size(0))));
    for (int64_t k = 0; k < best.size(0); ++k) {
      const auto text = best[k].item<int64_t>();
      example["found"].push_back({{"text", set.texts[static_cast<size_t>(text)]}, {"right", std::find(own.begin(), own.end(), text) != own.end()}});
    }
    out.samples.push_back(std::move(example));
  }
  return out;
}

EvaluationResult captions(const Task& task) {
  const TextPipeline pipeline = task.text_pipeline();
  std::vector<Json> results;
  CaptionEvaluation options;
  options.caption.generate = task.generate(pipeline.caption_search());
  options.caption.prompt = task.options.prompt;
  options.progress = false;
  options.each = [&](const Json& result) { results.push_back(result); };
  const CaptionReport report = evaluate_captions(pipeline, task.source, options);

  EvaluationResult out;
  out.metrics = report.scores;
  out.main_metric = "CIDEr-D";
  char text[64];
  std::snprintf(text, sizeof text, "CIDEr-D %.2f, BLEU-4 %.3f", report.scores.at("CIDEr-D"), report.scores.at("BLEU-4"));
  out.headline = text;
  out.report = report.to_json();
  for (const size_t i : task.kept(results.size())) {
    Json example = task.example(results[i].at("picture"), results[i].at("number"));
    example["caption"] = results[i].at("caption");
    example["references"] = results[i].at("references");
    out.samples.push_back(std::move(example));
  }
  return out;
}

EvaluationResult answers(const Task& task) {
  const TextPipeline pipeline = task.text_pipeline();
  std::vector<Json> results;
  VqaEvaluation options;
  options.answer.generate = task.generate(pipeline.answer_search());
  options.answer.prompt = ofa_instruction::prompt_named(task.options.prompt_type);
  if (!task.options.answers.empty()) options.answer.answers = read_answer_set(task.options.answers);
  options.answer.score_all = task.options.score_all;
  options.answer.rank = task.options.rank;
  options.with_objects = task.options.add_object;
  options.progress = false;
  options.each = [&](const Json& result) { results.push_back(result); };
  const VqaReport report = evaluate_vqa(pipeline, task.source, options);

  EvaluationResult out;
  out.report = report.to_json();
  if (report.soft_accuracy) {
    out.metrics = {{"soft_accuracy", *report.soft_accuracy}, {"exact_match", report.exact_match}};
    out.main_metric = "soft_accuracy";
    out.headline = concat("accuracy by the weights of the answers ", percent_of(*report.soft_accuracy), ", exact match ", percent_of(report.exact_match));
  } else if (report.questions > report.unanswered) {
    out.metrics = {{"accuracy", report.accuracy.overall / 100}, {"exact_match", report.exact_match}};
    out.main_metric = "accuracy";
    out.headline = concat("VQA accuracy ", percent_of(report.accuracy.overall / 100), ", exact match ", percent_of(report.exact_match));
  } else {
    out.headline = concat(report.questions, " questions, none with a known answer");
  }
  for (const size_t i : task.kept(results.size())) {
    Json example = task.example(results[i].at("question_id"), results[i].at("number"));
    example["question"] = results[i].at("question");
    example["answer"] = results[i].at("answer");
    example["references"] = results[i].value("answers", Json::array());
    out.samples.push_back(std::move(example));
  }
  return out;
}

EvaluationResult zero_shot(const Task& task) {
  const c10::InferenceMode inference;
  std::vector<Json> results;
  ZeroShotOptions options;
  options.progress = false;
  if (!task.options.prompt.empty()) options.templates = {task.options.prompt};
  options.each = [&](const Json& result) { results.push_back(result); };
  const bool instructed = dynamic_cast<Instructed*>(task.model.get()) != nullptr;
  const ZeroShotReport report = instructed ? evaluate_zero_shot(task.text_pipeline(), task.source, options) : evaluate_zero_shot(task.dual_encoder(), task.source, options);

  EvaluationResult out;
  for (const auto& [k, share] : report.accuracy.top) out.metrics[concat("top", k)] = share;
  out.metrics["mean_per_class"] = report.accuracy.mean_per_class;
  out.main_metric = "top1";
  out.headline = concat("top-1 ", percent_of(report.accuracy.top.at(1)), " of ", report.classes.size(), " classes (chance ",
                        percent_of(1 / static_cast<double>(report.classes.size())), ")");
  out.report = report.to_json();
  for (const size_t i : task.kept(results.size())) {
    Json example = task.example(results[i].at("picture"), results[i].at("number"));
    example["class"] = results[i].at("class");
    example["predicted"] = results[i].at("predicted");
    out.samples.push_back(std::move(example));
  }
  return out;
}

EvaluationResult statements(const Task& task, EntailmentReport (*evaluate)(const TextPipeline&, const Source&, const EntailmentEvaluation&), const char* headline) {
  std::vector<Json> results;
  EntailmentEvaluation options;
  options.prompt = ofa_instruction::prompt_named(task.options.prompt_type);
  options.with_premise = task.options.add_caption;
  options.progress = false;
  options.each = [&](const Json& result) { results.push_back(result); };
  const EntailmentReport report = evaluate(task.text_pipeline(), task.source, options);

  EvaluationResult out;
  out.metrics = {{"accuracy", report.accuracy}};
  out.main_metric = "accuracy";
  out.headline = concat(headline, " ", percent_of(report.accuracy), " (always the commonest label ", percent_of(report.majority), ")");
  out.report = report.to_json();
  for (const size_t i : task.kept(results.size())) {
    Json example = task.example(results[i].at("picture"), results[i].at("number"));
    example["question"] = results[i].at("hypothesis");
    example["answer"] = results[i].at("predicted");
    example["references"] = Json::array({results[i].at("label")});
    example["right"] = results[i].at("label") == results[i].at("predicted");
    out.samples.push_back(std::move(example));
  }
  return out;
}

EvaluationResult entailment(const Task& task) { return statements(task, evaluate_entailment, "entailment"); }
EvaluationResult picture_pairs(const Task& task) { return statements(task, evaluate_nlvr2, "statements about two pictures"); }

/// "12 40 230 199" of a box.
std::string corners_of(const Json& box) {
  std::string out;
  for (const auto& x : box) out += concat(out.empty() ? "" : " ", std::lround(x.get<double>()));
  return out;
}

EvaluationResult boxes(const Task& task) {
  std::vector<Json> results;
  GroundingEvaluation options;
  options.ground.beams = task.options.beams;
  options.ground.max_image_size = task.options.max_image_size;
  options.progress = false;
  options.each = [&](const Json& result) { results.push_back(result); };
  const GroundingReport report = evaluate_grounding(task.text_pipeline(), task.source, options);

  EvaluationResult out;
  out.metrics = {{"accuracy@0.5", report.accuracy}, {"mean_iou", report.mean_iou}};
  out.main_metric = "accuracy@0.5";
  out.headline = concat("boxes right ", percent_of(report.accuracy), ", mean overlap ", percent_of(report.mean_iou));
  out.report = report.to_json();
  for (const size_t i : task.kept(results.size())) {
    Json example = task.example(results[i].at("picture"), results[i].at("number"));
    example["question"] = results[i].at("text");
    example["answer"] = corners_of(results[i].at("box"));
    example["references"] = Json::array({corners_of(results[i].at("target"))});
    example["right"] = results[i].at("right");
    out.samples.push_back(std::move(example));
  }
  return out;
}

struct Protocol {
  const char* name;
  EvaluationResult (*run)(const Task&);
};

constexpr Protocol protocols[] = {{"retrieval", retrieval}, {"caption", captions}, {"vqa", answers},
                                  {"zeroshot", zero_shot}, {"entail", entailment}, {"nlvr2", picture_pairs}, {"ground", boxes}};

}  // namespace evaluation

const std::vector<std::string>& evaluation_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const auto& protocol : evaluation::protocols) out.push_back(protocol.name);
    return out;
  }();
  return names;
}

EvaluationResult evaluate_in_training(const std::string& name, std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer,
                                      const PreprocessOptions& preprocess, const Source& source, const EvaluationOptions& options) {
  const auto* protocol = std::find_if(std::begin(evaluation::protocols), std::end(evaluation::protocols), [&](const auto& one) { return name == one.name; });
  if (protocol == std::end(evaluation::protocols)) {
    fail_usage("there is no evaluation '", name, "'", did_you_mean(name, evaluation_names()), "; there are: ", join(evaluation_names(), ", "));
  }
  model->set_training(false);
  const auto part = options.limit > 0 ? spread_subset(source, options.limit) : nullptr;
  return with_context(concat("evaluating (", name, ")"), [&] {
    return protocol->run({std::move(model), std::move(tokenizer), preprocess, part ? *part : source, options});
  });
}

bool higher_is_better(const std::string& metric) {
  const std::string name = ascii_lower(metric);
  for (const char* low : {"loss", "perplexity", "rank"}) {
    if (name.find(low) != std::string::npos) return false;
  }
  return true;
}

bool better(const std::string& metric, double a, double b) {
  if (std::isnan(a)) return false;
  if (std::isnan(b)) return true;
  return higher_is_better(metric) ? a > b : a < b;
}

void write_samples(const std::filesystem::path& run, int64_t step, const std::string& evaluation, const EvaluationResult& result) {
  if (result.samples.empty()) return;
  char name[48];
  std::snprintf(name, sizeof name, "step-%08lld.json", static_cast<long long>(step));
  const nlohmann::ordered_json content = {{"step", step}, {"evaluation", evaluation}, {"headline", result.headline}, {"samples", result.samples}};
  write_file_atomically(run / "samples" / name, content.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace vlm
