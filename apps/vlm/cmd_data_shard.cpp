#include <cstdio>

#include "command.h"
#include "data_command.h"
#include "output.h"
#include "vlm/core/strings.h"
#include "vlm/data/shard_export.h"

namespace vlm::apps {

namespace data_shard {

struct Options {
  DataFlags data;
  ShardExportOptions shards;
  std::string out;
};

void run(Options& options) {
  options.shards.out = options.out;
  options.shards.strict = options.data.strict;
  options.shards.threads = options.data.threads;
  const auto source = options.data.open();
  const ShardExport done = export_shards(*source, options.shards);
  if (options.data.json) return print_json(done.to_json());
  std::printf("%lld samples in %zu shards, %s; %lld skipped\n", static_cast<long long>(done.samples), done.shards.size(),
              human_bytes(static_cast<double>(done.bytes)).c_str(), static_cast<long long>(done.skipped));
  for (const auto& [reason, count] : done.reasons) std::printf("  %s %lld\n", reason.c_str(), static_cast<long long>(count));
  std::printf("%s\n", done.shards.front().c_str());
  if (done.shards.size() > 1) std::printf("  to %s\n", done.shards.back().filename().c_str());
}

}  // namespace data_shard

void add_data_shard(CLI::App& data) {
  auto options = std::make_shared<data_shard::Options>();
  CLI::App* command =
      add_command(data, "shard", "Write any data set as WebDataset tars; the same samples are read back from them",
                  "vlm data shard captions_train.json shards --prefix train --samples-per-shard 5000",
                  [options] { data_shard::run(*options); });
  options->data.add_to(*command, &options->out);
  command->add_option("--prefix", options->shards.prefix, "Shards are PREFIX-000000.tar, ...")->capture_default_str();
  command->add_option("--samples-per-shard", options->shards.samples_per_shard, "Samples in a shard")
      ->capture_default_str()
      ->check(at_least_one);
  command->add_option("--size", options->shards.bytes_per_shard, "A shard also ends at this size, as 500MB")
      ->transform(CLI::AsSizeValue(true));
  command->add_flag("--force", options->shards.force, "Replace shards of this prefix");
}

}  // namespace vlm::apps
