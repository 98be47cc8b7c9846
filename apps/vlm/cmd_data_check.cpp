#include <cstdio>
#include <optional>

#include "command.h"
#include "data_command.h"
#include "output.h"
#include "vlm/core/progress.h"
#include "vlm/core/strings.h"
#include "vlm/data/source_check.h"
#include "vlm/io/atomic_file.h"

namespace vlm::apps {

namespace data_check {

using Json = nlohmann::ordered_json;

struct Options {
  DataFlags data;
  std::string out;
  bool headers_only = false;
};

Json line_of(const ScannedSample* scanned, const SampleError* error) {
  Json line = Json::object();
  if (scanned) line["number"] = scanned->number;
  if (scanned && !scanned->sample.key.empty()) line["key"] = scanned->sample.key;
  line["ok"] = error == nullptr;
  if (error) {
    line["reason"] = error->reason();
    line["place"] = error->place();
    if (!error->detail().empty()) line["detail"] = error->detail();
  } else {
    auto pictures = Json::array();
    for (const auto& picture : scanned->pictures)
      pictures.push_back({{"format", image_format_name(picture.format)},
                          {"width", picture.width},
                          {"height", picture.height},
                          {"bytes", picture.bytes}});
    line["pictures"] = pictures;
    line["captions"] = scanned->sample.captions.size();
  }
  return line;
}

void run(const Options& options) {
  const auto source = options.data.open();
  SourceCheck check;
  auto bad = Json::array();
  const auto look = [&](std::ostream* out) {
    check = check_source(*source,
                         {.decode = !options.headers_only, .strict = options.data.strict, .threads = options.data.threads},
                         [&](const ScannedSample* scanned, const SampleError* error) {
                           if (out)
                             *out << line_of(scanned, error).dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
                           if (!error) return;
                           if (options.data.json) {
                             bad.push_back(line_of(scanned, error));
                             return;
                           }
                           clear_progress_line();
                           std::printf("%s  %s%s%s\n", error->reason().c_str(), error->place().c_str(),
                                       error->detail().empty() ? "" : ": ", error->detail().c_str());
                         });
  };
  if (options.out.empty()) {
    look(nullptr);
  } else {
    write_file_atomically(options.out, [&](std::ostream& out) { look(&out); });
  }
  if (options.data.json) {
    Json json = check.to_json();
    json["bad"] = bad;
    print_json(json);
  } else {
    std::printf("%s\n", check.summary().c_str());
    if (check.pictures > 0)
      std::printf("%lld pictures, %s\n", static_cast<long long>(check.pictures),
                  human_bytes(static_cast<double>(check.picture_bytes)).c_str());
  }
  if (check.skipped > 0) throw Exit{1};
}

}  // namespace data_check

void add_data_check(CLI::App& data) {
  auto options = std::make_shared<data_check::Options>();
  CLI::App* command = add_command(data, "check", "Read every sample and decode every picture; list what is wrong, and where",
                                  "vlm data check annotations/captions_val2014.json --image-root val2014",
                                  [options] { data_check::run(*options); });
  options->data.add_to(*command);
  command->add_option("--out", options->out, "File for one JSON line a sample");
  command->add_flag("--headers-only", options->headers_only,
                    "Look at the pictures' headers only: fast, finds missing files and wrong sizes");
}

}  // namespace vlm::apps
