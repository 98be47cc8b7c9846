#include <ATen/ops/cat.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "command.h"
#include "html.h"
#include "model_options.h"
#include "output.h"
#include "picture_input.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/data/image_encode.h"
#include "vlm/models/fingerprint.h"
#include "vlm/infer/rerank.h"
#include "vlm/infer/vector_index.h"
#include "vlm/io/atomic_file.h"

namespace vlm::apps {

namespace search {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  PictureInput input;
  std::vector<std::string> pictures;
  std::string index, queries, html;
  int64_t top = 5, probes = 0, rerank = 0;
};

struct Query {
  std::string text;  ///< or the picture's file
  bool picture = false;
};

struct Found : Hit {
  std::optional<float> matching;  ///< logit of the matching head, where that has looked
};

struct Answer {
  Query query;
  std::vector<Found> found;
};

bool is_file(const std::string& text) {
  std::error_code error;
  return fs::is_regular_file(text, error);
}

/// Without --picture and --queries the first argument is what to look for. The rest are places to look in.
std::vector<Query> take_queries(Options& options) {
  std::vector<Query> out;
  for (const auto& picture : options.pictures) out.push_back({picture, true});
  if (!options.queries.empty()) {
    for (const auto& line : read_lines(options.queries)) out.push_back({line, is_file(line)});
  }
  auto& arguments = options.input.arguments;
  if (out.empty()) {
    if (arguments.empty()) fail_usage("say what to look for: a text, a picture's file, --picture FILE or --queries FILE");
    out.push_back({arguments[0], is_file(arguments[0])});
    arguments.erase(arguments.begin());
  }
  return out;
}

Tensor embed_queries(const std::vector<Query>& queries, const DualEncoderPipeline& pipeline) {
  std::vector<Tensor> rows;
  for (const auto& query : queries) {
    rows.push_back(query.picture ? pipeline.embed_pictures({Picture::from_file(query.text)}) : pipeline.embed_texts({query.text}));
  }
  return at::cat(rows);  // [Q, E]
}

/// Puts the first `count` in the order that the matching head gives them for a text. Those of them that cannot be looked at again come
/// behind the others.
void look_again(const Options& options, const DualEncoderPipeline& pipeline, const VectorIndex& index, const std::string& text,
                std::vector<Found>& found, size_t count) {
  auto& model = require<Reranker>(pipeline.model(), "look at pairs again", "it has no image-text matching head");
  const PictureFinder finder(options.input);
  const PictureFailed failed = [](const std::string& name, const std::string& reason) { log_warning(printable(name), ": ", reason); };
  size_t at = 0;
  const ReadPicture read = [&](Picture& picture) {
    for (; at < count; ++at) {
      const std::string& name = index.names()[static_cast<size_t>(found[at].row)];
      auto again = finder.find(name);
      if (!again) {
        failed(name, "the picture is not there any more");
        continue;
      }
      picture = std::move(*again);
      picture.name = std::to_string(at++);
      return true;
    }
    return false;
  };
  const int64_t length = pipeline.encoder().context_length();
  const Tensor ids = at::tensor(pipeline.tokenizer().encode_batch({text}, length), at::kLong).view({1, length});
  const Tensor mask = ids.ne(pipeline.tokenizer().specials().pad).to(at::kLong), states = model.match_texts(ids, mask);
  const auto [height, width] = pipeline.encoder().image_size();
  PictureStream stream(pipeline.preprocess(), height, width, options.model.batch_size, options.model.threads, read, failed);
  PictureBatch batch;
  while (stream.next(batch)) {
    const auto pictures = static_cast<int64_t>(batch.names.size());
    const Tensor none = at::zeros({1, pictures});
    const Tensor logits = rerank(model, model.match_pictures(batch.pixels), states, mask, none, RerankRows::texts, {.k = pictures}).contiguous();
    for (int64_t i = 0; i < pictures; ++i) {
      found[static_cast<size_t>(std::stoll(batch.names[static_cast<size_t>(i)]))].matching = logits.const_data_ptr<float>()[i];
    }
  }
  std::stable_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(count),
                   [](const Found& a, const Found& b) { return a.matching > b.matching; });  // none is less than any
}

