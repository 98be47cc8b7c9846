#include "vlm/core/config.h"

#include <yaml-cpp/yaml.h>

#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "vlm/core/config_json.h"
#include "vlm/core/error.h"
#include "vlm/core/strings.h"

namespace vlm {

/// yaml-cpp's nodes, turned into a tree of our own: places survive overrides, and lookups never add keys.
struct Config::Node {
  enum class Kind { null, scalar, list, map } kind = Kind::null;
  std::string scalar;
  bool quoted = false;
  std::string place;  // "recipe.yaml:12"
  std::vector<Node> items;
  struct Entry;
  std::vector<Entry> entries;

  const Node* find(std::string_view key) const;
};

struct Config::Node::Entry {
  std::string name;
  Node node;
};

const Config::Node* Config::Node::find(std::string_view key) const {
  for (const auto& [name, node] : entries) {
    if (name == key) return &node;
  }
  return nullptr;
}

namespace {

constexpr int deepest = 100;

/// `room`: how many nodes more there may be. Every node but those that an alias repeats takes a character of the text.
template <class Tree>
Tree convert_yaml(const YAML::Node& yaml, const std::string& name, size_t& room, int depth = 0) {
  if (depth > deepest) fail_usage(name, ": nested more than ", deepest, " levels deep");
  if (room-- == 0) fail_usage(name, ": its aliases (*name) repeat themselves without end; write out what they stand for");
  Tree node;
  const auto mark = yaml.Mark();
  node.place = mark.line >= 0 ? concat(name, ":", mark.line + 1) : name;
  if (yaml.IsScalar()) {
    node.kind = Tree::Kind::scalar;
    node.scalar = yaml.Scalar();
    node.quoted = yaml.Tag() == "!";
  } else if (yaml.IsSequence()) {
    node.kind = Tree::Kind::list;
    for (const auto& item : yaml) node.items.push_back(convert_yaml<Tree>(item, name, room, depth + 1));
  } else if (yaml.IsMap()) {
    node.kind = Tree::Kind::map;
    std::set<std::string> known;
    for (const auto& entry : yaml) {
      if (!entry.first.IsScalar()) fail_usage(node.place, ": a key must be a plain word");
      const std::string& key = entry.first.Scalar();
      if (!known.insert(key).second) fail_usage(name, ":", entry.first.Mark().line + 1, ": the key '", key, "' stands twice");
      node.entries.push_back({key, convert_yaml<Tree>(entry.second, name, room, depth + 1)});
      node.entries.back().node.place = concat(name, ":", entry.first.Mark().line + 1);
    }
  }
  return node;
}

YAML::Node parse_yaml(const std::string& text, const std::string& name) {
  try {
    return YAML::Load(text);
  } catch (const YAML::Exception& error) {
    fail_usage(name, ":", error.mark.line + 1, ":", error.mark.column + 1, ": ", error.msg);
  }
}

/// What a text has without aliases, and ordinary aliases with it.
size_t most_nodes(const std::string& text) { return 2 * text.size() + 10'000; }

bool parse_bool(const std::string& text, bool& value) {
  const std::string word = ascii_lower(text);
  if (word == "true" || word == "yes" || word == "on") return value = true, true;
  if (word == "false" || word == "no" || word == "off") return value = false, true;
  return false;
}

bool parse_int(const std::string& text, int64_t& value) {
  std::string digits;
  for (const char c : text) {
    if (c != '_') digits += c;  // 10_000
  }
  size_t used = 0;
  try {
    value = std::stoll(digits, &used);
  } catch (const std::exception&) {
    return false;
  }
  return used == digits.size();
}

bool parse_double(const std::string& text, double& value) {
  size_t used = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    return false;
  }
  return used == text.size();
}

}  // namespace

Config::Config() : node_(std::make_unique<Node>()) {}
Config::~Config() = default;
Config::Config(const Config& other) : node_(std::make_unique<Node>(*other.node_)) {}
Config& Config::operator=(const Config& other) {
  node_ = std::make_unique<Node>(*other.node_);
  return *this;
}
Config::Config(Config&&) noexcept = default;
Config& Config::operator=(Config&&) noexcept = default;

Config Config::load(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) fail_usage("cannot open the configuration ", file.string());
  std::ostringstream text;
  text << in.rdbuf();
  return parse(text.str(), file.string());
}

Config Config::parse(const std::string& text, const std::string& name) {
  const YAML::Node yaml = parse_yaml(text, name);
  if (!yaml.IsMap() && !yaml.IsNull()) fail_usage(name, ": expected keys and values at the top");
  Config config;
  size_t room = most_nodes(text);
  *config.node_ = convert_yaml<Node>(yaml, name, room);
  return config;
}

