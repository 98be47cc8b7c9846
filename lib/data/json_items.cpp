#include "vlm/data/json_items.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>

#include "vlm/core/error.h"
#include "vlm/core/json.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace json_items {

using Json = nlohmann::json;

constexpr size_t deepest = 64;

/// Gets a file's values as they come; `Json` values are built only below a place that somebody wants.
class Reader : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(number_integer_t v) override { return value(v); }
  bool number_unsigned(number_unsigned_t v) override { return value(v); }
  bool number_float(number_float_t v, const string_t&) override { return value(v); }
  bool string(string_t& v) override { return value(std::move(v)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& k) override {
    if (!building_.empty()) {
      key_ = k;
    } else if (depth_ == 1) {
      top_key(k);
    }
    return !stopped_;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    error_ = error.what();
    return false;
  }

  const std::string& error() const { return error_; }
  bool stopped() const { return stopped_; }

 protected:
  virtual void top(bool list) = 0;                   ///< the file begins
  virtual void top_key(const std::string& key) = 0;  ///< of an object
  /// Whether the value that begins here is to be built; depth 1: directly below the top.
  virtual bool wanted(size_t depth, bool container, bool list) = 0;
  virtual void built(size_t depth, Json&& value) = 0;
  void stop() { stopped_ = true; }

 private:
  bool open(Json container) {
    if (++depth_ > deepest) {
      error_ = "values are nested deeper than 64 levels";
      return false;
    }
    const bool list = container.is_array();
    if (!building_.empty()) {
      building_.push_back(put(std::move(container)));
    } else if (depth_ == 1) {
      top(list);
    } else if (wanted(depth_ - 1, true, list)) {
      root_ = std::move(container);
      root_depth_ = depth_ - 1;
      building_.push_back(&root_);
    }
    return !stopped_ && error_.empty();
  }
  bool close() {
    --depth_;
    if (!building_.empty()) {
      building_.pop_back();
      if (building_.empty()) built(root_depth_, std::move(root_));
    }
    return !stopped_;
  }
  bool value(Json v) {
    if (!building_.empty()) {
      put(std::move(v));
    } else if (depth_ == 0) {
      error_ = "neither a list nor an object";
      return false;
    } else if (wanted(depth_, false, false)) {
      built(depth_, std::move(v));
    }
    return !stopped_;
  }
  Json* put(Json&& v) {
    Json& parent = *building_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return &parent.back();
    }
    Json& place = parent[key_];
    place = std::move(v);
    return &place;
  }

  size_t depth_ = 0, root_depth_ = 0;
  Json root_;
  std::vector<Json*> building_;
  std::string key_, error_;
  bool stopped_ = false;
};

class ListReader : public Reader {
 public:
  ListReader(const std::map<std::string, JsonItemHandler>& lists, bool list_on_top, std::map<std::string, Json>* values)
      : lists_(lists), list_on_top_(list_on_top), values_(values) {
    if (list_on_top_) current_ = &lists.at("");
  }
  std::string problem;
  std::vector<std::string> seen;

 protected:
  void top(bool list) override {
    if (list == list_on_top_) return;
    problem = list ? "a list, where an object was expected" : "an object, where a list was expected";
    stop();
  }
  void top_key(const std::string& key) override {
    key_ = key;
    const auto it = lists_.find(key);
    current_ = it == lists_.end() ? nullptr : &it->second;
    if (current_) seen.push_back(key);
  }
  bool wanted(size_t depth, bool, bool list) override {
    if (list_on_top_) return depth == 1;
    if (depth == 1) {
      if (current_ && !list) {
        problem = "'" + key_ + "' is no list";
        stop();
      }
      return !current_ && values_ && values_->count(key_) > 0;
    }
    return depth == 2 && current_;
  }
  void built(size_t depth, Json&& value) override {
    if (list_on_top_ || depth == 2) {
      (*current_)(std::move(value));
    } else {
      (*values_)[key_] = std::move(value);
    }
  }

 private:
  const std::map<std::string, JsonItemHandler>& lists_;
  bool list_on_top_;
  std::map<std::string, Json>* values_;
  const JsonItemHandler* current_ = nullptr;
  std::string key_;
};

class ShapeReader : public Reader {
 public:
  explicit ShapeReader(const std::function<bool(const JsonShape&)>& enough) : enough_(enough) {}
  JsonShape shape;