VectorIndex open_index(const Options& options, int64_t width, const IndexModel& model) {
  if (fs::is_regular_file(options.index) && ends_with(options.index, ".safetensors")) {
    fail(options.index, " was written by an earlier version or by vlm embed; make an index with: vlm index --model ",
         options.model.model, " pictures --out NAME.index");
  }
  VectorIndex index = VectorIndex::open(options.index);
  if (index.width() != width) {
    fail(options.index, " was made by another model (", printable(index.model().name), "): its vectors have ", index.width(),
         " numbers, those of ", model.name, " have ", width);
  }
  if (index.model().fingerprint != model.fingerprint) {
    log_warning(options.index, " was made by another model (", printable(index.model().name), "); what is found may mean nothing");
  }
  return index;
}

VectorIndex embed_index(const Options& options, const DualEncoderPipeline& pipeline, const IndexModel& model, int64_t width) {
  VectorIndex index(width, model);
  embed_pictures(pipeline, options.model, options.input, nullptr,
                 [&](const Tensor& vectors, const std::vector<std::string>& names) { index.add(vectors, names); });
  if (index.size() == 0) fail("none of the pictures could be read");
  return index;
}

std::string score_text(float score) {
  char text[16];
  std::snprintf(text, sizeof text, "%.3f", static_cast<double>(score));
  return text;
}

/// An <img>, or words in its place.
std::string thumbnail(const PictureFinder& finder, const std::string& name) {
  constexpr int side = 320;
  const auto picture = finder.find(name);
  if (!picture) return "<div class=\"gone\">the picture is not there any more</div>";
  try {
    DecodeOptions decode = picture->decode;
    decode.alpha = Alpha::white;
    const Image image = decode_image(picture->bytes, decode);
    const int longest = std::max(image.height, image.width);
    if (longest <= side) return html::picture(encode_jpeg(image), name);
    const auto shrunk = [&](int size) { return std::max(1, static_cast<int>(int64_t(size) * side / longest)); };
    return html::picture(encode_jpeg(resize_image(image, shrunk(image.height), shrunk(image.width))), name);
  } catch (const Error& error) {
    return "<div class=\"gone\">" + html::escape(error.what()) + "</div>";
  }
}

void write_sheet(const Options& options, const VectorIndex& index, const std::vector<Answer>& answers) {
  const PictureFinder finder(options.input);
  std::string body = concat("<header><h1>Pictures found</h1><p>The most similar of ", index.size(), ", the best first",
                            options.rerank > 0 ? ", as the matching head orders them (its logit, and the cosine)" : "", ".</p></header>");
  for (const auto& [query, found] : answers) {
    body += "<section class=\"sheet\">";
    if (query.picture) body += "<div class=\"asked\">" + thumbnail(finder, query.text) + "</div>";
    body += "<h2>" + html::escape(query.text) + "</h2><div class=\"cards\">";
    for (const auto& hit : found) {
      const std::string& name = index.names()[static_cast<size_t>(hit.row)];
      const std::string cosine = score_text(hit.similarity);
      const std::string scores = hit.matching ? "<b>" + score_text(*hit.matching) + "</b> (" + cosine + ") " : "<b>" + cosine + "</b> ";
      body += "<div class=\"card\">" + thumbnail(finder, name) + "<div class=\"own\">" + scores + html::escape(name) + "</div></div>";
    }
    body += "</div></section>";
  }
  write_file_atomically(options.html, html::page("Pictures found", body));
}

