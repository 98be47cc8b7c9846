#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "vlm/core/rng.h"
#include "vlm/data/scenes.h"

namespace vlm {

namespace scenes_draw {

// Everything below is reckoned in whole numbers, since those are the same on every machine. A pixel has 4 x 4 samples,
// which lie at 2, 6, 10 and 14 sixteenths.
constexpr int samples = 4, unit = 16, one = 1 << 14;

using Rgb = std::array<int, 3>;

Rgb fill_color(SceneColor color) {
  switch (color) {
    case SceneColor::black: return {38, 38, 44};
    case SceneColor::blue: return {42, 104, 214};
    case SceneColor::brown: return {134, 86, 50};
    case SceneColor::gray: return {128, 134, 142};
    case SceneColor::green: return {56, 158, 72};
    case SceneColor::orange: return {242, 138, 28};
    case SceneColor::pink: return {242, 124, 176};
    case SceneColor::purple: return {132, 70, 184};
    case SceneColor::red: return {220, 48, 46};
    case SceneColor::white: return {250, 250, 250};
    case SceneColor::yellow: return {248, 208, 40};
  }
  return {};
}

Rgb ground_color(SceneColor color) {
  switch (color) {
    case SceneColor::black: return {44, 46, 56};
    case SceneColor::gray: return {196, 199, 204};
    case SceneColor::white: return {246, 246, 242};
    default: break;
  }
  Rgb out = fill_color(color);
  for (int& c : out) c = (c + 2 * 255) / 3;
  return out;
}

/// cos and sin of whole degrees in 1/16384. Rounding hides what the last bits of one library or another may say.
std::pair<int64_t, int64_t> direction(int degrees) {
  const double angle = degrees * 3.14159265358979323846 / 180;
  return {std::llround(std::cos(angle) * one), std::llround(std::sin(angle) * one)};
}

struct Point {
  int64_t x, y;
};

/// Corners at `degrees` clockwise from the top, every other one at `inner` percent of the radius.
std::vector<Point> corners(int count, int radius, int inner = 100) {
  std::vector<Point> out;
  for (int i = 0; i < count; ++i) {
    const auto [cosine, sine] = direction(360 * i / count);
    const int64_t r = int64_t(radius) * (i % 2 ? inner : 100) / 100;
    out.push_back({r * sine / one, -r * cosine / one});
  }
  return out;
}

/// Even-odd rule.
bool inside_polygon(const std::vector<Point>& polygon, int64_t x, int64_t y) {
  bool inside = false;
  for (size_t i = 0, j = polygon.size() - 1; i < polygon.size(); j = i++) {
    const Point &a = polygon[i], &b = polygon[j];
    if ((a.y > y) == (b.y > y)) continue;
    // Left of the edge at this height? The division of the usual formula is multiplied out.
    const int64_t cross = (x - a.x) * (b.y - a.y) - (b.x - a.x) * (y - a.y);
    if ((b.y > a.y) == (cross < 0)) inside = !inside;
  }
  return inside;
}

/// Is (x, y), in the shape's own upright frame, part of it? y points down.
bool inside_shape(SceneShape shape, int64_t r, const std::vector<Point>& polygon, int64_t x, int64_t y) {
  const int64_t squared = x * x + y * y;
  if (squared > r * r) return false;
  const int64_t ax = std::abs(x), ay = std::abs(y);
  switch (shape) {
    case SceneShape::circle: return true;
    case SceneShape::ring: return 100 * 100 * squared >= 56 * 56 * r * r;
    case SceneShape::crescent: {
      const int64_t dx = 100 * x - 42 * r, dy = 100 * y + 10 * r;
      return dx * dx + dy * dy > 78 * 78 * r * r;
    }
    case SceneShape::square: return 100 * ax <= 70 * r && 100 * ay <= 70 * r;
    case SceneShape::diamond: return 100 * ax + 70 * ay <= 70 * r;
    case SceneShape::cross: return (100 * ax <= 29 * r && 100 * ay <= 95 * r) || (100 * ay <= 29 * r && 100 * ax <= 95 * r);
    case SceneShape::heart: {
      // (x^2 + y^2 - 1)^3 <= x^2 y^3 with y up, in 1/512.
      const int64_t X = x * 690 / r, Y = -y * 690 / r + 64, k = X * X + Y * Y - 512 * 512;
      return k * k * k <= X * X * Y * Y * Y * 512;
    }
    default: return inside_polygon(polygon, x, y);
  }
}

/// What of the picture an object covers, in samples.
class Mask {
 public:
  Mask(const SceneObject& object, int height, int width)
      : height_(height * samples), width_(width * samples), inside_(size_t(height_) * width_) {
    std::vector<Point> polygon;
    if (object.shape == SceneShape::triangle) polygon = corners(3, object.radius);
    if (object.shape == SceneShape::hexagon) polygon = corners(6, object.radius);
    if (object.shape == SceneShape::star) polygon = corners(10, object.radius, 46);
    const auto [cosine, sine] = direction(object.turn);
    const int step = unit / samples, reach = object.radius + unit;
    top_ = std::max(0, (object.y - reach) / step), bottom_ = std::min(height_, (object.y + reach) / step);
    left_ = std::max(0, (object.x - reach) / step), right_ = std::min(width_, (object.x + reach) / step);
    for (int y = top_; y < bottom_; ++y) {
      for (int x = left_; x < right_; ++x) {
        const int64_t dx = x * step + step / 2 - object.x, dy = y * step + step / 2 - object.y;
        const int64_t u = (dx * cosine + dy * sine) / one, v = (dy * cosine - dx * sine) / one;
        inside_[size_t(y) * width_ + x] = inside_shape(object.shape, object.radius, polygon, u, v);
      }
    }
  }

