#include <gtest/gtest.h>

#include <set>

#include "data/picture_tree.h"
#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/data/scenes.h"

namespace vlm {

namespace scenes_test {

int count_of(const Scene& scene, const SceneObject& kind) {
  int n = 0;
  for (const auto& object : scene.objects) n += object.shape == kind.shape && object.color == kind.color;
  return n;
}

std::string answer_to(const std::vector<PictureQuestion>& questions, const std::string& question) {
  for (const auto& q : questions) {
    if (q.question == question) return q.answer;
  }
  return "no such question";
}

}  // namespace scenes_test

TEST(Scenes, AreFunctionsOfTheirSeedToThePixel) {
  // A digest over many scenes: any change of what a seed gives, on any machine, shows here.
  uint64_t digest = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    Scene scene = compose_scene(seed);
    const Image image = draw_scene(scene);
    digest = mix({digest, fnv1a64({reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size()})});
    for (const auto& caption : scene_captions(scene)) digest = mix({digest, fnv1a64(caption)});
  }
  EXPECT_EQ(digest, 11928597126528580560ull);
}

TEST(Scenes, SayWhatTheyShow) {
  std::set<SceneKind> kinds;
  std::set<std::string> shapes;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    Scene scene = compose_scene(seed);
    kinds.insert(scene.kind);
    const auto captions = scene_captions(scene);
    const auto questions = scene_questions(scene, seed);
    const SceneObject &first = scene.objects.front(), &last = scene.objects.back();
    for (const auto& object : scene.objects) {
      shapes.insert(scene_name(object.shape));
      EXPECT_NE(object.color, scene.background) << seed;
      EXPECT_NE(captions[0].find(scene_name(object.color)), std::string::npos) << captions[0];
      EXPECT_NE(captions[0].find(scene_name(object.shape)), std::string::npos) << captions[0];
    }
    EXPECT_LE(questions.size(), 6u);
    switch (scene.kind) {
      case SceneKind::single:
        EXPECT_EQ(scene.objects.size(), 1u);
        EXPECT_EQ(scene_class(scene), scene_name(first.shape));
        EXPECT_EQ(scenes_test::answer_to(questions, "what shape is this?"), scene_name(first.shape));
        break;
      case SceneKind::count: {
        const std::string plural = first.shape == SceneShape::cross ? "crosses" : std::string(scene_name(first.shape)) + "s";
        EXPECT_EQ(scenes_test::count_of(scene, first), static_cast<int>(scene.objects.size()));
        EXPECT_EQ(scenes_test::answer_to(questions, "how many " + plural + " are there?"), std::to_string(scene.objects.size()));
        break;
      }
      case SceneKind::relation: {
        const bool truth = scene.relation == SceneRelation::left_of    ? first.x < last.x
                           : scene.relation == SceneRelation::right_of ? first.x > last.x
                           : scene.relation == SceneRelation::above    ? first.y < last.y
                                                                       : first.y > last.y;
        EXPECT_TRUE(truth) << seed;
        EXPECT_EQ(scene_class(scene), "");
        break;
      }
      case SceneKind::groups:
        EXPECT_EQ(scenes_test::count_of(scene, first) + scenes_test::count_of(scene, last), static_cast<int>(scene.objects.size()));
        EXPECT_EQ(scenes_test::answer_to(questions, "how many shapes are there?"), std::to_string(scene.objects.size()));
        break;
    }
  }
  EXPECT_EQ(kinds.size(), 4u);
  EXPECT_EQ(shapes.size(), 10u);
}

TEST(Scenes, KeepObjectsApartAndBoxesTight) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    Scene scene = compose_scene(seed);
    draw_scene(scene);
    for (size_t i = 0; i < scene.objects.size(); ++i) {
      const SceneObject& object = scene.objects[i];
      const auto [x0, y0, x1, y1] = object.box;
      EXPECT_GE(x0, 0);
      EXPECT_GE(y0, 0);
      EXPECT_LE(x1, scene.width);
      EXPECT_LE(y1, scene.height);
      // The box lies within the circle's box and is at least half as wide (a crescent is the narrowest shape).
      EXPECT_GE(16 * x0, object.x - object.radius - 16) << seed;
      EXPECT_LE(16 * x1, object.x + object.radius + 16) << seed;
      EXPECT_GE(16 * (x1 - x0), object.radius) << seed;
      EXPECT_GE(16 * (y1 - y0), object.radius) << seed;
      for (size_t k = 0; k < i; ++k) {
        const int64_t dx = object.x - scene.objects[k].x, dy = object.y - scene.objects[k].y, gap = object.radius + scene.objects[k].radius;
        EXPECT_GT(dx * dx + dy * dy, gap * gap) << seed;
      }
    }
  }
}

TEST(Scenes, NameOnlyObjectsThatOneCanTell) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Scene scene = compose_scene(seed);
    draw_scene(scene);
    std::set<std::string> phrases;
    for (const auto& phrase : scene_phrases(scene)) {
      EXPECT_TRUE(phrases.insert(phrase.text).second) << phrase.text;
      if (phrase.text.find("leftmost") == std::string::npos) continue;
      for (const auto& object : scene.objects) {
        if (phrase.text.find(std::string(scene_name(object.color)) + " " + scene_name(object.shape)) != std::string::npos) {
          EXPECT_LE(phrase.box[0] + phrase.box[2], object.box[0] + object.box[2] + 4) << seed;
        }
      }
    }
  }
}

TEST(MakeScenes, WritesTheSameBytesForAnyNumberOfThreads) {
  testing_pictures::TemporaryFolder one, many;
  SceneSetOptions options;
  options.count = 60;
  options.seed = 3;
  options.threads = 1;
  options.out = one.path();
  EXPECT_FALSE(make_scenes(options).already_done);
  options.threads = 4;
  options.out = many.path();
  make_scenes(options);
  EXPECT_EQ(testing_pictures::read_tree(one.path()), testing_pictures::read_tree(many.path()));
  EXPECT_TRUE(make_scenes(options).already_done);
  options.seed = 4;
  EXPECT_THROW(make_scenes(options), Error);

  const auto members = testing_pictures::read_shards(one.path());
  int64_t pictures = 0;
  for (const char* split : picture_splits) {
    for (const auto& row : testing_pictures::read_json(one / (std::string("captions_") + split + ".json"))) {
      EXPECT_TRUE(members.count(row["image"].get<std::string>()));
      ++pictures;
    }
    for (const auto& row : testing_pictures::read_json(one / (std::string("grounding_") + split + ".json"))) EXPECT_EQ(row["box"].size(), 4u);
  }
  EXPECT_EQ(pictures, 60);
}

}  // namespace vlm
