#include "vlm/infer/instruction_pipeline.h"

#include <ATen/ops/full.h>
#include <ATen/ops/tensor.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <map>

#include "vlm/core/error.h"
#include "vlm/models/layers/fast_linear.h"

namespace vlm {

namespace instruction_pipeline {

constexpr std::string_view mask_text = "<mask>";

Tensor padded(const std::vector<std::vector<int64_t>>& rows, int64_t pad) {
  size_t longest = 0;
  for (const auto& row : rows) longest = std::max(longest, row.size());
  Tensor out = at::full({static_cast<int64_t>(rows.size()), static_cast<int64_t>(longest)}, pad, at::kLong);
  for (size_t i = 0; i < rows.size(); ++i) std::copy(rows[i].begin(), rows[i].end(), out.data_ptr<int64_t>() + i * longest);
  return out;
}

}  // namespace instruction_pipeline

InstructionPipeline::InstructionPipeline(std::shared_ptr<Model> model, std::shared_ptr<const Tokenizer> tokenizer, bool frozen)
    : model_(std::move(model)),
      instructed_(&require<Instructed>(*model_, "be told what to do", "it takes no instructions")),
      tokenizer_(std::move(tokenizer)),
      tokens_(instructed_->generation_tokens()),
      vocabulary_(instructed_->instruction_vocabulary()),
      frozen_(frozen) {
  if (!tokenizer_) return;  // for those who work on ids
  // OFA's own tokenizers know mask, codes and bins; others have the pieces of texts alone.
  const int64_t words = tokenizer_->vocab_size();
  if (words != vocabulary_.size && words > vocabulary_.first_code) {
    fail_usage("the tokenizer (", tokenizer_->family(), ") has ", words, " ids, the model ", vocabulary_.size, ", of which ", vocabulary_.first_code,
               " are words: it is another model's; name the right one with --tokenizer FILE");
  }
  const SpecialIds& specials = tokenizer_->specials();
  if (specials.bos != tokens_.begin || specials.eos != tokens_.end || specials.pad != tokens_.pad) {
    fail_usage("the tokenizer (", tokenizer_->family(), ") begins texts with ", specials.bos, ", ends them with ", specials.eos, " and pads with ",
               specials.pad, ", the model with ", tokens_.begin, ", ", tokens_.end, " and ", tokens_.pad,
               ": it is another model's; name the right one with --tokenizer FILE");
  }
}

std::vector<int64_t> InstructionPipeline::encode(const std::string& text) const {
  using instruction_pipeline::mask_text;
  if (!tokenizer_) fail("there is no tokenizer beside this model");
  Ids out;
  size_t at = 0;
  for (;;) {
    const size_t mark = text.find(mask_text, at);
    std::string part = text.substr(at, mark == std::string::npos ? mark : mark - at);
    // The mask stands for the space in front of it, too, as that of a word does.
    if (mark != std::string::npos && !part.empty() && part.back() == ' ') part.pop_back();
    if (!part.empty()) {
      const Ids ids = tokenizer_->encode(part);
      out.insert(out.end(), ids.begin(), ids.end());
    }
    if (mark == std::string::npos) return out;
    if (vocabulary_.mask < 0) fail("this model has no <mask>");
    out.push_back(vocabulary_.mask);
    at = mark + mask_text.size();
  }
}

std::vector<int64_t> InstructionPipeline::bins(const std::vector<int64_t>& bins) const {
  Ids out;
  for (const int64_t bin : bins) {
    if (bin < 0 || bin >= vocabulary_.bins) fail("there is no bin ", bin, ": the model has ", vocabulary_.bins);
    out.push_back(vocabulary_.first_bin + bin);
  }
  return out;
}

std::string InstructionPipeline::decode(const Ids& ids) const {
  std::string out;
  Ids words;
  const auto add = [&](const std::string& part) {
    if (!out.empty() && !part.empty() && out.back() != ' ' && part.front() != ' ') out += ' ';
    out += part;
  };
  const auto flush = [&] {
    if (!words.empty() && tokenizer_) add(tokenizer_->decode(words));
    words.clear();
  };
  for (const int64_t id : ids) {
    const bool bin = id >= vocabulary_.first_bin && id < vocabulary_.first_bin + vocabulary_.bins;
    const bool code = id >= vocabulary_.first_code && id < vocabulary_.first_code + vocabulary_.codes;
    if (bin || code || id == vocabulary_.mask) {
      flush();
      add(bin ? concat("<bin_", id - vocabulary_.first_bin, ">") : code ? concat("<code_", id - vocabulary_.first_code, ">") : std::string(instruction_pipeline::mask_text));
    } else if (id != tokens_.begin && id != tokens_.end && id != tokens_.pad && (!tokenizer_ || id < tokenizer_->vocab_size())) {
      words.push_back(id);
    }
  }
  flush();
  out.erase(out.find_last_not_of(' ') + 1);
  out.erase(0, std::min(out.find_first_not_of(' '), out.size()));
  return out;
}

Instruction InstructionPipeline::instruct(const Tensor& pixels, const std::vector<Ids>& sources) const {
  if (sources.empty()) fail("no instruction is given");
  if (pixels.defined() && pixels.size(0) != static_cast<int64_t>(sources.size())) fail("there are ", sources.size(), " instructions for ", pixels.size(0), " pictures");
  std::vector<Ids> rows;
  for (const Ids& source : sources) {
    Ids& row = rows.emplace_back();
    row.push_back(tokens_.begin);
    row.insert(row.end(), source.begin(), source.end());
    row.push_back(tokens_.end);
  }
  Instruction out;
  out.ids = instruction_pipeline::padded(rows, tokens_.pad);
  out.pixels = pixels;
  return out;
}

std::shared_ptr<const EncodedInstruction> InstructionPipeline::look(const Instruction& instruction) const {
  if (frozen_ && ++batches_ == 2) pack_for_inference(*model_);
  return instructed_->encode_instruction(instruction);
}

std::vector<int64_t> InstructionPipeline::prompt_of(const Ids& source, ofa_instruction::Prompt prompt) const {
  Ids out = {tokens_.begin};
  if (prompt == ofa_instruction::Prompt::none) return out;
  out.insert(out.end(), source.begin(), source.end());
  if (prompt == ofa_instruction::Prompt::source) out.push_back(tokens_.end);
  return out;
}

std::vector<std::vector<int64_t>> InstructionPipeline::encode_answers(const std::vector<std::string>& answers) const {
  std::vector<Ids> out;
  for (const auto& answer : answers) {
    out.push_back(encode(ofa_instruction::answer(answer)));
    if (out.back().empty()) fail_usage("the answer '", answer, "' is nothing to this tokenizer");
  }
  return out;
}

std::vector<GeneratedText> InstructionPipeline::reply(const Tensor& pixels, const std::vector<Ids>& sources, const ReplyOptions& options) const {
  const c10::InferenceMode inference;
  std::vector<GeneratedText> out(sources.size());
  if (options.score_all) {
    if (options.answers.empty()) fail_usage("scoring all answers needs a set of answers");
    const Tensor scores = score(pixels, sources, options.answers, options.prompt);             // [B, A]
    for (size_t i = 0; i < sources.size(); ++i) {
      const float* row = scores.const_data_ptr<float>() + static_cast<int64_t>(i) * scores.size(1);
      const auto best = static_cast<size_t>(std::max_element(row, row + scores.size(1)) - row);  // the first one on ties
      out[i] = {options.answers[best], {}, static_cast<double>(row[best])};
    }
    return out;
  }
  // What is forced counts as written, so replies behind longer prompts may be longer: rows whose prompts differ in length go apart,
  // as a reply must not depend on what else is asked.
  std::map<size_t, std::vector<int64_t>> by_length;
  for (size_t i = 0; i < sources.size(); ++i) by_length[prompt_of(sources[i], options.prompt).size()].push_back(static_cast<int64_t>(i));
  if (by_length.size() > 1) {
    for (const auto& [length, members] : by_length) {
      std::vector<Ids> own;
      for (const int64_t row : members) own.push_back(sources[static_cast<size_t>(row)]);
      auto replies = reply(pixels.defined() ? pixels.index_select(0, at::tensor(members, at::kLong)) : Tensor(), own, options);
      for (size_t i = 0; i < members.size(); ++i) out[static_cast<size_t>(members[i])] = std::move(replies[i]);
    }
    return out;
  }
  const Instruction instruction = instruct(pixels, sources);
  const auto encoded = look(instruction);
  SequenceSearchOptions search = options.search;
  const std::vector<Ids> answers = encode_answers(options.answers);
  if (!answers.empty()) {
    search.trie = std::make_shared<const TokenTrie>(answers, tokens_.end);
    search.max_len_a = 0;
    search.max_len_b = search.min_len = 1;
    for (const Ids& answer : answers) search.max_len_b = std::max(search.max_len_b, static_cast<int64_t>(answer.size()));
  }
  const Ids begin = options.begin.empty() ? Ids{} : encode(ofa_instruction::answer(options.begin));
  std::vector<Ids> prefixes;
  for (const Ids& source : sources) {
    Ids& prefix = prefixes.emplace_back(prompt_of(source, options.prompt));
    prefix.erase(prefix.begin());
    prefix.insert(prefix.end(), begin.begin(), begin.end());
  }
  const Tensor forced = instruction_pipeline::padded(prefixes, tokens_.pad);                    // [B, C]
  search.max_len_b += forced.size(1);
  search.min_len += search.min_len > 1 ? forced.size(1) : 0;
  const auto rows = static_cast<int64_t>(sources.size());
  const auto found = sequence_search(*instructed_->begin_reply(encoded), rows, instruction.ids.size(1), tokens_, vocabulary_,
                                     forced.size(1) > 0 ? forced : Tensor(), search);
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].empty()) continue;  // nothing could end
    const SequenceHypothesis& best = found[i].front();
    const size_t prompt = std::min(best.ids.size(), prefixes[i].size() - begin.size());
    out[i].ids.assign(best.ids.begin() + static_cast<std::ptrdiff_t>(prompt), best.ids.end());
    if (!out[i].ids.empty() && out[i].ids.back() == tokens_.end) out[i].ids.pop_back();
    const Ids written(out[i].ids.begin() + static_cast<std::ptrdiff_t>(std::min(begin.size(), out[i].ids.size())), out[i].ids.end());
    const auto answer = answers.empty() ? answers.end() : std::find(answers.begin(), answers.end(), written);
    // A closed set answers in its own spelling, which decoding need not give back.
    out[i].text = answer == answers.end() ? decode(out[i].ids) : options.answers[static_cast<size_t>(answer - answers.begin())];
    out[i].score = best.score;
  }
  return out;
}

Tensor InstructionPipeline::score(const Tensor& pixels, const std::vector<Ids>& sources, const std::vector<std::string>& answers,
                                  ofa_instruction::Prompt prompt) const {
  const c10::InferenceMode inference;
  std::vector<Ids> prompts;
  for (const Ids& source : sources) prompts.push_back(prompt_of(source, prompt));
  return score_candidates(*instructed_, look(instruct(pixels, sources)), prompts, encode_answers(answers)).scores;
}

}  // namespace vlm
