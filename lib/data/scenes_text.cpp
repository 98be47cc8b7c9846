#include <algorithm>

#include "vlm/core/error.h"
#include "vlm/core/rng.h"
#include "vlm/core/strings.h"
#include "vlm/data/scenes.h"

namespace vlm {

const char* scene_name(SceneShape shape) {
  constexpr const char* names[] = {"circle", "crescent", "cross", "diamond", "heart", "hexagon", "ring", "square", "star", "triangle"};
  return names[static_cast<int>(shape)];
}

const char* scene_name(SceneColor color) {
  constexpr const char* names[] = {"black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow"};
  return names[static_cast<int>(color)];
}

const char* scene_name(SceneSize size) { return size == SceneSize::small ? "small" : "large"; }

const char* scene_name(SceneKind kind) {
  constexpr const char* names[] = {"single", "count", "relation", "groups"};
  return names[static_cast<int>(kind)];
}

const char* scene_name(SceneRelation relation) {
  constexpr const char* names[] = {"to the left of", "to the right of", "above", "below"};
  return names[static_cast<int>(relation)];
}

namespace scenes_text {

SceneRelation opposite(SceneRelation relation) {
  switch (relation) {
    case SceneRelation::left_of: return SceneRelation::right_of;
    case SceneRelation::right_of: return SceneRelation::left_of;
    case SceneRelation::above: return SceneRelation::below;
    case SceneRelation::below: break;
  }
  return SceneRelation::above;
}

std::string number_word(int n) {
  constexpr const char* words[] = {"no", "one", "two", "three", "four", "five", "six"};
  return words[n];
}

std::string plural(SceneShape shape) { return shape == SceneShape::cross ? "crosses" : std::string(scene_name(shape)) + "s"; }

std::string with_article(const std::string& phrase) { return (phrase[0] == 'o' ? "an " : "a ") + phrase; }

/// "red circle".
std::string described(const SceneObject& object) { return std::string(scene_name(object.color)) + " " + scene_name(object.shape); }

/// "two red circles", "a red circle".
std::string counted(const SceneObject& object, int n) {
  return n == 1 ? with_article(described(object)) : number_word(n) + " " + scene_name(object.color) + " " + plural(object.shape);
}

/// Backgrounds are pale versions of their colors.
std::string background_name(SceneColor color) {
  const std::string name = scene_name(color);
  return color == SceneColor::white || color == SceneColor::black || color == SceneColor::gray ? name : "light " + name;
}

struct Group {
  SceneObject object;  ///< the first of them
  int count = 0;
};

std::vector<Group> groups_of(const Scene& scene) {
  std::vector<Group> groups;
  for (const auto& object : scene.objects) {
    const auto same = [&](const Group& group) { return group.object.shape == object.shape && group.object.color == object.color; };
    const auto it = std::find_if(groups.begin(), groups.end(), same);
    if (it == groups.end()) {
      groups.push_back({object, 1});
    } else {
      ++it->count;
    }
  }
  return groups;
}

/// Asks in order; a "yes/no" question is about the truth or something else, by the toss of a coin.
class Asker {
 public:
  explicit Asker(uint64_t number) : random(mix({number, 0xA5C})), number_(number) {}
  void ask(const char* type, const std::string& question, const std::string& answer) {
    questions.push_back({question_id(number_, static_cast<int64_t>(questions.size())), type, question, answer});
  }
  SplitMix64 random;
  std::vector<PictureQuestion> questions;

