#include "vlm/train/checkpoint.h"

#include <ATen/ops/cat.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/io/atomic_file.h"
#include "vlm/io/safetensors.h"

namespace vlm {

namespace fs = std::filesystem;

namespace checkpoint {

constexpr const char* manifest = "trainer.json";

std::string name_of(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%08ld", static_cast<long>(step));
  return name;
}

std::string optimizer_file(int64_t rank, int64_t ranks) {
  char name[64];
  std::snprintf(name, sizeof name, "optimizer-%05ld-of-%05ld.safetensors", static_cast<long>(rank), static_cast<long>(ranks));
  return name;
}

uint32_t checksum(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) fail("cannot read ", file.string());
  std::vector<char> buffer(1 << 20);
  uLong crc = ::crc32(0, nullptr, 0);
  while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())) || in.gcount() > 0) {
    crc = ::crc32(crc, reinterpret_cast<const Bytef*>(buffer.data()), static_cast<uInt>(in.gcount()));
  }
  return static_cast<uint32_t>(crc);
}

nlohmann::ordered_json describe_files(const fs::path& folder) {
  nlohmann::ordered_json out;
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    out[fs::relative(file, folder).string()] = {{"bytes", fs::file_size(file)}, {"crc32", checksum(file)}};
  }
  return out;
}

/// All checkpoints of a run, oldest first, whole or not.
std::vector<fs::path> all(const fs::path& run) {
  std::vector<fs::path> out;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", error)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_directory() && !entry.is_symlink() && starts_with(name, "step-") && !ends_with(name, ".part")) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

void point(const fs::path& link, const std::string& target) {
  const fs::path fresh = link.parent_path() / ("." + link.filename().string() + ".part");
  std::error_code error;
  fs::remove(fresh, error);
  fs::create_directory_symlink(target, fresh);
  fs::rename(fresh, link);
}

/// What was renamed in a folder is on the disk when this returns.
void flush_folder(const fs::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
}

/// Moves the finished folder to its place; one that stands there (a run that was begun anew) makes room.
void put_in_place(const fs::path& part, const fs::path& place) {
  const fs::path old = place.string() + ".old.part";
  std::error_code error;
  fs::remove_all(old, error);
  flush_folder(part);
  if (fs::exists(place)) fs::rename(place, old);
  fs::rename(part, place);
  flush_folder(place.parent_path());
  fs::remove_all(old, error);
}

/// What killed runs have left half written.
void remove_unfinished(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> found;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (starts_with(name, "step-") && ends_with(name, ".part")) found.push_back(entry.path());
  }
  for (const auto& path : found) fs::remove_all(path, error);
}

void remove_old(const fs::path& run, int64_t keep_last) {
  std::error_code error;
  const fs::path best = fs::read_symlink(run / "checkpoints" / "best", error).filename();
  const auto found = all(run);
  for (size_t i = 0; i + static_cast<size_t>(std::max<int64_t>(1, keep_last)) < found.size(); ++i) {
    if (found[i].filename() != best) fs::remove_all(found[i], error);
  }
}

}  // namespace checkpoint

CheckpointWriter::CheckpointWriter(fs::path run, int64_t keep_last, Communicator& communicator)
    : run_(std::move(run)), keep_last_(keep_last), communicator_(communicator) {}

CheckpointWriter::~CheckpointWriter() {
  abandoned_ = true;
  if (writing_.valid()) writing_.wait();
}

bool CheckpointWriter::wait() {
  if (!writing_.valid()) return last_written_;
  try {
    writing_.get();
    last_written_ = true;
  } catch (const Error& error) {
    log_warning(error.what(), "; training goes on, and the checkpoints before it are as they were");
    last_written_ = false;
  }
  return last_written_;
}

void CheckpointWriter::write(CheckpointContent content, bool in_background) {
  wait();
  if (!in_background) {
    last_written_ = false;
    write_now(content);
    last_written_ = true;
    return;
  }
  writing_ = std::async(std::launch::async, [this, content = std::make_shared<CheckpointContent>(std::move(content))] { write_now(*content); });
}

