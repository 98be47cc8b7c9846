#include "picture_task.h"

#include <cmath>
#include <cstdio>
#include <memory>
#include <optional>

#include "command.h"
#include "picture_input.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/progress.h"
#include "vlm/core/strings.h"
#include "vlm/infer/text_pipeline.h"

namespace vlm::apps {

void PictureTask::add_to(CLI::App& command, const std::string& what, int64_t batch, bool required) {
  model.add_to(command, batch);
  model.add_image_size_to(command);
  command.add_option("pictures", arguments, what)->required(required);
  command.add_option("--out", out, "Also write one JSON line a picture to this file");
}

void PictureTask::add_text_to(CLI::App& command, const std::string& name, const std::string& what) {
  command.add_option("--" + name, texts, what + " (may be given several times; all arguments are pictures then)")->allow_extra_args(false);
}

void PictureTask::take_text(const std::string& how) {
  if (texts.empty()) {
    if (arguments.size() < 2) fail_usage(how);
    texts = {arguments.back()};
    arguments.pop_back();
  }
  for (const auto& text : texts) {
    if (text.find_first_not_of(" \t\r\n") == std::string::npos) fail_usage("the text is empty; ", how);
  }
}

void PictureTask::add_frames_to(CLI::App& command) {
  add_frames_option(command, frames);
}

std::vector<std::filesystem::path> PictureTask::files() const {
  if (frames > 0) return expand_videos(arguments);
  return expand_pictures(arguments);
}

void PictureTask::run(const TextPipeline& pipeline, const std::vector<std::filesystem::path>& files, const Each& each) const {
  JsonLines results(out);
  auto json = nlohmann::ordered_json::array();
  size_t failed = 0;
  const PictureFailed skip = [&](const std::string& name, const std::string& reason) {
    ++failed;
    log_warning(name, ": ", reason);
  };
  const std::unique_ptr<PictureStream> stream(frames > 0 ? nullptr : new PictureStream(pipeline.stream(read_files(files, skip), skip)));
  size_t videos = 0;
  const auto next = [&](PictureBatch& batch) {
    if (stream) return stream->next(batch);
    while (videos < files.size()) {
      const std::string name = files[videos++].string();
      try {
        batch = {pipeline.decode_video(name, frames), {name}, {PicturePlacement{}}};
        return true;
      } catch (const Error& error) {
        if (error.code() == ExitCode::usage) throw;
        skip(name, error.what());
      }
    }
    return false;
  };
  std::optional<Progress> progress;
  if (files.size() > 1) progress.emplace(label, static_cast<int64_t>(files.size()), frames > 0 ? "videos" : "pictures");
  const bool one = files.size() == 1 && texts.size() <= 1;
  int64_t done = 0;
  PictureBatch batch;
  while (next(batch)) {
    for (auto& result : each(batch)) {
      const std::string& name = batch.names[result.picture];
      nlohmann::ordered_json entry = {{"picture", name}};
      entry.update(result.values);
      results.write(entry);
      if (model.json) {
        json.push_back(std::move(entry));
      } else if (one) {
        std::printf("%s\n", result.line.c_str());
      } else {
        std::printf("%s\t%s\n", name.c_str(), result.line.c_str());
      }
    }
    std::fflush(stdout);
    if (progress) progress->update(done += static_cast<int64_t>(batch.names.size()));
  }
  if (progress) progress->finish();
  results.close();
  if (model.json) print_json(json);
  if (failed > 0) throw Exit{1};
}

void PictureTask::print(const std::vector<TaskResult>& all) const {
  JsonLines results(out);
  auto json = nlohmann::ordered_json::array();
  for (const auto& result : all) {
    results.write(result.values);
    if (model.json) {
      json.push_back(result.values);
    } else {
      std::printf("%s\n", result.line.c_str());
    }
  }
  results.close();
  if (model.json) print_json(json);
}

std::vector<TaskResult> for_each_text(const PictureBatch& batch, const std::vector<std::string>& texts,
                                      const std::function<std::vector<TaskResult>(const std::vector<std::string>&)>& each) {
  std::vector<std::vector<TaskResult>> columns;
  for (const auto& text : texts) columns.push_back(each(std::vector<std::string>(batch.names.size(), text)));
  std::vector<TaskResult> out;
  for (size_t i = 0; i < batch.names.size(); ++i) {
    for (size_t t = 0; t < texts.size(); ++t) {
      TaskResult& result = out.emplace_back(std::move(columns[t][i]));
      result.picture = i;
      if (texts.size() > 1) result.line = texts[t] + "\t" + result.line;
    }
  }
  return out;
}

std::string rounded(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

nlohmann::ordered_json box_json(const std::array<float, 4>& box) {
  auto out = nlohmann::ordered_json::array();
  for (const float x : box) out.push_back(std::round(static_cast<double>(x) * 100) / 100);
  return out;
}

std::array<float, 4> parse_region(const std::string& text) {
  std::array<float, 4> out{};
  const auto parts = split(text, ",");
  bool good = parts.size() == 4;
  for (size_t i = 0; good && i < 4; ++i) {
    char* end = nullptr;
    out[i] = std::strtof(parts[i].c_str(), &end);
    good = end != parts[i].c_str() && parts[i].find_first_not_of(" ", static_cast<size_t>(end - parts[i].c_str())) == std::string::npos && std::isfinite(out[i]);
  }
  if (!good) fail_usage("'", text, "' is no region; write its corners in pixels, left,top,right,bottom, as 10,20,200,180");
  if (out[2] <= out[0] || out[3] <= out[1]) {
    fail_usage("the region ", text, " is empty: its right edge must lie right of the left one, its bottom below the top (left,top,right,bottom)");
  }
  return out;
}

}  // namespace vlm::apps
