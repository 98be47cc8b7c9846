#include "vlm/data/import_svg.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <pugixml.hpp>

#include "vlm/core/error.h"
#include "vlm/core/strings.h"
#include "vlm/text/unicode.h"

namespace vlm {

namespace svg_metadata {

constexpr std::string_view dublin_core = "http://purl.org/dc/elements/1.1/";
constexpr std::string_view rdf = "http://www.w3.org/1999/02/22-rdf-syntax-ns#";
constexpr size_t most_growth = 16'000'000;
constexpr int deepest_entity = 16;
constexpr int deepest_element = 512;

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

size_t skip_space(std::string_view text, size_t at) {
  while (at < text.size() && is_space(text[at])) ++at;
  return at;
}

size_t end_of_name(std::string_view text, size_t at) {
  while (at < text.size() && !is_space(text[at]) && !std::strchr("\"'<>;&%[]()", text[at])) ++at;
  return at;
}

/// Where `closing` ends, searched from `at`.
size_t past(std::string_view text, std::string_view closing, size_t at, const char* what) {
  const size_t found = text.find(closing, at);
  if (found == std::string_view::npos) fail(what, " is never closed");
  return found + closing.size();
}

/// The value of an entity as it is declared: character references count here, references to other entities only later.
std::string declared_value(std::string_view literal) {
  std::string out;
  for (size_t i = 0; i < literal.size(); ++i) {
    const size_t end = literal.substr(i, 2) == "&#" ? literal.find(';', i) : std::string_view::npos;
    if (end == std::string_view::npos || end - i > 10) {
      out += literal[i];
      continue;
    }
    const std::string digits(literal.substr(i + 2, end - i - 2));
    const bool hex = !digits.empty() && digits[0] == 'x';
    char* stop = nullptr;
    const unsigned long code = std::strtoul(digits.c_str() + hex, &stop, hex ? 16 : 10);
    if (*stop || digits.size() == size_t(hex) || code == 0 || code > 0x10FFFF) fail("'&#", digits, ";' is no character");
    append_utf8(out, static_cast<char32_t>(code));
    i = end;
  }
  return out;
}

using Entities = std::map<std::string, std::string, std::less<>>;

/// Reads the declarations between '[' (before `at`) and ']'; returns where the subset ends.
size_t read_internal_subset(std::string_view xml, size_t at, Entities& entities) {
  for (;;) {
    at = skip_space(xml, at);
    if (at >= xml.size()) fail("the DOCTYPE is never closed");
    if (xml[at] == ']') return at + 1;
    if (xml.substr(at, 4) == "<!--") {
      at = past(xml, "-->", at + 4, "a comment in the DOCTYPE");
    } else if (xml.substr(at, 2) == "<?") {
      at = past(xml, "?>", at, "a processing instruction in the DOCTYPE");
    } else if (xml[at] == '%') {
      at = past(xml, ";", at, "a parameter entity");
    } else if (xml.substr(at, 2) == "<!") {
      const bool entity = xml.substr(at, 8) == "<!ENTITY" && at + 8 < xml.size() && is_space(xml[at + 8]);
      std::string name;
      bool external = false, parameter = false, valued = false;
      at += entity ? 8 : 2;
      for (;;) {
        at = skip_space(xml, at);
        if (at >= xml.size()) fail("a declaration in the DOCTYPE is never closed");
        const char c = xml[at];
        if (c == '>') break;
        if (c == '"' || c == '\'') {
          const size_t end = past(xml, std::string_view(&c, 1), at + 1, "a quoted value in the DOCTYPE");
          if (entity && !external && !parameter && !name.empty() && !valued) {
            // The first declaration of a name binds.
            entities.emplace(name, declared_value(xml.substr(at + 1, end - at - 2)));
            valued = true;
          }
          at = end;
          continue;
        }
        const size_t end = end_of_name(xml, at);
        const std::string_view word = xml.substr(at, end - at);
        if (entity && c == '%') {
          parameter = true;
        } else if (entity && name.empty()) {
          name = word;
        } else if (entity && (word == "SYSTEM" || word == "PUBLIC")) {
          external = true;
        }
        at = std::max(end, at + 1);
      }
      if (external && !parameter && !name.empty()) entities.emplace(name, "");
      ++at;
    } else {
      fail("the DOCTYPE holds '", xml[at], "' where a declaration is expected");
    }
  }
}

class Expander {
 public:
  Expander(const Entities& entities, size_t limit) : entities_(entities), limit_(limit) {}

  void expand(std::string_view text, std::string& out, int depth) {
    if (depth > deepest_entity) fail("entities are nested more than ", deepest_entity, " deep");
    for (size_t at = 0; at < text.size();) {
      const size_t next = text.find_first_of("&<", at);
      append(out, text.substr(at, next - at));
      if (next == std::string_view::npos) return;
      at = text[next] == '&' ? reference(text, next, out, depth) : markup(text, next, out);
    }
  }

