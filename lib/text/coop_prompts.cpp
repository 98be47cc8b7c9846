#include "vlm/text/coop_prompts.h"

#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

CoopPrompts make_coop_prompts(const Tokenizer& tokenizer, const std::vector<std::string>& class_names, const CoopPromptOptions& options) {
  if (class_names.empty()) fail("prompts: there is no class");
  const auto spaced = [](std::string text) {
    std::replace(text.begin(), text.end(), '_', ' ');
    return text;
  };
  CoopPrompts out;
  std::string prefix = spaced(options.ctx_init);
  out.n_ctx = static_cast<int64_t>(split(prefix, " ").size());
  if (options.ctx_init.empty()) {
    if (options.n_ctx < 1) fail("prompts: a context of ", options.n_ctx, " vectors; there must be one at least");
    out.n_ctx = options.n_ctx;
    prefix = join(std::vector<std::string>(static_cast<size_t>(options.n_ctx), "X"), " ");
  }
  for (const auto& class_name : class_names) {
    const std::string name = spaced(class_name);
    const auto ids = tokenizer.encode(prefix + " " + name + ".");
    if (static_cast<int64_t>(ids.size()) + 2 > options.context_length) {
      fail("prompts: class '", class_name, "' needs ", ids.size() + 2, " ids, the context has ", options.context_length);
    }
    auto row = tokenizer.with_specials(ids, options.context_length);
    row.resize(static_cast<size_t>(options.context_length), tokenizer.specials().pad);
    out.ids.push_back(std::move(row));
    out.name_lengths.push_back(static_cast<int64_t>(tokenizer.encode(name).size()));
  }
  return out;
}

}  // namespace vlm