  bool at(int y, int x) const { return y >= 0 && x >= 0 && y < height_ && x < width_ && inside_[size_t(y) * width_ + x]; }

  /// Inside, but with the outside no more than some five samples away.
  bool is_edge(int y, int x) const {
    constexpr int far = 5, near = 4;
    return !at(y - far, x) || !at(y + far, x) || !at(y, x - far) || !at(y, x + far) || !at(y - near, x - near) ||
           !at(y - near, x + near) || !at(y + near, x - near) || !at(y + near, x + near);
  }

  /// Pixels that may hold a part of the object or of its shadow.
  int first_row() const { return top_ / samples; }
  int last_row() const { return std::min(height_ / samples - 1, bottom_ / samples + 3); }
  int first_column() const { return left_ / samples; }
  int last_column() const { return std::min(width_ / samples - 1, right_ / samples + 3); }

 private:
  int height_, width_, top_, bottom_, left_, right_;
  std::vector<uint8_t> inside_;
};

void draw_object(SceneObject& object, Image& image) {
  const Mask mask(object, image.height, image.width);
  const Rgb fill = fill_color(object.color);
  constexpr int all = samples * samples, shadow_down = 7, shadow_right = 5;
  int x0 = image.width, y0 = image.height, x1 = 0, y1 = 0;
  for (int y = mask.first_row(); y <= mask.last_row(); ++y) {
    // Lit from above: a little lighter at the top.
    const int light = std::clamp(24 - (y * unit - (object.y - object.radius)) * 40 / (2 * object.radius), -16, 24);
    for (int x = mask.first_column(); x <= mask.last_column(); ++x) {
      int covered = 0, edge = 0, shadow = 0;
      for (int i = 0; i < all; ++i) {
        const int sy = y * samples + i / samples, sx = x * samples + i % samples;
        if (mask.at(sy, sx)) {
          ++covered;
          edge += mask.is_edge(sy, sx);
        } else {
          shadow += mask.at(sy - shadow_down, sx - shadow_right);
        }
      }
      if (covered) x0 = std::min(x0, x), y0 = std::min(y0, y), x1 = std::max(x1, x + 1), y1 = std::max(y1, y + 1);
      uint8_t* pixel = image.row(y) + 3 * x;
      for (size_t c = 0; c < 3; ++c) {
        const int inner = std::clamp(fill[c] + light, 0, 255), outline = fill[c] * 11 / 20;
        const int under = pixel[c] - pixel[c] * 22 * shadow / (100 * all);
        const int sum = under * (all - covered) + inner * (covered - edge) + outline * edge;
        pixel[c] = static_cast<uint8_t>((sum + all / 2) / all);
      }
    }
  }
  object.box = {x0, y0, x1, y1};
}

/// How many of a pixel's samples lie on the pattern's marks.
int marked_samples(ScenePattern pattern, int period, int slope, int y, int x) {
  int marked = 0;
  for (int i = 0; i < samples * samples; ++i) {
    const int sy = y * samples + i / samples, sx = x * samples + i % samples;
    switch (pattern) {
      case ScenePattern::stripes: marked += (sx * 2 + sy * slope + 64 * period) % (2 * period) < period; break;
      case ScenePattern::checks: marked += (sx / period + sy / period) % 2; break;
      case ScenePattern::dots: {
        const int dx = (sx + sy / period % 2 * period / 2) % period - period / 2, dy = sy % period - period / 2;
        marked += 16 * (dx * dx + dy * dy) < period * period;
        break;
      }
      default: break;
    }
  }
  return marked;
}

void draw_ground(const Scene& scene, Image& image) {
  SplitMix64 random(scene.texture);
  const Rgb ground = ground_color(scene.background);
  const int period = samples * (12 + 2 * static_cast<int>(random.below(7)));
  const int slope = static_cast<int>(random.below(5)) - 2;
  const int strength = 9 + static_cast<int>(random.below(8));
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const int shade = scene.pattern == ScenePattern::shaded ? (2 * y - image.height) * strength * 3 / (2 * image.height)
                                                              : marked_samples(scene.pattern, period, slope, y, x) * strength / (samples * samples);
      for (size_t c = 0; c < 3; ++c) {
        const int value = scene.background == SceneColor::black ? ground[c] + shade : ground[c] - shade;
        image.row(y)[3 * x + static_cast<int>(c)] = static_cast<uint8_t>(std::clamp(value, 0, 255));
      }
    }
  }
}

}  // namespace scenes_draw

Image draw_scene(Scene& scene) {
  Image image(scene.height, scene.width);
  scenes_draw::draw_ground(scene, image);
  for (auto& object : scene.objects) scenes_draw::draw_object(object, image);
  return image;
}

}  // namespace vlm