void Config::override_with(const std::vector<std::string>& assignments) {
  for (const auto& assignment : assignments) {
    const size_t equals = assignment.find('=');
    if (equals == std::string::npos || equals == 0) {
      fail_usage("'", assignment, "' is not an override; write it as key.subkey=value, as in train.lr=1e-4");
    }
    Node* node = node_.get();
    const auto keys = split(std::string_view(assignment).substr(0, equals), ".");
    if (std::ssize(keys) > deepest) fail_usage("an override's key has ", keys.size(), " parts; at most ", deepest, " are read");
    for (const auto& key : keys) {
      if (key.empty()) fail_usage("'", assignment, "' has an empty part in its key");
      if (node->kind == Node::Kind::null) node->kind = Node::Kind::map;
      if (node->kind != Node::Kind::map) fail_usage("'", assignment, "': what stands before '", key, "' is a value, not a section");
      Node* next = nullptr;
      for (auto& [name, child] : node->entries) {
        if (name == key) next = &child;
      }
      if (!next) next = &node->entries.emplace_back(Node::Entry{key, Node{}}).node;
      node = next;
    }
    const std::string place = "override '" + assignment + "'";
    const std::string value = assignment.substr(equals + 1);
    size_t room = most_nodes(value);
    *node = convert_yaml<Node>(parse_yaml(value, place), place, room);
    node->place = place;
  }
}

bool Config::empty() const { return node_->kind == Node::Kind::null || (node_->kind == Node::Kind::map && node_->entries.empty()); }

Config Config::section(const std::string& key) const {
  Config part;
  if (const Node* node = node_->find(key)) *part.node_ = *node;
  return part;
}

bool Config::has(const std::string& dotted_key) const {
  const Node* node = node_.get();
  for (const auto& key : split(dotted_key, ".")) {
    node = node->find(key);
    if (!node) return false;
  }
  return node->kind != Node::Kind::null;
}

std::string Config::get(const std::string& dotted_key, const std::string& otherwise) const {
  const Node* node = node_.get();
  for (const auto& key : split(dotted_key, ".")) {
    node = node->find(key);
    if (!node) return otherwise;
  }
  return node->kind == Node::Kind::scalar ? node->scalar : otherwise;
}

nlohmann::ordered_json Config::to_json() const {
  const std::function<nlohmann::ordered_json(const Node&)> convert = [&](const Node& node) -> nlohmann::ordered_json {
    bool b;
    int64_t i;
    double d;
    switch (node.kind) {
      case Node::Kind::null: return nullptr;
      case Node::Kind::scalar:
        if (!node.quoted) {
          if (parse_bool(node.scalar, b) && (node.scalar == "true" || node.scalar == "false")) return b;
          if (parse_int(node.scalar, i)) return i;
          if (parse_double(node.scalar, d)) return d;
        }
        return node.scalar;
      case Node::Kind::list: {
        auto list = nlohmann::ordered_json::array();
        for (const auto& item : node.items) list.push_back(convert(item));
        return list;
      }
      case Node::Kind::map: break;
    }
    auto map = nlohmann::ordered_json::object();
    for (const auto& [key, value] : node.entries) map[key] = convert(value);
    return map;
  };
  return convert(*node_);
}

/// Walks the tree beside the struct and remembers which keys the struct knows.
class ConfigReader : public Fields {
 public:
  explicit ConfigReader(const Config::Node& root) { stack_.push_back({"", &root, {}}); }

  void field(const char* key, bool& value, const char*) override {
    scalar(key, "true or false", [&](const std::string& text) { return parse_bool(text, value); });
  }
  void field(const char* key, int64_t& value, const char*) override {
    scalar(key, "a whole number", [&](const std::string& text) { return parse_int(text, value); });
  }
  void field(const char* key, double& value, const char*) override {
    scalar(key, "a number", [&](const std::string& text) { return parse_double(text, value); });
  }
  void field(const char* key, std::string& value, const char*) override {
    scalar(key, "a text", [&](const std::string& text) { return value = text, true; });
  }
  void field(const char* key, std::vector<int64_t>& value, const char*) override { list(key, value, "whole numbers", parse_int); }
  void field(const char* key, std::vector<double>& value, const char*) override { list(key, value, "numbers", parse_double); }
  void field(const char* key, std::vector<std::string>& value, const char*) override {
    list(key, value, "texts", [](const std::string& text, std::string& out) { return out = text, true; });
  }
  void field(const char* key, Config& part, const char*) override {
    if (const auto* node = look_up(key)) *part.node_ = *node;
  }

  bool reading() const override { return true; }

  /// Keys of the present section that no field asked for.
  void check_section() {
    const auto& level = stack_.back();
    if (!level.node) return;
    for (const auto& [key, node] : level.node->entries) {
      if (level.known.count(key)) continue;
      const std::vector<std::string> known(level.known.begin(), level.known.end());
      fail_usage(node.place, ": unknown key '", level.path.empty() ? key : level.path + "." + key, "'",
                 did_you_mean(key, known), "; known here: ", join(known, ", "));
    }
  }

 protected:
  bool enter(const char* key, const char*) override {
    const auto* node = look_up(key);
    if (node && node->kind != Config::Node::Kind::map) fail_usage(node->place, ": '", path(key), "' is a section with keys of its own");
    stack_.push_back({path(key), node, {}});
    return true;
  }
  void leave() override {
    check_section();
    stack_.pop_back();
  }

