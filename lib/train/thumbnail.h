#pragma once
/// Small pictures for pages that need nothing from outside.

#include <cstdint>
#include <string>

#include "vlm/data/source.h"

namespace vlm {

/// The first picture of a sample as a data: URI (JPEG) with at most `side` pixels on the longer side, transparent parts
/// white; empty if the picture cannot be read.
std::string thumbnail(const Source& source, int64_t number, int side = 96);

}  // namespace vlm
