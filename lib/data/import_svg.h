#pragma once
/// What an SVG file says about itself: the RDF block of Creative Commons inside <metadata> (specs: real-data, section 3).

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vlm {

/// The first element called Work. Texts include those of descendants and are as written (not squashed).
struct SvgMetadata {
  std::string title, description, language;  ///< Dublin Core children of Work; empty where there is none
  std::vector<std::string> keywords;         ///< every rdf:li inside Work
};

/// Empty if the file has no element called Work. Throws an Error if the file is not well-formed XML, uses an entity that
/// it does not declare, or declares entities that expand beyond bounds. External entities are never fetched: they are
/// empty.
std::optional<SvgMetadata> read_svg_metadata(std::string_view svg);

/// `xml` with the entities of its internal DTD subset put in place of their references, except inside comments, CDATA
/// sections and processing instructions, and without its DOCTYPE. The result is at most 16 MB longer than `xml`.
std::string expand_xml_entities(std::string_view xml);

}  // namespace vlm