void print(const Options& options, const VectorIndex& index, const std::vector<Answer>& answers) {
  const auto name_of = [&](const Hit& hit) -> const std::string& { return index.names()[static_cast<size_t>(hit.row)]; };
  if (options.model.json) {
    auto json = nlohmann::ordered_json::array();
    for (const auto& [query, found] : answers) {
      nlohmann::ordered_json entry = {{"query", query.text}, {"kind", query.picture ? "picture" : "text"}};
      auto& results = entry["results"] = nlohmann::ordered_json::array();
      for (const auto& hit : found) {
        auto& result = results.emplace_back(nlohmann::ordered_json::object());
        result["picture"] = name_of(hit);
        if (hit.matching) result["matching"] = *hit.matching;
        result["similarity"] = hit.similarity;
      }
      json.push_back(std::move(entry));
    }
    return print_json(json);
  }
  const bool several = answers.size() > 1, matched = options.rerank > 0;
  std::vector<std::vector<std::string>> table(1);
  if (several) table[0].emplace_back("query");
  if (matched) table[0].emplace_back("matching");
  table[0].insert(table[0].end(), {"similarity", "picture"});
  for (const auto& [query, found] : answers) {
    for (const auto& hit : found) {
      auto& row = table.emplace_back();
      if (several) row.push_back(&hit == &found.front() ? printable(query.text) : "");
      if (matched) row.push_back(hit.matching ? score_text(*hit.matching) : "");
      row.push_back(score_text(hit.similarity));
      row.push_back(printable(name_of(hit)));
    }
  }
  print_table(table);
  if (!options.html.empty()) std::printf("\n%s: open it in a browser\n", options.html.c_str());
}

void run(Options options) {
  const std::vector<Query> queries = take_queries(options);
  const bool direct = options.index.empty();
  if (direct && !options.input.given()) fail_usage("name the pictures to search in, a data set with --data, or an index with --index");
  if (!direct && !options.input.pictures().empty()) {
    fail_usage("search in the index or in pictures; to add pictures to an index: vlm index --model ", options.model.model, " ",
               options.input.pictures()[0], " --out ", options.index, " --add");
  }
  const DualEncoderPipeline pipeline = options.model.load();
  const c10::InferenceMode inference;
  const IndexModel model{options.model.model, model_fingerprint(pipeline.model())};
  const Tensor vectors = embed_queries(queries, pipeline);
  const VectorIndex index =
      direct ? embed_index(options, pipeline, model, vectors.size(1)) : open_index(options, vectors.size(1), model);
  const auto hits = index.search(vectors, std::max(options.top, options.rerank), options.probes);
  std::vector<Answer> answers;
  for (size_t i = 0; i < queries.size(); ++i) {
    auto& [query, found] = answers.emplace_back(Answer{queries[i], {}});
    for (const auto& hit : hits[i]) found.push_back({hit, {}});
    if (options.rerank > 0 && !query.picture) {
      look_again(options, pipeline, index, query.text, found, std::min(static_cast<size_t>(options.rerank), found.size()));
    }
    if (std::ssize(found) > options.top) found.resize(static_cast<size_t>(options.top));
  }
  if (!options.html.empty()) write_sheet(options, index, answers);
  print(options, index, answers);
}

}  // namespace search

void add_search(CLI::App& app) {
  auto options = std::make_shared<search::Options>();
  CLI::App* command = add_command(app, "search", "Find pictures by a text or by another picture",
                                  "vlm search --model clip-vit-b32 \"a dog on a beach\" --index photos.index --html found.html\n"
                                  "  vlm search --model clip-vit-b32 --picture dog.jpg photos",
                                  [options] { search::run(*options); });
  options->model.add_to(*command);
  options->input.add_to(*command,
                        "What to look for, a text or a picture's file (not with --picture or --queries); then pictures, folders "
                        "or patterns to search in");
  options->input.add_frames_to(*command);
  command->add_option("--index", options->index, "Search in this index (see vlm index); --data then says where a page finds pictures");
  command->add_option("--picture", options->pictures, "Look for what is like this picture (may be given several times)")->allow_extra_args(false);
  command->add_option("--queries", options->queries, "File with one text or picture's file a line");
  command->add_option("--top", options->top, "Pictures shown for each query")->capture_default_str()->check(at_least_one);
  command->add_option("--rerank", options->rerank,
                      "Let the matching head (ALBEF, mPLUG, BLIP) look again at the first so many pictures for a text: they are in its "
                      "order, and its logit stands beside the similarity as matching")
      ->check(at_least_one);
  command->add_option("--probes,--nprobe", options->probes, "Clusters of an ivf index to look into (default: one in 32, at least 16)");
  command->add_option("--html", options->html, "Also write a page with the pictures found");
}

}  // namespace vlm::apps
