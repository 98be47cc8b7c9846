#include "vlm/models/names/name_rules.h"

#include <ATen/ops/cat.h>

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

namespace name_rules {

/// What stood for the wildcards of a pattern.
struct Match {
  std::string number, part, rest;
};

/// Parts of fused tensors, longest first where one begins as another does.
constexpr const char* parts[] = {"kv", "q", "k", "v"};

std::optional<Match> match(std::string_view pattern, std::string_view name) {
  Match out;
  for (; !pattern.empty(); pattern.remove_prefix(1)) {
    const char c = pattern[0];
    if (c == '*') {
      if (name.empty()) return std::nullopt;
      out.rest = name;
      return out;
    }
    if (c == '#') {
      while (!name.empty() && std::isdigit(static_cast<unsigned char>(name[0])))
        out.number += name[0], name.remove_prefix(1);
      if (out.number.empty()) return std::nullopt;
    } else if (c == '?') {
      for (const char* part : parts) {
        if (out.part.empty() && starts_with(name, part)) out.part = part;
      }
      if (out.part.empty()) return std::nullopt;
      name.remove_prefix(out.part.size());
    } else {
      if (name.empty() || name[0] != c) return std::nullopt;
      name.remove_prefix(1);
    }
  }
  if (!name.empty()) return std::nullopt;
  return out;
}

std::string fill(std::string_view pattern, const Match& match, std::string_view part) {
  std::string out;
  for (const char c : pattern) {
    if (c == '#') {
      out += match.number;
    } else if (c == '?') {
      out += part;
    } else if (c == '*') {
      out += match.rest;
    } else {
      out += c;
    }
  }
  return out;
}

struct Way {
  const char* NameRule::*from;
  const char* NameRule::*to;
  bool to_right;
};

class Renaming {
 public:
  Renaming(const TensorMap& weights, const Way& way) : weights_(weights), way_(way) {}

  bool apply(const NameRule& rule, const std::string& name, const Tensor& tensor) {
    const auto found = match(rule.*way_.from, name);
    if (!found) return false;
    const NameAction fused_here = way_.to_right ? NameAction::left_fused : NameAction::right_fused;
    if (rule.action == NameAction::left_fused || rule.action == NameAction::right_fused) {
      const bool three = rule.action == NameAction::left_fused;
      if (rule.action == fused_here) {
        split(rule, *found, name, tensor, three);
      } else {
        join(rule, *found, name, three);
      }
      return true;
    }
    put(fill(rule.*way_.to, *found, ""), changed(rule.action, name, tensor));
    return true;
  }

  void put(const std::string& name, const Tensor& tensor) {
    if (!out_.emplace(name, tensor).second) fail("two tensors get the name '", name, "'");
  }
  TensorMap take() { return std::move(out_); }

 private:
  Tensor changed(NameAction action, const std::string& name, const Tensor& tensor) const {
    if (action == NameAction::transposed) {
      if (tensor.dim() != 2) fail("'", name, "' has shape ", tensor.sizes(), " where a matrix is expected");
      return tensor.t().contiguous();
    }
    if (action == NameAction::leading_axis) {
      if (!way_.to_right) return tensor.unsqueeze(0);
      if (tensor.dim() < 1 || tensor.size(0) != 1)
        fail("'", name, "' has shape ", tensor.sizes(), " where the first axis should be 1");
      return tensor.squeeze(0);
    }
    return tensor;
  }

  void split(const NameRule& rule, const Match& found, const std::string& name, const Tensor& tensor, bool three) {
    if (tensor.dim() < 1 || tensor.size(0) % 3 != 0)
      fail("'", name, "' has shape ", tensor.sizes(), "; its rows should be those of q, k and v");
    const int64_t third = tensor.size(0) / 3;
    put(fill(rule.*way_.to, found, "q"), tensor.narrow(0, 0, third).contiguous());
    if (three) {
      put(fill(rule.*way_.to, found, "k"), tensor.narrow(0, third, third).contiguous());
      put(fill(rule.*way_.to, found, "v"), tensor.narrow(0, 2 * third, third).contiguous());
    } else {
      put(fill(rule.*way_.to, found, "kv"), tensor.narrow(0, third, 2 * third).contiguous());
    }
  }

  /// Done when q comes by; the other parts are looked up then.
  void join(const NameRule& rule, const Match& found, const std::string& name, bool three) {
    const std::vector<std::string> wanted =
        three ? std::vector<std::string>{"q", "k", "v"} : std::vector<std::string>{"q", "kv"};
    if (std::find(wanted.begin(), wanted.end(), found.part) == wanted.end())
      fail("'", name, "' is no part of a fused tensor that is known");
    std::vector<Tensor> tensors;
    for (const auto& part : wanted) {
      const std::string part_name = fill(rule.*way_.from, found, part);
      const auto it = weights_.find(part_name);
      if (it == weights_.end()) fail("there is '", name, "' but no '", part_name, "'; they belong together");
      if (it->second.dim() < 1 || (!tensors.empty() && it->second.sizes().slice(1) != tensors[0].sizes().slice(1))) {
        fail("'", part_name, "' has shape ", it->second.sizes(), ", which does not go with its fellows");
      }
      if (!tensors.empty() && it->second.scalar_type() != tensors[0].scalar_type())
        fail("'", part_name, "' has another type than its fellows");
      tensors.push_back(it->second);
    }
    if (found.part == "q") put(fill(rule.*way_.to, found, ""), at::cat(tensors, 0));
  }

  const TensorMap& weights_;
  Way way_;
  TensorMap out_;
};

TensorMap rename(const TensorMap& weights, std::span<const NameRule> rules, UnknownNames unknown, const Way& way) {
  Renaming renaming(weights, way);
  for (const auto& [name, tensor] : weights) {
    bool done = false;
    for (const NameRule& rule : rules) {
      if ((done = renaming.apply(rule, name, tensor))) break;
    }
    if (done) continue;
    if (unknown == UnknownNames::refuse) fail("the other layout has no place for '", name, "'");
    renaming.put(name, tensor);
  }
  return renaming.take();
}

}  // namespace name_rules

TensorMap left_to_right(const TensorMap& weights, std::span<const NameRule> rules, UnknownNames unknown) {
  return name_rules::rename(weights, rules, unknown, {&NameRule::left, &NameRule::right, true});
}

TensorMap right_to_left(const TensorMap& weights, std::span<const NameRule> rules, UnknownNames unknown) {
  return name_rules::rename(weights, rules, unknown, {&NameRule::right, &NameRule::left, false});
}

}  // namespace vlm