 private:
  struct Level {
    std::string path;
    const Config::Node* node;
    std::set<std::string> known;
  };

  std::string path(const std::string& key) const { return stack_.back().path.empty() ? key : stack_.back().path + "." + key; }

  const Config::Node* look_up(const char* key) {
    auto& level = stack_.back();
    level.known.insert(key);
    const auto* node = level.node ? level.node->find(key) : nullptr;
    return node && node->kind != Config::Node::Kind::null ? node : nullptr;
  }

  template <class Parse>
  void scalar(const char* key, const char* expected, Parse parse) {
    const auto* node = look_up(key);
    if (!node) return;
    if (node->kind != Config::Node::Kind::scalar || !parse(node->scalar)) {
      fail_usage(node->place, ": '", path(key), "' must be ", expected,
                 node->kind == Config::Node::Kind::scalar ? ", not '" + node->scalar + "'" : "");
    }
  }

  template <class T, class Parse>
  void list(const char* key, std::vector<T>& value, const char* expected, Parse parse) {
    const auto* node = look_up(key);
    if (!node) return;
    std::vector<const Config::Node*> items;
    if (node->kind == Config::Node::Kind::scalar) items.push_back(node);
    if (node->kind == Config::Node::Kind::list) {
      for (const auto& item : node->items) items.push_back(&item);
    }
    value.clear();
    for (const auto* item : items) {
      T element{};
      if (item->kind != Config::Node::Kind::scalar || !parse(item->scalar, element)) {
        fail_usage(item->place, ": '", path(key), "' must be a list of ", expected);
      }
      value.push_back(element);
    }
    if (node->kind == Config::Node::Kind::map) fail_usage(node->place, ": '", path(key), "' must be a list of ", expected);
  }

  std::vector<Level> stack_;
};

std::unique_ptr<Fields> Config::make_reader() const { return std::make_unique<ConfigReader>(*node_); }
void Config::check_all_read(Fields& reader) const { dynamic_cast<ConfigReader&>(reader).check_section(); }

namespace {

class JsonWriter : public Fields {
 public:
  explicit JsonWriter(nlohmann::ordered_json& out) { stack_.push_back(&out); }
  void field(const char* key, bool& value, const char*) override { top()[key] = value; }
  void field(const char* key, int64_t& value, const char*) override { top()[key] = value; }
  void field(const char* key, double& value, const char*) override { top()[key] = value; }
  void field(const char* key, std::string& value, const char*) override { top()[key] = value; }
  void field(const char* key, std::vector<int64_t>& value, const char*) override { top()[key] = value; }
  void field(const char* key, std::vector<double>& value, const char*) override { top()[key] = value; }
  void field(const char* key, std::vector<std::string>& value, const char*) override { top()[key] = value; }
  void field(const char* key, Config& part, const char*) override { top()[key] = part.to_json(); }

 protected:
  bool enter(const char* key, const char*) override {
    auto& section = top()[key];
    section = nlohmann::ordered_json::object();
    stack_.push_back(&section);
    return true;
  }
  void leave() override { stack_.pop_back(); }

 private:
  nlohmann::ordered_json& top() { return *stack_.back(); }
  std::vector<nlohmann::ordered_json*> stack_;
};

class Describer : public Fields {
 public:
  explicit Describer(std::string& out) : out_(out) {}
  void field(const char* key, bool& value, const char* doc) override { line(key, value ? "true" : "false", doc); }
  void field(const char* key, int64_t& value, const char* doc) override { line(key, std::to_string(value), doc); }
  void field(const char* key, double& value, const char* doc) override { line(key, concat(value), doc); }
  void field(const char* key, std::string& value, const char* doc) override { line(key, value.empty() ? "\"\"" : value, doc); }
  void field(const char* key, std::vector<int64_t>& value, const char* doc) override { line(key, nlohmann::json(value).dump(), doc); }
  void field(const char* key, std::vector<double>& value, const char* doc) override { line(key, nlohmann::json(value).dump(), doc); }
  void field(const char* key, std::vector<std::string>& value, const char* doc) override { line(key, nlohmann::json(value).dump(), doc); }
  void field(const char* key, Config& part, const char* doc) override { line(key, part.to_json().dump(), doc); }

 protected:
  bool enter(const char* key, const char* doc) override {
    line(key, "", doc);
    indent_ += 2;
    return true;
  }
  void leave() override { indent_ -= 2; }

 private:
  void line(const std::string& key, const std::string& value, const char* doc) {
    std::string text = std::string(indent_, ' ') + key + ": " + value;
    if (text.size() < 34) text.resize(34, ' ');
    out_ += text + "  # " + doc + "\n";
  }
  std::string& out_;
  size_t indent_ = 0;
};

}  // namespace

namespace detail {
std::unique_ptr<Fields> make_json_writer(nlohmann::ordered_json& out) { return std::make_unique<JsonWriter>(out); }
std::unique_ptr<Fields> make_describer(std::string& out) { return std::make_unique<Describer>(out); }
}  // namespace detail

}  // namespace vlm
