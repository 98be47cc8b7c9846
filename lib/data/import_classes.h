#pragma once
/// The class of an imported picture by the folder that it lies in (specs: real-data, section 4).

#include <string>
#include <string_view>
#include <vector>

namespace vlm {

/// The packages of pictures that can be imported.
enum class PictureSource { tuxpaint, openclipart };

/// "tuxpaint", "openclipart".
const char* source_name(PictureSource source);

/// All class names of a source, sorted: a class number is a position in this list.
const std::vector<std::string>& picture_classes(PictureSource source);

/// The class whose folder is the longest that `stem` (the path below the root, without ".png") begins with on a '/'
/// boundary, or equals; empty if the picture has none.
std::string picture_class(PictureSource source, std::string_view stem);

}  // namespace vlm
