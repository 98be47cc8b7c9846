#include <cstdio>
#include <filesystem>

#include "command.h"
#include "vlm/core/strings.h"
#include "vlm/golden/runner.h"

namespace vlm::apps {

void add_golden(CLI::App& app) {
  struct Options {
    std::vector<std::string> folders, kinds;
    std::string root;
    bool quiet = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* command = add_command(app, "golden", "Hold this build against reference cases", "vlm golden tests/goldens --kind 'clip.*'", [options] {
    int passed = 0, failed = 0;
    const std::vector<std::filesystem::path> roots(options->folders.begin(), options->folders.end());
    for (const auto& folder : golden::find_cases(roots)) {
      const std::string kind = golden::kind_of(folder);
      bool chosen = options->kinds.empty();
      for (const auto& pattern : options->kinds) chosen = chosen || glob_match(pattern, kind);
      if (!chosen) continue;
      const golden::Report report = golden::run_case(folder, options->root);
      (report.passed ? passed : failed)++;
      if (options->quiet && report.passed) continue;
      std::printf("%s %s %s %s %.3g%s%s\n", report.passed ? "PASS" : "FAIL", report.kind.c_str(), folder.c_str(),
                  report.worst_output.empty() ? "-" : report.worst_output.c_str(), report.worst_ratio,
                  report.message.empty() ? "" : "  ", report.message.c_str());
      std::fflush(stdout);
    }
    std::printf("%d passed, %d failed\n", passed, failed);
    if (failed > 0 || passed == 0) throw Exit{1};
  });
  command->add_option("folder", options->folders, "Folders; every case.json below them is a case")->required();
  command->add_option("--kind", options->kinds, "Only kinds that match this pattern (may be given several times)")->allow_extra_args(false);
  command->add_option("--root", options->root, "The folder that holds vocab/ (default: the nearest one above the case)");
  command->add_flag("--quiet", options->quiet, "Show only the cases that fail");
}

}  // namespace vlm::apps