 private:
  uint64_t number_;
};

void ask_about_single(const SceneObject& object, Asker& asker) {
  asker.ask("shape", "what shape is this?", scene_name(object.shape));
  asker.ask("color", concat("what color is the ", scene_name(object.shape), "?"), scene_name(object.color));
  asker.ask("size", concat("is the ", scene_name(object.shape), " small or large?"), scene_name(object.size));
  const bool truth = asker.random.below(2) == 0;
  const auto other = static_cast<SceneShape>((static_cast<uint64_t>(object.shape) + 1 + asker.random.below(9)) % 10);
  asker.ask("yes/no", concat("is this ", with_article(scene_name(truth ? object.shape : other)), "?"), truth ? "yes" : "no");
}

void ask_about_count(const Group& group, Asker& asker) {
  const std::string shapes = plural(group.object.shape);
  asker.ask("count", concat("how many ", shapes, " are there?"), std::to_string(group.count));
  asker.ask("color", concat("what color are the ", shapes, "?"), scene_name(group.object.color));
  asker.ask("shape", "what shapes are these?", shapes);
  const bool truth = asker.random.below(2) == 0;
  const int shift = 1 + static_cast<int>(asker.random.below(4));
  const int asked = truth ? group.count : 2 + (group.count - 2 + shift) % 5;
  asker.ask("yes/no", concat("are there ", number_word(asked), " ", shapes, "?"), truth ? "yes" : "no");
}

void ask_about_relation(const Scene& scene, Asker& asker) {
  const SceneObject &a = scene.objects[0], &b = scene.objects[1];
  asker.ask("relation", concat("what is ", scene_name(scene.relation), " the ", described(b), "?"), described(a));
  asker.ask("relation", concat("what is ", scene_name(opposite(scene.relation)), " the ", described(a), "?"), described(b));
  asker.ask("color", concat("what color is the ", scene_name(a.shape), "?"), scene_name(a.color));
  asker.ask("shape", concat("what shape is ", scene_name(b.color), "?"), scene_name(b.shape));
  const bool truth = asker.random.below(2) == 0;
  const SceneRelation asked = truth ? scene.relation : opposite(scene.relation);
  asker.ask("yes/no", concat("is the ", described(a), " ", scene_name(asked), " the ", described(b), "?"), truth ? "yes" : "no");
}

void ask_about_groups(const std::vector<Group>& groups, int all, Asker& asker) {
  asker.ask("count", "how many shapes are there?", std::to_string(all));
  for (const auto& group : groups) {
    asker.ask("count", concat("how many ", scene_name(group.object.color), " ", plural(group.object.shape), " are there?"), std::to_string(group.count));
  }
  const auto shapes_of = [](const Group& group) { return concat(scene_name(group.object.color), " ", plural(group.object.shape)); };
  asker.ask("yes/no", concat("are there more ", shapes_of(groups[0]), " than ", shapes_of(groups[1]), "?"),
            groups[0].count > groups[1].count ? "yes" : "no");
}

}  // namespace scenes_text

std::vector<std::string> scene_captions(const Scene& scene) {
  using namespace scenes_text;
  const auto groups = groups_of(scene);
  const SceneObject& first = scene.objects.front();
  const std::string background = concat(" on ", with_article(background_name(scene.background)), " background");
  switch (scene.kind) {
    case SceneKind::single: {
      const std::string name = concat("a ", scene_name(first.size), " ", described(first));
      return {name, name + background, concat("one ", scene_name(first.shape), ", ", scene_name(first.color), " and ", scene_name(first.size))};
    }
    case SceneKind::count: {
      const std::string name = counted(first, groups[0].count);
      return {name, name + background, concat("a picture of ", number_word(groups[0].count), " ", plural(first.shape), ", all of them ", scene_name(first.color))};
    }
    case SceneKind::relation: {
      const std::string a = with_article(described(first)), b = with_article(described(scene.objects[1]));
      const std::string name = concat(a, " ", scene_name(scene.relation), " ", b);
      return {name, concat(b, " ", scene_name(opposite(scene.relation)), " ", a), name + "," + background};
    }
    case SceneKind::groups: break;
  }
  const std::string a = counted(first, groups[0].count), b = counted(groups[1].object, groups[1].count);
  return {concat(a, " and ", b), concat(b, " and ", a),
          concat(number_word(static_cast<int>(scene.objects.size())), " shapes", background, ": ", a, " and ", b)};
}

std::vector<PictureQuestion> scene_questions(const Scene& scene, uint64_t number) {
  using namespace scenes_text;
  const auto groups = groups_of(scene);
  Asker asker(number);
  switch (scene.kind) {
    case SceneKind::single: ask_about_single(scene.objects[0], asker); break;
    case SceneKind::count: ask_about_count(groups[0], asker); break;
    case SceneKind::relation: ask_about_relation(scene, asker); break;
    case SceneKind::groups: ask_about_groups(groups, static_cast<int>(scene.objects.size()), asker); break;
  }
  asker.ask("background", "what color is the background?", background_name(scene.background));
  return std::move(asker.questions);
}

std::vector<GroundedPhrase> scene_phrases(const Scene& scene) {
  using namespace scenes_text;
  std::vector<GroundedPhrase> phrases;
  for (size_t i = 0; i < scene.objects.size(); ++i) {
    const SceneObject& object = scene.objects[i];
    std::vector<const SceneObject*> alike;
    for (const auto& other : scene.objects) {
      if (&other != &object && other.shape == object.shape && other.color == object.color) alike.push_back(&other);
    }
    if (alike.empty()) {
      phrases.push_back({"the " + described(object), object.box});
      continue;
    }
    // The outermost one in a direction, if it is so by a clear margin (6 pixels).
    constexpr int margin = 6 * 16;
    const auto outermost = [&](auto lead) {
      return std::all_of(alike.begin(), alike.end(), [&](const SceneObject* other) { return lead(*other) >= margin; });
    };
    const char* where = nullptr;
    if (outermost([&](const SceneObject& other) { return other.x - object.x; })) where = "leftmost";
    else if (outermost([&](const SceneObject& other) { return object.x - other.x; })) where = "rightmost";
    else if (outermost([&](const SceneObject& other) { return other.y - object.y; })) where = "topmost";
    else if (outermost([&](const SceneObject& other) { return object.y - other.y; })) where = "bottommost";
    if (where) phrases.push_back({concat("the ", where, " ", described(object)), object.box});
  }
  return phrases;
}

std::string scene_class(const Scene& scene) {
  const SceneShape shape = scene.objects.front().shape;
  const bool same = std::all_of(scene.objects.begin(), scene.objects.end(), [&](const auto& object) { return object.shape == shape; });
  return same ? scene_name(shape) : std::string();
}

}  // namespace vlm