void CheckpointWriter::write_now(const CheckpointContent& content) {
  const std::string name = checkpoint::name_of(content.step);
  const fs::path folder = run_ / "checkpoints", place = folder / name, part = folder / (name + ".part");
  const int64_t rank = communicator_.rank(), ranks = content.sharded ? communicator_.size() : 1;
  const std::string key = "checkpoint/" + name;
  with_context("checkpoint " + place.string(), [&] {
    std::error_code error;
    if (rank > 0) {
      if (!content.sharded) return;
      while (!communicator_.wait_for(key + "/begun", 1)) {
        if (abandoned_) fail("the run has failed");
        if (communicator_.wait_for(key + "/failed", 0)) fail("the first rank could not begin it");
      }
      try {
        write_safetensors(part / checkpoint::optimizer_file(rank, ranks), content.optimizer);
      } catch (const Error&) {
        communicator_.post(concat(key, "/failed"), concat(rank));
        throw;
      }
      communicator_.post(concat(key, "/", rank), "written");
      return;
    }
    const auto give_up = [&] {
      // Half a checkpoint is of no use, and what it takes up may be what is missing.
      fs::remove_all(part, error);
      if (ranks > 1) communicator_.post(key + "/failed", "0");
    };
    try {
      checkpoint::remove_unfinished(folder);
      fs::create_directories(part, error);
      if (error) fail("cannot make the folder: ", error.message());
      communicator_.post(key + "/begun", "");
      content.write_model(part);
      write_safetensors(part / checkpoint::optimizer_file(0, ranks), content.optimizer);
      if (!content.ema.empty()) write_safetensors(part / "ema.safetensors", content.ema);
      write_file_atomically(part / "cursor.json", content.cursor.dump(2) + "\n");
      for (int64_t r = 1; r < ranks; ++r) {
        while (!communicator_.wait_for(concat(key, "/", r), 1)) {
          if (abandoned_) fail("the run has failed");
          if (communicator_.wait_for(key + "/failed", 0)) fail("another rank could not write its share");
        }
      }
      nlohmann::ordered_json trainer = content.trainer;
      trainer["files"] = checkpoint::describe_files(part);
      write_file_atomically(part / checkpoint::manifest, trainer.dump(2) + "\n");
      checkpoint::put_in_place(part, place);
      checkpoint::point(folder / "latest", name);
      if (content.best) checkpoint::point(folder / "best", name);
      checkpoint::remove_old(run_, keep_last_);
    } catch (const fs::filesystem_error& problem) {
      give_up();
      fail(problem.code().message());
    } catch (const Error&) {
      give_up();
      throw;
    }
  });
}

std::string checkpoint_damage(const fs::path& folder, bool contents) {
  if (!fs::exists(folder / checkpoint::manifest)) return "trainer.json is missing";
  const auto trainer = nlohmann::json::parse(read_file(folder / checkpoint::manifest), nullptr, false);
  if (!trainer.is_object() || !trainer.contains("step")) return "trainer.json is no trainer state";
  if (!trainer.contains("files") || !trainer["files"].is_object()) return "";
  for (const auto& [name, file] : trainer["files"].items()) {
    std::error_code error;
    const auto bytes = fs::file_size(folder / name, error);
    if (error) return name + " is missing";
    const auto written = file.value("bytes", uintmax_t(0));
    if (bytes != written) return concat(name, " has ", bytes, " bytes, ", written, " were written");
    if (contents && checkpoint::checksum(folder / name) != file.value("crc32", uint32_t(0))) return name + " is not what was written";
  }
  return "";
}

fs::path latest_checkpoint(const fs::path& run) {
  auto found = checkpoint::all(run);
  for (; !found.empty(); found.pop_back()) {
    const std::string damage = checkpoint_damage(found.back(), true);
    if (damage.empty()) return found.back();
    log_warning("checkpoint ", found.back().string(), " cannot be used (", damage, ")",
                found.size() > 1 ? "; the one before it is taken" : "; there is none before it");
  }
  return {};
}

fs::path checkpoint_to_resume(const fs::path& run, const std::string& resume) {
  if (resume == "none") return {};
  if (resume == "auto") {
    const fs::path found = latest_checkpoint(run);
    if (found.empty() && !checkpoint::all(run).empty()) {
      fail("none of the checkpoints in ", (run / "checkpoints").string(), " can be used; --resume none begins anew and lets them go");
    }
    return found;
  }
  if (fs::exists(fs::path(resume) / checkpoint::manifest)) {
    const std::string damage = checkpoint_damage(resume, true);
    if (!damage.empty()) fail("--resume ", resume, ": ", damage);
    return resume;
  }
  const fs::path found = latest_checkpoint(resume);
  if (found.empty()) fail_usage("--resume ", resume, ": neither a checkpoint nor a run with one (auto, none or a folder)");
  return found;
}

TensorMap read_optimizer_state(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (starts_with(name, "optimizer-") && ends_with(name, ".safetensors")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  if (files.empty()) fail(folder.string(), " has no state of the optimiser (optimizer-*.safetensors)");
  if (files.size() == 1) return read_safetensors(files[0]);
  std::map<std::string, std::vector<Tensor>> shares;
  for (const auto& file : files) {
    for (const auto& [name, tensor] : read_safetensors(file)) shares[name].push_back(tensor);
  }
  TensorMap out;
  for (const auto& [name, parts] : shares) {
    if (parts.size() == 1) {
      out[name] = parts[0];
      continue;
    }
    // Numbers that belong to the whole tensor (counts of steps) are the same in each share.
    if (parts[0].dim() == 0) {
      out[name] = parts[0];
      continue;
    }
    std::vector<Tensor> flat;
    for (const auto& part : parts) flat.push_back(part.flatten());
    out[name] = at::cat(flat);
  }
  return out;
}

}  // namespace vlm
