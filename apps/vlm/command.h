#pragma once
/// What the subcommands share. A subcommand is one file with one function that adds it to the application.

#include <CLI/CLI.hpp>

#include <string>
#include <vector>

namespace vlm::apps {

/// Adds a subcommand with a description and an example that works; `run` is called after parsing and may throw vlm::Error.
CLI::App* add_command(CLI::App& app, const std::string& name, const std::string& description, const std::string& example,
                      std::function<void()> run);

/// Checks of numbers whose messages a person can read.
extern const CLI::Validator at_least_one, not_negative;

/// Ends the command with this exit code after it has printed what it has to say.
struct Exit {
  int code;
};

void add_ask(CLI::App& app);
void add_bench(CLI::App& app);
void add_caption(CLI::App& app);
void add_classify(CLI::App& app);
void add_convert(CLI::App& app);
void add_data(CLI::App& app);
void add_describe_region(CLI::App& app);
void add_embed(CLI::App& app);
void add_entail(CLI::App& app);
void add_eval(CLI::App& app);
void add_forward(CLI::App& app);
void add_golden(CLI::App& app);
void add_ground(CLI::App& app);
void add_index(CLI::App& app);
void add_infill(CLI::App& app);
void add_info(CLI::App& app);
void add_launch(CLI::App& app);
void add_explain(CLI::App& app);
void add_match(CLI::App& app);
void add_pretrain(CLI::App& app);
void add_finetune(CLI::App& app);
void add_report(CLI::App& app);
void add_search(CLI::App& app);
void add_tokenizer(CLI::App& app);
void add_train_plan(CLI::App& app);
void add_vqa(CLI::App& app);

}  // namespace vlm::apps
