#include "vlm/data/image_gif.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

#include <gif_lib.h>

#include "vlm/core/error.h"

namespace vlm {

namespace gif_decoding {

int read_bytes(GifFileType* gif, GifByteType* out, int count) {
  auto& rest = *static_cast<std::string_view*>(gif->UserData);
  const size_t n = std::min(rest.size(), static_cast<size_t>(std::max(count, 0)));
  std::memcpy(out, rest.data(), n);
  rest.remove_prefix(n);
  return static_cast<int>(n);
}

struct Close {
  void operator()(GifFileType* gif) const {
    int error = 0;
    DGifCloseFile(gif, &error);
  }
};

[[noreturn]] void refuse(int error) {
  const char* why = GifErrorString(error);
  fail("cannot decode the GIF file: ", why ? why : "it ends early or is damaged");
}

/// Indices that the file's palette does not reach are greys.
using Palette = std::array<std::array<uint8_t, 3>, 256>;
Palette palette_of(const ColorMapObject* map) {
  Palette palette;
  for (size_t i = 0; i < 256; ++i) palette[i].fill(static_cast<uint8_t>(i));
  if (map) {
    for (int i = 0; i < std::min(map->ColorCount, 256); ++i) palette[size_t(i)] = {map->Colors[i].Red, map->Colors[i].Green, map->Colors[i].Blue};
  }
  return palette;
}

}  // namespace gif_decoding

Image decode_gif(std::string_view bytes, const ImageSize& screen, bool with_alpha) {
  using namespace gif_decoding;
  int error = 0;
  std::unique_ptr<GifFileType, Close> gif(DGifOpen(&bytes, read_bytes, &error));
  if (!gif) refuse(error);
  int transparent = NO_TRANSPARENT_COLOR;
  GifRecordType type = UNDEFINED_RECORD_TYPE;
  while (true) {
    if (DGifGetRecordType(gif.get(), &type) == GIF_ERROR) refuse(gif->Error);
    if (type == IMAGE_DESC_RECORD_TYPE) break;
    if (type != EXTENSION_RECORD_TYPE) fail("the GIF file holds no frame");
    int code = 0;
    GifByteType* block = nullptr;
    if (DGifGetExtension(gif.get(), &code, &block) == GIF_ERROR) refuse(gif->Error);
    if (code == GRAPHICS_EXT_FUNC_CODE && block && block[0] >= 4) {
      GraphicsControlBlock control;
      DGifExtensionToGCB(block[0], block + 1, &control);
      transparent = control.TransparentColor;
    }
    while (block) {
      if (DGifGetExtensionNext(gif.get(), &block) == GIF_ERROR) refuse(gif->Error);
    }
  }
  if (DGifGetImageDesc(gif.get()) == GIF_ERROR) refuse(gif->Error);
  const GifImageDesc& frame = gif->Image;
  if (frame.Left < 0 || frame.Top < 0 || frame.Width <= 0 || frame.Height <= 0 || frame.Left + frame.Width > screen.width ||
      frame.Top + frame.Height > screen.height) {
    fail("the GIF file's first frame does not lie on its screen");
  }
  const Palette palette = palette_of(frame.ColorMap ? frame.ColorMap : gif->SColorMap);

  const auto ground = static_cast<uint8_t>(transparent == NO_TRANSPARENT_COLOR ? 0 : transparent);
  std::vector<uint8_t> indices(size_t(screen.height) * size_t(screen.width), ground);
  const auto read_row = [&](int y) {
    uint8_t* row = &indices[size_t(frame.Top + y) * size_t(screen.width) + size_t(frame.Left)];
    if (DGifGetLine(gif.get(), row, frame.Width) == GIF_ERROR) refuse(gif->Error);
  };
  if (frame.Interlace) {
    constexpr int first[] = {0, 4, 2, 1}, step[] = {8, 8, 4, 2};
    for (int pass = 0; pass < 4; ++pass) {
      for (int y = first[pass]; y < frame.Height; y += step[pass]) read_row(y);
    }
  } else {
    for (int y = 0; y < frame.Height; ++y) read_row(y);
  }

  Image image(screen.height, screen.width, with_alpha ? 4 : 3);
  uint8_t* out = image.pixels.data();
  for (const uint8_t index : indices) {
    std::memcpy(out, palette[index].data(), 3);
    if (with_alpha) out[3] = index == transparent ? 0 : 255;
    out += image.channels;
  }
  return image;
}

}  // namespace vlm
