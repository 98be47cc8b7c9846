#include "html.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>

#include "vlm/core/error.h"

namespace vlm::apps::html {

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string base64(std::string_view bytes) {
  static const char* digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) group = group << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    const size_t held = std::min<size_t>(3, bytes.size() - i);
    for (size_t k = 0; k < 4; ++k) out += k <= held ? digits[group >> (18 - 6 * k) & 63] : '=';
  }
  return out;
}

std::string picture(std::string_view encoded, const std::string& title) {
  const char* type = encoded.substr(0, 4) == "\x89PNG" ? "png" : encoded.substr(0, 3) == "\xff\xd8\xff" ? "jpeg" : encoded.substr(0, 3) == "GIF" ? "gif" : "webp";
  return concat("<img alt=\"", escape(title), "\" title=\"", escape(title), "\" src=\"data:image/", type, ";base64,", base64(encoded), "\">");
}

std::string chart(const std::vector<std::pair<double, double>>& points, const std::string& title, const std::string& kind) {
  const double width = 520, height = 240, left = 44, right = 12, top = 12, bottom = 30;
  double high = 0;
  for (const auto& [x, y] : points) high = std::max(high, y);
  const double first = points.front().first, last = std::max(points.back().first, first + 1);
  const double unit = std::pow(10, std::floor(std::log10(std::max(high, 1e-9) / 4)));
  const double tick = unit * (high / unit / 4 > 5 ? 10 : high / unit / 4 > 2 ? 5 : high / unit / 4 > 1 ? 2 : 1);
  high = std::ceil(high / tick) * tick;
  const auto px = [&](double x) { return left + (x - first) / (last - first) * (width - left - right); };
  const auto py = [&](double y) { return top + (1 - y / high) * (height - top - bottom); };
  const auto line = [&](const std::vector<std::pair<double, double>>& path, const char* style) {
    std::string out = concat("<polyline class=\"", style, "\" points=\"");
    char text[48];
    for (const auto& [x, y] : path) {
      std::snprintf(text, sizeof text, "%.1f,%.1f ", px(x), py(y));
      out += text;
    }
    return out + "\"/>";
  };
  std::string out = concat("<figure class=\"chart ", kind, "\"><svg viewBox=\"0 0 ", width, " ", height, "\" role=\"img\" aria-label=\"", escape(title), "\">");
  for (double y = 0; y <= high + tick / 2; y += tick) {
    out += concat("<line class=\"grid\" x1=\"", left, "\" x2=\"", width - right, "\" y1=\"", py(y), "\" y2=\"", py(y), "\"/><text x=\"", left - 6,
                  "\" y=\"", py(y) + 4, "\" text-anchor=\"end\">", std::round(y * 1000) / 1000, "</text>");
  }
  for (const double share : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    const double x = std::round(first + share * (last - first));
    out += concat("<text x=\"", px(x), "\" y=\"", height - 10, "\" text-anchor=\"", share == 0 ? "start" : share == 1 ? "end" : "middle", "\">", x, "</text>");
  }
  std::vector<std::pair<double, double>> smooth;
  const size_t half = points.size() / 60;
  for (size_t i = 0; i < points.size(); ++i) {
    double sum = 0;
    const size_t from = i > half ? i - half : 0, to = std::min(points.size() - 1, i + half);
    for (size_t k = from; k <= to; ++k) sum += points[k].second;
    smooth.emplace_back(points[i].first, sum / static_cast<double>(to - from + 1));
  }
  if (half > 0) out += line(points, "raw");
  out += line(smooth, "mean");
  if (points.size() < 20) {
    for (const auto& [x, y] : points) out += concat("<circle cx=\"", px(x), "\" cy=\"", py(y), "\" r=\"3\"/>");
  }
  return out + "</svg><figcaption>" + escape(title) + "</figcaption></figure>";
}

std::string page(const std::string& title, const std::string& body) {
  static const char* style = R"(
:root { color-scheme: light; --ink: #1d2433; --faint: #66708a; --line: #e3e7f0; --accent: #3451b2; --right: #17794a; }
* { box-sizing: border-box; }
body { margin: 0; background: #f6f7fb; color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 40px 20px 64px; }
h1 { font-size: 34px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 21px; margin: 0 0 12px; }
p { margin: 0 0 12px; color: var(--faint); }
.lead { font-size: 18px; color: var(--ink); }
section { background: #fff; border: 1px solid var(--line); border-radius: 14px; padding: 22px 24px; margin-top: 22px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 6px 28px 6px 0; }
th { color: var(--faint); font-weight: 500; }
td.number, th:not(:first-child) { text-align: right; font-size: 20px; font-weight: 600; }
th:not(:first-child) { font-size: 16px; font-weight: 500; }
tr.chance td, tr.chance td.number { color: var(--faint); font-size: 14px; font-weight: 400; padding-top: 0; }
.query { display: grid; grid-template-columns: 150px 1fr; gap: 16px; align-items: center; padding: 12px 0; border-top: 1px solid var(--line); }
.words { font-weight: 600; color: var(--accent); font-size: 18px; }
.found { display: grid; grid-template-columns: repeat(6, 1fr); gap: 10px; }
figure { margin: 0; }
figure img, .card img { width: 100%; height: 104px; object-fit: contain; display: block; background: #fff; }
figcaption { font-size: 12px; line-height: 1.3; color: var(--faint); text-align: center; margin-top: 4px; overflow: hidden; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 14px; }
.card { border: 1px solid var(--line); border-radius: 10px; padding: 12px; }
.card ol { list-style: none; margin: 10px 0 0; padding: 0; font-size: 14px; }
.card li { display: flex; justify-content: space-between; gap: 8px; padding: 3px 8px; border-radius: 6px; }
.card li span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.card li em { font-style: normal; color: var(--faint); font-size: 12px; flex: none; }
.card li.right { background: #e5f5ec; color: var(--right); font-weight: 600; }
.own { font-size: 12px; color: var(--faint); padding: 4px 8px 0; }
.sheet .card img { height: 200px; }
.sheet .asked img { width: auto; max-width: 100%; height: 200px; object-fit: contain; margin-bottom: 12px; }
.sheet .gone { height: 200px; display: grid; place-items: center; text-align: center; color: var(--faint); font-size: 13px; }
.sheet .own { overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 18px; }
.chart svg { width: 100%; height: auto; }
.chart text { font-size: 11px; fill: var(--faint); }
.chart .grid { stroke: var(--line); }
.chart polyline { fill: none; stroke: var(--accent); stroke-width: 2; stroke-linejoin: round; }
.chart .raw { stroke-width: 1; opacity: 0.25; }
.chart circle { fill: var(--accent); }
.chart.recall polyline { stroke: var(--right); }
.chart.recall circle { fill: var(--right); }
@media (max-width: 720px) { .query { grid-template-columns: 1fr; } .found { grid-template-columns: repeat(3, 1fr); } }
)";
  return concat("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>",
                escape(title), "</title><style>", style, "</style></head><body><main>", body, "</main></body></html>\n");
}

}  // namespace vlm::apps::html
