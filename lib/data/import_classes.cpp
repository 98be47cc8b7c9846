#include "vlm/data/import_classes.h"

#include <set>
#include <span>

#include "vlm/core/strings.h"

namespace vlm {

namespace import_classes {

struct FolderClass {
  std::string_view folder, name;  ///< an empty name: pictures of this folder have no class
};

constexpr FolderClass openclipart[] = {
    {"signs_and_symbols/flags/semaphore", ""}, {"shapes/arrows", "arrow"}, {"animals/birds", "bird"},
    {"transportation/boating", "boat"}, {"people/bodypart", "body part"}, {"food/breads_and_carbs", "bread"},
    {"buildings", "building"}, {"computer/buttons", "button"}, {"recreation/games/chess", "chess piece"},
    {"recreation/holiday/christmas", "christmas"}, {"signs_and_symbols/clocks", "clock"}, {"people/clothing", "clothing"},
    {"computer/hardware", "computer"}, {"food/desserts", "dessert"}, {"animals/dinosaurs", "dinosaur"},
    {"food/beverages", "drink"}, {"electronics", "electronics"}, {"people/smilies", "face"}, {"animals/fish", "fish"},
    {"signs_and_symbols/flags", "flag"}, {"shapes/flowchart", "flowchart symbol"}, {"plants/flowers", "flower"},
    {"food/fruit", "fruit"}, {"buildings/furniture", "furniture"}, {"animals/bugs", "insect"},
    {"shapes/jigsaw", "jigsaw piece"}, {"signs_and_symbols/led", "led light"}, {"electronics/bulb", "light bulb"},
    {"animals/mammals", "mammal"}, {"geography", "map"}, {"signs_and_symbols/map_symbols", "map symbol"},
    {"transportation/aiga-symbols", "map symbol"}, {"food/meats_and_eggs", "meat"}, {"signs_and_symbols/money", "money"},
    {"recreation/music", "musical instrument"}, {"office", "office supply"}, {"special/patterns", "pattern"},
    {"people", "person"}, {"geography/astronomy", "planet"}, {"science/astronomy", "planet"},
    {"recreation/games/cards/bordered", "playing card"}, {"recreation/games/cards/ornamental", "playing card"},
    {"recreation/games/cards/simple", "playing card"}, {"recreation/games/cards/white", "playing card"},
    {"transportation/roadsigns", "road sign"}, {"shapes/callouts", "speech bubble"}, {"recreation/sports", "sport"},
    {"people/stickmen", "stick figure"}, {"office/telephone", "telephone"}, {"tools", "tool"}, {"recreation/toys", "toy"},
    {"tools/toys", "toy"}, {"plants/trees", "tree"}, {"food/vegetables", "vegetable"},
    {"transportation/vehicles", "vehicle"}, {"tools/weapons", "weapon"}, {"signs_and_symbols/weather", "weather symbol"},
};

constexpr FolderClass tuxpaint[] = {
    {"animals/birds", "bird"}, {"vehicles/ship", "boat"}, {"town/cartoon", "building"}, {"town/houses", "building"},
    {"town/monuments", "building"}, {"symbols/chess", "chess piece"}, {"seasonal/christmas", "christmas"},
    {"clothes", "clothing"}, {"food/dessert", "dessert"}, {"animals/dinosaur", "dinosaur"}, {"seasonal/easter", "easter"},
    {"symbols/faces", "face"}, {"animals/fish", "fish"}, {"town/flags", "flag"}, {"plants/flowers", "flower"},
    {"food/fruit", "fruit"}, {"seasonal/halloween", "halloween"}, {"symbols/alphabets/asl", "hand sign"},
    {"animals/insects", "insect"}, {"symbols/alphabets", "letter"}, {"animals/mammals", "mammal"},
    {"animals/marsupials", "mammal"}, {"symbols/math", "math symbol"}, {"symbols/money", "money"},
    {"symbols/music", "music symbol"}, {"hobbies/music", "musical instrument"}, {"space/moon", "planet"},
    {"space/planets", "planet"}, {"town/roadsigns", "road sign"}, {"sports", "sport"}, {"household/tools", "tool"},
    {"plants/trees", "tree"}, {"food/vegetables", "vegetable"}, {"military/vehicles", "vehicle"}, {"vehicles", "vehicle"},
};

std::span<const FolderClass> table_of(PictureSource source) {
  if (source == PictureSource::tuxpaint) return tuxpaint;
  return openclipart;
}

std::vector<std::string> sorted_names(PictureSource source) {
  std::set<std::string> names;
  for (const auto& entry : table_of(source)) {
    if (!entry.name.empty()) names.emplace(entry.name);
  }
  return {names.begin(), names.end()};
}

}  // namespace import_classes

const char* source_name(PictureSource source) { return source == PictureSource::tuxpaint ? "tuxpaint" : "openclipart"; }

const std::vector<std::string>& picture_classes(PictureSource source) {
  static const std::vector<std::string> of_tuxpaint = import_classes::sorted_names(PictureSource::tuxpaint);
  static const std::vector<std::string> of_openclipart = import_classes::sorted_names(PictureSource::openclipart);
  return source == PictureSource::tuxpaint ? of_tuxpaint : of_openclipart;
}

std::string picture_class(PictureSource source, std::string_view stem) {
  std::string_view longest, name;
  for (const auto& entry : import_classes::table_of(source)) {
    const bool inside = starts_with(stem, entry.folder) && (stem.size() == entry.folder.size() || stem[entry.folder.size()] == '/');
    if (inside && entry.folder.size() > longest.size()) longest = entry.folder, name = entry.name;
  }
  return std::string(name);
}

}  // namespace vlm
