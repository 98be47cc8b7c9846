#pragma once
/// Drawn scenes of coloured shapes with captions, questions and boxes: data for trying out training where there is none.
/// A scene is a function of its seed alone, to the pixel, on any machine and for any number of threads: it is drawn with
/// whole numbers.

#include <array>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "vlm/data/image.h"
#include "vlm/data/import_questions.h"
#include "vlm/data/import_writer.h"

namespace vlm {

enum class SceneShape { circle, crescent, cross, diamond, heart, hexagon, ring, square, star, triangle };
enum class SceneColor { black, blue, brown, gray, green, orange, pink, purple, red, white, yellow };
enum class SceneSize { small, large };
enum class SceneRelation { left_of, right_of, above, below };

struct SceneObject {
  SceneShape shape = SceneShape::circle;
  SceneColor color = SceneColor::red;
  SceneSize size = SceneSize::large;
  int x = 0, y = 0;    ///< centre, in 1/16 pixel
  int radius = 0;      ///< of the circle that the shape lies in, in 1/16 pixel
  int turn = 0;        ///< degrees, clockwise
  std::array<int, 4> box{};  ///< x0, y0, x1, y1 of the pixels it covers; set by draw_scene
};

enum class ScenePattern { plain, shaded, stripes, dots, checks };  ///< of the background

/// What a scene shows decides what can be said of it.
enum class SceneKind {
  single,    ///< one object
  count,     ///< two to six objects of one shape and colour
  relation,  ///< two objects, one beside, above or below the other
  groups     ///< two groups that differ in shape and colour
};

struct Scene {
  SceneKind kind = SceneKind::single;
  int height = 0, width = 0;  ///< pixels, 96 to 128
  SceneColor background = SceneColor::white;
  ScenePattern pattern = ScenePattern::plain;
  uint64_t texture = 0;       ///< draws the details of the pattern
  std::vector<SceneObject> objects;
  SceneRelation relation = SceneRelation::left_of;  ///< of objects[0] to objects[1]
};

const char* scene_name(SceneShape shape);  ///< "circle" …; also the class names, sorted
const char* scene_name(SceneColor color);
const char* scene_name(SceneSize size);
const char* scene_name(SceneKind kind);
const char* scene_name(SceneRelation relation);  ///< "to the left of" …

/// Draws up the scene with this seed.
Scene compose_scene(uint64_t seed);

/// Paints it, antialiased with 4 x 4 samples a pixel, and sets the boxes of its objects.
Image draw_scene(Scene& scene);

/// The caption and up to two others that say the same in other words or say more.
std::vector<std::string> scene_captions(const Scene& scene);
/// One to six questions; ids are question_id(number, 0 …).
std::vector<PictureQuestion> scene_questions(const Scene& scene, uint64_t number);
/// A phrase for every object that one can tell from all others of the scene.
std::vector<GroundedPhrase> scene_phrases(const Scene& scene);
/// The shape, if all objects share one; else empty.
std::string scene_class(const Scene& scene);

struct SceneSetOptions {
  std::filesystem::path out;
  int64_t count = 2000;
  uint64_t seed = 0;
  PictureLayout layout = PictureLayout::shards;
  bool force = false;  ///< replace a set that is already in `out`
  int threads = 0;     ///< 0: one for each processor
};

struct SceneReport {
  bool already_done = false;        ///< the same set was there and was left as it is
  nlohmann::ordered_json manifest;  ///< as written
};

/// Writes `count` scenes as a set of captioned pictures (data/import_writer.h); about 80, 10 and 10 percent are in train,
/// val and test. The first scenes of a longer set are those of a shorter one.
SceneReport make_scenes(const SceneSetOptions& options);

}  // namespace vlm