 protected:
  void top(bool list) override { shape.list = list; }
  void top_key(const std::string& key) override {
    shape.keys.push_back(key);
    if (enough_(shape)) stop();
  }
  bool wanted(size_t depth, bool container, bool list) override {
    if (shape.list) return depth == 1 && container && !list && !seen_;
    return depth == 2 && container && !list && shape.first_items.count(shape.keys.back()) == 0;
  }
  void built(size_t, Json&& value) override {
    std::vector<std::string> keys;
    for (const auto& [key, item] : value.items()) keys.push_back(key);
    if (shape.list) {
      shape.item_keys = std::move(keys);
      seen_ = true;
      stop();
    } else {
      shape.first_items[shape.keys.back()] = std::move(keys);
      if (enough_(shape)) stop();
    }
  }

 private:
  const std::function<bool(const JsonShape&)>& enough_;
  bool seen_ = false;
};

/// Returns when the value ends or the reader has stopped of its own will.
void parse(const std::filesystem::path& file, Reader& reader, bool to_the_end) {
  std::ifstream in(file, std::ios::binary);
  std::error_code is_folder;
  if (!in || std::filesystem::is_directory(file, is_folder))
    fail("cannot open ", file.string(), ": ", in ? "a folder, a file is needed" : std::strerror(errno));
  const bool whole = Json::sax_parse(in, &reader, Json::input_format_t::json, to_the_end);
  if (!whole && !reader.stopped()) fail(file.string(), ": ", reader.error().empty() ? "not JSON" : reader.error());
}

void read(const std::filesystem::path& file, const std::map<std::string, JsonItemHandler>& lists, bool list_on_top,
          std::map<std::string, Json>* values) {
  ListReader reader(lists, list_on_top, values);
  parse(file, reader, true);
  if (!reader.problem.empty()) fail(file.string(), ": ", reader.problem);
  if (list_on_top) return;
  for (const auto& [key, handler] : lists) {
    if (std::find(reader.seen.begin(), reader.seen.end(), key) == reader.seen.end())
      fail(file.string(), ": there is no list '", key, "'");
  }
}

bool contains(const std::vector<std::string>& keys, std::string_view key) {
  return std::find(keys.begin(), keys.end(), key) != keys.end();
}

}  // namespace json_items

void for_each_json_item(const std::filesystem::path& file, const JsonItemHandler& handler) {
  json_items::read(file, {{"", handler}}, true, nullptr);
}

void for_each_json_item(const std::filesystem::path& file, const std::map<std::string, JsonItemHandler>& lists,
                        std::map<std::string, nlohmann::json>* values) {
  json_items::read(file, lists, false, values);
}

bool JsonShape::has(std::string_view key) const { return json_items::contains(item_keys, key); }

bool JsonShape::has(const std::string& list, std::string_view key) const {
  const auto it = first_items.find(list);
  return it != first_items.end() && json_items::contains(it->second, key);
}

JsonShape read_json_shape(const std::filesystem::path& file, const std::function<bool(const JsonShape&)>& enough) {
  json_items::ShapeReader reader(enough);
  json_items::parse(file, reader, false);
  return std::move(reader.shape);
}

nlohmann::json parse_json_line(std::string_view line) {
  if (!is_shallow_json(line, json_items::deepest)) return nlohmann::json(nlohmann::json::value_t::discarded);
  return nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
}

const std::string* text_of(const nlohmann::json& row, const char* key) {
  if (!row.is_object()) return nullptr;
  const auto it = row.find(key);
  if (it == row.end() || !it->is_string()) return nullptr;
  const auto& text = it->get_ref<const std::string&>();
  return strip(text).empty() ? nullptr : &text;
}

std::optional<int64_t> integer_of(const nlohmann::json& row, const char* key) {
  if (!row.is_object()) return std::nullopt;
  const auto it = row.find(key);
  if (it == row.end() || !it->is_number_integer()) return std::nullopt;
  return it->get<int64_t>();
}

std::string identity_of(const nlohmann::json& value) {
  if (value.is_number_float()) {
    const double number = value.get<double>();
    if (std::floor(number) == number && std::abs(number) < 9e15) return std::to_string(static_cast<int64_t>(number));
  }
  return value.dump();
}

}  // namespace vlm
