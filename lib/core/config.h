#pragma once
/// Typed configuration. An options struct names its fields once, and that serves reading (YAML, JSON, dotted overrides),
/// writing and documentation:
///
///   struct AdamWOptions {
///     double lr = 5e-4;
///     void fields(Fields& f) { f.field("lr", lr, "peak learning rate"); }
///   };
///   Config config = Config::load("recipe.yaml");
///   config.override_with({"train.lr=1e-4"});
///   AdamWOptions options;
///   config.read(options);                   // an unknown key: error with file, line and the nearest known key

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace vlm {

class Fields;

template <class S>
concept HasFields = requires(S& s, Fields& f) { s.fields(f); };

/// What an options struct shows its fields to.
class Fields {
 public:
  virtual ~Fields() = default;
  virtual void field(const char* key, bool& value, const char* doc) = 0;
  virtual void field(const char* key, int64_t& value, const char* doc) = 0;
  virtual void field(const char* key, double& value, const char* doc) = 0;
  /// Any scalar, as it is written.
  virtual void field(const char* key, std::string& value, const char* doc) = 0;
  /// Lists; a scalar stands for a list of one.
  virtual void field(const char* key, std::vector<int64_t>& value, const char* doc) = 0;
  virtual void field(const char* key, std::vector<double>& value, const char* doc) = 0;
  virtual void field(const char* key, std::vector<std::string>& value, const char* doc) = 0;
  /// A section of its own.
  template <HasFields S>
  void field(const char* key, S& section, const char* doc) {
    if (enter(key, doc)) {
      section.fields(*this);
      leave();
    }
  }
  /// True while values are taken from a configuration, false while they are written or described.
  virtual bool reading() const { return false; }
  /// A part whose keys nobody here knows (it is read later, by what it configures): taken as it stands.
  virtual void field(const char* key, class Config& part, const char* doc) = 0;

 protected:
  virtual bool enter(const char* key, const char* doc) = 0;
  virtual void leave() = 0;
};

/// A tree of keys and values with the place where each one was written.
class Config {
 public:
  Config();
  ~Config();
  Config(const Config&);
  Config& operator=(const Config&);
  Config(Config&&) noexcept;
  Config& operator=(Config&&) noexcept;

  /// Reads a YAML (or JSON) file. Throws with file and line if it does not parse.
  static Config load(const std::filesystem::path& file);
  /// `name` is what messages call the text.
  static Config parse(const std::string& text, const std::string& name);

  /// Applies "a.b.c=value" in order; the value is YAML ("[1, 2]", "true"). Throws a usage error on a wrong form.
  void override_with(const std::vector<std::string>& assignments);

  /// Fills `options` from the keys that are there; the others keep their defaults. Throws a usage error for a key that
  /// `options` does not have or a value of the wrong type, naming file, line and the nearest known key.
  template <HasFields S>
  void read(S& options) const {
    const auto reader = make_reader();
    options.fields(*reader);
    check_all_read(*reader);
  }

  bool empty() const;
  /// The part under a key; empty if there is none.
  Config section(const std::string& key) const;
  bool has(const std::string& dotted_key) const;
  /// A scalar as text, or `otherwise`.
  std::string get(const std::string& dotted_key, const std::string& otherwise) const;
  nlohmann::ordered_json to_json() const;

 private:
  friend class ConfigReader;
  std::unique_ptr<Fields> make_reader() const;
  void check_all_read(Fields& reader) const;
  struct Node;
  std::unique_ptr<Node> node_;
};

/// The struct's present values, keys in the order of the fields.
template <HasFields S>
nlohmann::ordered_json to_json(const S& options);
/// "key: value   # doc" lines, for help texts.
template <HasFields S>
std::string describe(const S& options);

namespace detail {
std::unique_ptr<Fields> make_json_writer(nlohmann::ordered_json& out);
std::unique_ptr<Fields> make_describer(std::string& out);
}  // namespace detail

template <HasFields S>
std::string describe(const S& options) {
  std::string out;
  S copy = options;
  copy.fields(*detail::make_describer(out));
  return out;
}

}  // namespace vlm
