#include "vlm/data/scenes.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <thread>

#include "vlm/core/error.h"
#include "vlm/core/progress.h"
#include "vlm/core/rng.h"
#include "vlm/core/thread_pool.h"
#include "vlm/data/image_encode.h"

namespace vlm {

namespace scenes_composition {

using Json = nlohmann::ordered_json;

constexpr int unit = 16;  // positions are in 1/16 pixel
constexpr uint64_t colors = 11, shapes = 10;

class Composer {
 public:
  explicit Composer(uint64_t seed) : random_(mix({seed, 0x5CE7E5})) {}

  Scene compose() {
    scene_.height = 96 + 8 * between(0, 4);
    scene_.width = 96 + 8 * between(0, 4);
    const int kind = between(0, 9);
    scene_.kind = kind < 3 ? SceneKind::single : kind < 5 ? SceneKind::count : kind < 8 ? SceneKind::relation : SceneKind::groups;
    switch (scene_.kind) {
      case SceneKind::single: single(); break;
      case SceneKind::count: scatter({between(2, 6)}); break;
      case SceneKind::relation: relation(); break;
      case SceneKind::groups: groups(); break;
    }
    scene_.pattern = static_cast<ScenePattern>(between(0, 4));
    scene_.texture = random_.next();
    do {
      scene_.background = static_cast<SceneColor>(random_.below(colors));
    } while (std::any_of(scene_.objects.begin(), scene_.objects.end(),
                         [&](const SceneObject& object) { return is_too_like(object.color, scene_.background); }));
    return scene_;
  }

 private:
  int between(int low, int high) { return low + static_cast<int>(random_.below(static_cast<uint64_t>(high - low + 1))); }
  int shorter() const { return unit * std::min(scene_.height, scene_.width); }

  /// Backgrounds are pale but for black, so that a white thing on gray is hard to see as well.
  static bool is_too_like(SceneColor color, SceneColor background) {
    return color == background || (color == SceneColor::white && background == SceneColor::gray);
  }

  /// So far that a square does not become a diamond, nor a diamond another one lying down.
  int draw_turn(SceneShape shape) {
    int most = 0;
    switch (shape) {
      case SceneShape::square: case SceneShape::diamond: case SceneShape::cross: most = 12; break;
      case SceneShape::triangle: case SceneShape::heart: most = 22; break;
      case SceneShape::hexagon: case SceneShape::star: most = 30; break;
      case SceneShape::crescent: most = 50; break;
      case SceneShape::circle: case SceneShape::ring: break;
    }
    return between(-most, most);
  }

  /// A shape and a color that no object of the scene has yet.
  SceneObject draw_kind() {
    const auto taken = [&](auto test) { return std::any_of(scene_.objects.begin(), scene_.objects.end(), test); };
    SceneObject object;
    do {
      object.shape = static_cast<SceneShape>(random_.below(shapes));
    } while (taken([&](const SceneObject& other) { return other.shape == object.shape; }));
    do {
      object.color = static_cast<SceneColor>(random_.below(colors));
    } while (taken([&](const SceneObject& other) { return other.color == object.color; }));
    return object;
  }

  /// Somewhere in the picture, with room for its outline and shadow.
  void put_anywhere(SceneObject& object) {
    const int margin = object.radius + 3 * unit;
    object.x = between(margin, unit * scene_.width - margin);
    object.y = between(margin, unit * scene_.height - margin);
  }

  void single() {
    SceneObject object = draw_kind();
    object.size = between(0, 1) ? SceneSize::large : SceneSize::small;
    object.radius = shorter() * (object.size == SceneSize::large ? between(30, 40) : between(12, 17)) / 100;
    object.turn = draw_turn(object.shape);
    put_anywhere(object);
    scene_.objects.push_back(object);
  }

  /// Groups of equal objects, apart from each other; a crowd that finds no room is made smaller.
  void scatter(const std::vector<int>& counts) {
    std::vector<SceneObject> wanted;
    for (const int count : counts) {
      const SceneObject kind = draw_kind();
      for (int i = 0; i < count; ++i) wanted.push_back(kind);
      scene_.objects.push_back(kind);
    }
    for (int radius = shorter() * between(12, 16) / 100;; radius = radius * 9 / 10) {
      scene_.objects.clear();
      for (SceneObject object : wanted) {
        object.size = SceneSize::small;
        object.radius = radius * between(88, 100) / 100;
        object.turn = draw_turn(object.shape);
        for (int tries = 0; tries < 60; ++tries) {
          put_anywhere(object);
          if (is_apart(object)) {
            scene_.objects.push_back(object);
            break;
          }
        }
      }
      if (scene_.objects.size() == wanted.size()) return;
    }
  }