 private:
  size_t reference(std::string_view text, size_t at, std::string& out, int depth) {
    const size_t end = end_of_name(text, at + 1);
    const std::string_view name = text.substr(at + 1, end - at - 1);
    if (name.empty() || end >= text.size() || text[end] != ';') fail("an '&' that begins no reference");
    if (name[0] == '#' || name == "amp" || name == "lt" || name == "gt" || name == "quot" || name == "apos") {
      append(out, text.substr(at, end + 1 - at));
    } else {
      const auto entity = entities_.find(name);
      if (entity == entities_.end()) fail("the entity '", name.substr(0, 40), "' is not declared");
      // Even an entity that expands to nothing costs something: a bomb of empty ones must end too.
      if (++references_ > 1'000'000) fail("more than a million references to entities");
      expand(entity->second, out, depth + 1);
    }
    return end + 1;
  }

  size_t markup(std::string_view text, size_t at, std::string& out) {
    size_t end = at + 1;
    if (text.substr(at, 4) == "<!--") end = past(text, "-->", at + 4, "a comment");
    else if (text.substr(at, 9) == "<![CDATA[") end = past(text, "]]>", at + 9, "a CDATA section");
    else if (text.substr(at, 2) == "<?") end = past(text, "?>", at + 2, "a processing instruction");
    append(out, text.substr(at, end - at));
    return end;
  }

  void append(std::string& out, std::string_view text) {
    if (text.size() > limit_ - out.size()) fail("its entities expand to more than ", most_growth, " bytes");
    out += text;
  }

  const Entities& entities_;
  size_t limit_, references_ = 0;
};

std::string_view local_name(std::string_view name) {
  const size_t colon = name.find(':');
  return colon == std::string_view::npos ? name : name.substr(colon + 1);
}

/// The namespace of an element: the nearest xmlns attribute for its prefix.
std::string_view namespace_of(const pugi::xml_node& element) {
  const std::string_view name = element.name();
  const size_t colon = name.find(':');
  const std::string attribute = colon == std::string_view::npos ? "xmlns" : "xmlns:" + std::string(name.substr(0, colon));
  for (pugi::xml_node node = element; node; node = node.parent()) {
    if (const auto found = node.attribute(attribute.c_str())) return found.value();
  }
  return {};
}

void append_text(const pugi::xml_node& node, std::string& out, int depth = 0) {
  if (depth > deepest_element) fail("elements are nested more than ", deepest_element, " deep");
  for (const auto& child : node.children()) {
    if (child.type() == pugi::node_pcdata || child.type() == pugi::node_cdata) out += child.value();
    if (child.type() == pugi::node_element) append_text(child, out, depth + 1);
  }
}

std::string text_of(const pugi::xml_node& node) {
  std::string out;
  append_text(node, out);
  return out;
}

std::string dublin_core_child(const pugi::xml_node& work, std::string_view name) {
  for (const auto& child : work.children()) {
    if (local_name(child.name()) == name && namespace_of(child) == dublin_core) return text_of(child);
  }
  return {};
}

}  // namespace svg_metadata

std::string expand_xml_entities(std::string_view xml) {
  using namespace svg_metadata;
  Entities entities;
  std::string_view before, after = xml;
  // The DOCTYPE stands before the first element, after comments and processing instructions only.
  for (size_t at = xml.find('<'); at != std::string_view::npos; at = xml.find('<', at)) {
    if (xml.substr(at, 4) == "<!--") {
      at = past(xml, "-->", at + 4, "a comment");
    } else if (xml.substr(at, 2) == "<?") {
      at = past(xml, "?>", at, "a processing instruction");
    } else if (xml.substr(at, 9) == "<!DOCTYPE") {
      before = xml.substr(0, at);
      for (at += 9; at < xml.size() && xml[at] != '>';) {
        const char c = xml[at++];
        if (c == '"' || c == '\'') at = past(xml, std::string_view(&c, 1), at, "a quoted name in the DOCTYPE");
        if (c == '[') at = read_internal_subset(xml, at, entities);
      }
      if (at >= xml.size()) fail("the DOCTYPE is never closed");
      after = xml.substr(at + 1);
      break;
    } else {
      break;
    }
  }
  std::string out(before);
  Expander(entities, xml.size() + most_growth).expand(after, out, 0);
  return out;
}

std::optional<SvgMetadata> read_svg_metadata(std::string_view svg) {
  using namespace svg_metadata;
  // UTF-16 cannot be searched byte by byte; such a file has to do without entities of its own.
  const bool utf16 = starts_with(svg, "\xFF\xFE") || starts_with(svg, "\xFE\xFF");
  const std::string xml = utf16 ? std::string(svg) : expand_xml_entities(svg);
  pugi::xml_document document;
  const auto result = document.load_buffer(xml.data(), xml.size(), pugi::parse_default | pugi::parse_ws_pcdata);
  if (!result) fail(result.description(), " (byte ", result.offset, ")");
  const pugi::xml_node work = document.find_node([](const pugi::xml_node& node) { return local_name(node.name()) == "Work"; });
  if (!work) return std::nullopt;
  SvgMetadata metadata;
  metadata.title = dublin_core_child(work, "title");
  metadata.description = dublin_core_child(work, "description");
  metadata.language = dublin_core_child(work, "language");
  struct Keywords : pugi::xml_tree_walker {
    std::vector<std::string>* out;
    bool for_each(pugi::xml_node& node) override {
      if (local_name(node.name()) == "li" && namespace_of(node) == rdf) out->push_back(text_of(node));
      return true;
    }
  } keywords;
  keywords.out = &metadata.keywords;
  pugi::xml_node(work).traverse(keywords);
  return metadata;
}

}  // namespace vlm
