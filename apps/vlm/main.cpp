#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "apps_version.h"
#include "command.h"
#include "vlm/core/error.h"
#include "vlm/core/log.h"
#include "vlm/core/strings.h"
#include "vlm/io/blas_check.h"

namespace vlm::apps {

CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& description, const std::string& example,
                      std::function<void()> run) {
  CLI::App* command = app.add_subcommand(name, description);
  command->footer("Example:\n  " + example);
  if (run) command->callback(std::move(run));
  return command;
}

namespace limits {

CLI::Validator number(const char* name, double least, const char* message) {
  return CLI::Validator(
      [least, message](const std::string& text) {
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        return end != text.c_str() && *end == '\0' && value >= least ? std::string() : "must be " + std::string(message) + ", not " + text;
      },
      name);
}

}  // namespace limits

const CLI::Validator at_least_one = limits::number(">=1", 1, "a number of at least 1");
const CLI::Validator not_negative = limits::number(">=0", 0, "a number of at least 0");

/// The nearest name to what was misspelt: of a command, or of an option of the command that was used.
std::string suggestion(const CLI::App& app, int argc, char** argv) {
  std::vector<std::string> known;
  const CLI::App* at = &app;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--") break;  // what stands behind it is another command's
    if (word[0] != '-') {
      const auto subcommands = at->get_subcommands([](const CLI::App*) { return true; });
      if (subcommands.empty()) continue;
      const auto it = std::find_if(subcommands.begin(), subcommands.end(), [&](const CLI::App* sub) { return sub->get_name() == word; });
      if (it != subcommands.end()) {
        at = *it;
        continue;
      }
      for (const auto* sub : subcommands) known.push_back(sub->get_name());
      return "there is no command '" + word + "'" + did_you_mean(word, known);
    }
    const std::string option = word.substr(0, word.find('='));
    if (option.size() < 3 || option[1] != '-' || at->get_option_no_throw(option)) continue;
    if (at->get_name() == "launch" && i > 2 && std::find(argv + i, argv + argc, std::string_view("--")) == argv + argc) {
      return "there is no option '" + option + "' of launch; the command that it starts stands behind --, as in: vlm launch -n 2 -- pretrain --config FILE";
    }
    for (const auto* other : at->get_options()) {
      for (const auto& name : other->get_lnames()) known.push_back("--" + name);
    }
    return "there is no option '" + option + "'" + did_you_mean(option, known);
  }
  return "";
}

}  // namespace vlm::apps

namespace {

/// Commands that decode pictures while LibTorch computes. By default OpenMP's threads spin while they wait, and take the cores
/// from the decoding ones: with two cores an epoch then takes more than twice as long. OpenMP reads this setting when it is
/// loaded, so the command starts itself once more with it. Decoding texts consists of thousands of short products: there the
/// threads spin for a moment before they sleep.
void wait_passively(int argc, char** argv) {
  static constexpr const char* busy[] = {"pretrain", "finetune", "eval", "embed", "index", "search", "classify", "report"};
  static constexpr const char* decoding[] = {"caption", "vqa", "match", "ground", "explain", "describe-region", "entail", "infill", "ask"};
  if (argc < 2 || std::getenv("OMP_WAIT_POLICY") || std::getenv("GOMP_SPINCOUNT")) return;
  const auto is_one_of = [&](const auto& names) {
    return std::any_of(std::begin(names), std::end(names), [&](const char* name) { return std::strcmp(argv[1], name) == 0; });
  };
  if (is_one_of(busy)) {
    setenv("OMP_WAIT_POLICY", "passive", 1);
  } else if (is_one_of(decoding)) {
    setenv("GOMP_SPINCOUNT", "20000", 1);
  } else {
    return;
  }
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) execv(self.c_str(), argv);  // returns only if it fails, and then nothing but speed is lost
}

}  // namespace

int main(int argc, char** argv) {
  wait_passively(argc, argv);
  // Buffers of pictures come and go: given back to the system each time, they cost a page fault for every 4 kB.
  mallopt(M_MMAP_THRESHOLD, 128 << 20);
  mallopt(M_TRIM_THRESHOLD, 256 << 20);
  using namespace vlm::apps;
  if (const std::string warning = vlm::blas_provider_warning(); !warning.empty()) vlm::log_warning(warning);
  CLI::App app{"vlm: train and run vision-language models", "vlm"};
  app.set_version_flag("--version", VLM_VERSION);
  app.require_subcommand(1);
  app.footer("vlm COMMAND --help shows what a command takes, with an example.\n"
             "Exit codes: 0 done, 1 failed, 2 used wrongly.");
  app.get_formatter()->column_width(34);
  add_info(app);
  add_convert(app);
  add_data(app);
  add_tokenizer(app);
  add_pretrain(app);
  add_finetune(app);
  add_launch(app);
  add_train_plan(app);
  add_eval(app);
  add_classify(app);
  add_embed(app);
  add_index(app);
  add_search(app);
  add_caption(app);
  add_vqa(app);
  add_match(app);
  add_ground(app);
  add_explain(app);
  add_describe_region(app);
  add_entail(app);
  add_infill(app);
  add_ask(app);
  add_report(app);
  add_golden(app);
  add_forward(app);
  add_bench(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) {
      if (const std::string hint = suggestion(app, argc, argv); !hint.empty()) {
        vlm::write_log(vlm::LogLevel::quiet, "error: ", hint + "; vlm COMMAND --help lists what there is");
        return 2;
      }
    }
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  } catch (const Exit& exit) {
    return exit.code;
  } catch (const vlm::Error& error) {
    vlm::write_log(vlm::LogLevel::quiet, "error: ", error.what());
    return static_cast<int>(error.code());
  } catch (const std::exception& error) {
    vlm::write_log(vlm::LogLevel::quiet, "error: ", error.what());
    return 1;
  }
}