  bool is_apart(const SceneObject& object) const {
    return std::none_of(scene_.objects.begin(), scene_.objects.end(), [&](const SceneObject& other) {
      const int64_t dx = object.x - other.x, dy = object.y - other.y, gap = object.radius + other.radius + 3 * unit;
      return dx * dx + dy * dy < gap * gap;
    });
  }

  void groups() {
    const int first = between(1, 3);
    scatter({first, first == 1 ? between(2, 3) : between(1, 3)});
  }

  void relation() {
    for (int i = 0; i < 2; ++i) {
      SceneObject object = draw_kind();
      object.size = between(0, 1) ? SceneSize::large : SceneSize::small;
      object.radius = shorter() * (object.size == SceneSize::large ? between(18, 21) : between(10, 13)) / 100;
      object.turn = draw_turn(object.shape);
      scene_.objects.push_back(object);
    }
    scene_.relation = static_cast<SceneRelation>(between(0, 3));
    const bool beside = scene_.relation == SceneRelation::left_of || scene_.relation == SceneRelation::right_of;
    const bool first_is_less = scene_.relation == SceneRelation::left_of || scene_.relation == SceneRelation::above;
    SceneObject &less = scene_.objects[first_is_less ? 0 : 1], &more = scene_.objects[first_is_less ? 1 : 0];
    // Apart along the relation's axis, and much less so across it: nobody may doubt which relation is meant.
    int along, across;
    do {
      put_anywhere(less);
      put_anywhere(more);
      along = beside ? more.x - less.x : more.y - less.y;
      across = std::abs(beside ? more.y - less.y : more.x - less.x);
    } while (along < less.radius + more.radius + 2 * unit || across * 3 > along);
  }

  SplitMix64 random_;
  Scene scene_;
};

Json details_of(const Scene& scene) {
  Json objects = Json::array();
  for (const auto& object : scene.objects) {
    Json entry = {{"shape", scene_name(object.shape)}, {"color", scene_name(object.color)}};
    if (scene.kind == SceneKind::single || scene.kind == SceneKind::relation) entry["size"] = scene_name(object.size);
    entry["box"] = object.box;
    objects.push_back(std::move(entry));
  }
  Json details = {{"source", "scenes"}, {"kind", scene_name(scene.kind)}, {"width", scene.width}, {"height", scene.height},
                  {"objects", std::move(objects)}};
  if (scene.kind == SceneKind::relation) details["relation"] = scene_name(scene.relation);
  return details;
}

CaptionedPicture captioned_scene(uint64_t seed) {
  Scene scene = compose_scene(seed);
  CaptionedPicture out;
  out.png = encode_png(draw_scene(scene));
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(seed));
  out.key = std::string("scenes_") + digits;
  const uint64_t h = fnv1a64(out.key) % 100;
  out.split = h < 80 ? "train" : h < 90 ? "val" : "test";
  out.captions = scene_captions(scene);
  out.class_name = scene_class(scene);
  out.questions = scene_questions(scene, seed);
  out.phrases = scene_phrases(scene);
  out.details = details_of(scene);
  return out;
}

}  // namespace scenes_composition

Scene compose_scene(uint64_t seed) { return scenes_composition::Composer(seed).compose(); }

SceneReport make_scenes(const SceneSetOptions& options) {
  using namespace scenes_composition;
  if (options.count < 1) fail_usage("the number of scenes must be at least 1, not ", options.count);
  const Json request = {{"source", "scenes"}, {"count", options.count}, {"seed", options.seed}, {"layout", layout_name(options.layout)}};
  SceneReport report;
  report.manifest = options.force ? Json() : find_finished_set(options.out, request);
  if (!report.manifest.is_null()) {
    report.already_done = true;
    return report;
  }
  std::vector<std::string> classes;
  for (uint64_t i = 0; i < shapes; ++i) classes.emplace_back(scene_name(static_cast<SceneShape>(i)));
  PictureSetWriter writer({options.out, options.layout, 500, options.force}, classes);
  ThreadPool pool(options.threads > 0 ? options.threads : static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  Progress progress("make scenes", options.count, "scenes");
  std::deque<std::future<CaptionedPicture>> waiting;
  int64_t submitted = 0;
  for (int64_t done = 0; done < options.count; ++done) {
    for (; submitted < options.count && waiting.size() < 16 * static_cast<size_t>(pool.size()); ++submitted) {
      waiting.push_back(pool.submit([seed = mix({options.seed, static_cast<uint64_t>(submitted)})] { return captioned_scene(seed); }));
    }
    writer.add(waiting.front().get());
    waiting.pop_front();
    progress.update(done + 1);
  }
  progress.finish();
  report.manifest = writer.finish({{"request", request}, {"license", "none needed: drawn by this program"}, {"kept", options.count}});
  return report;
}

}  // namespace vlm
