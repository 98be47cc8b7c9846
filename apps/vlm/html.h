#pragma once
/// The page of `vlm report`: one file without anything from outside.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vlm::apps::html {

std::string escape(std::string_view text);
std::string base64(std::string_view bytes);
/// An <img> with the encoded picture inside.
std::string picture(std::string_view encoded, const std::string& title);
/// A line chart as SVG: points (x, y) in order of x, a faint line through all and a strong one through their moving mean.
std::string chart(const std::vector<std::pair<double, double>>& points, const std::string& title, const std::string& kind);
std::string page(const std::string& title, const std::string& body);

}  // namespace vlm::apps::html
