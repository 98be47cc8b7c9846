#include <gtest/gtest.h>

#include <algorithm>

#include "image_files.h"
#include "vlm/core/error.h"
#include "vlm/data/image.h"
#include "vlm/data/image_header.h"

namespace vlm::test {
namespace image_decode {

using namespace std::string_literals;

DecodeOptions with_alpha(Alpha alpha) {
  DecodeOptions options;
  options.alpha = alpha;
  return options;
}

/// The file with an EXIF segment that holds the orientation.
std::string with_orientation(const std::string& jpeg, int orientation, bool little) {
  const std::string value(1, static_cast<char>(orientation));
  const std::string tiff = little ? "II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0"s + value + "\0\0\0\0\0\0\0"s
                                  : "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0"s + value + "\0\0\0\0\0\0"s;
  const std::string segment = "Exif\0\0"s + tiff;
  return jpeg.substr(0, 2) + "\xFF\xE1"s + '\0' + static_cast<char>(segment.size() + 2) + segment + jpeg.substr(2);
}

const uint8_t* pixel(const Image& image, int y, int x) { return image.row(y) + x * image.channels; }

TEST(DecodeImage, TurnsAPictureUprightForEachExifOrientation) {
  const std::string file = picture_file("image_decode_jpeg_420", "x.jpg");
  const Image stored = decode_image(file);
  const int h = stored.height, w = stored.width;
  DecodeOptions apply;
  apply.exif = Exif::apply;
  for (const bool little : {true, false}) {
    for (int orientation = 1; orientation <= 8; ++orientation) {
      const std::string turned_file = with_orientation(file, orientation, little);
      EXPECT_EQ(decode_image(turned_file).pixels, stored.pixels) << "ignored unless asked for";
      const Image turned = decode_image(turned_file, apply);
      ASSERT_EQ(turned.height, orientation >= 5 ? w : h);
      // Where the stored picture's first row and first column go, as the EXIF standard's table says.
      const int last_y = turned.height - 1, last_x = turned.width - 1;
      const std::vector<std::pair<int, int>> corner = {{0, 0}, {0, last_x}, {last_y, last_x}, {last_y, 0}, {0, 0}, {0, last_x}, {last_y, last_x}, {last_y, 0}};
      const auto [y, x] = corner[size_t(orientation - 1)];
      const bool row_is_row = orientation <= 4;
      const int step_y = y == 0 ? 1 : -1, step_x = x == 0 ? 1 : -1;
      for (int k = 0; k < 20; ++k) {
        EXPECT_TRUE(std::equal(pixel(stored, 0, k), pixel(stored, 0, k) + 3, row_is_row ? pixel(turned, y, x + k * step_x) : pixel(turned, y + k * step_y, x)));
        EXPECT_TRUE(std::equal(pixel(stored, k, 0), pixel(stored, k, 0) + 3, row_is_row ? pixel(turned, y + k * step_y, x) : pixel(turned, y, x + k * step_x)));
      }
    }
  }
}

TEST(DecodeImage, TakesDamagedExifForNone) {
  const std::string file = picture_file("image_decode_jpeg_420", "x.jpg");
  const std::string good = with_orientation(file, 6, true);
  DecodeOptions apply;
  apply.exif = Exif::apply;
  const size_t begin = 2 + 4 + 6;
  for (size_t at = begin; at < begin + 26; ++at) {
    for (const char byte : {'\0', '\x7F', '\xFF'}) {
      std::string damaged = good;
      damaged[at] = byte;
      EXPECT_EQ(decode_image(damaged, apply).pixels.size(), size_t(39 * 29 * 3));
    }
  }
  for (size_t length = 0; length < 26; ++length) EXPECT_EQ(exif_orientation(std::string_view(good).substr(begin, length)), length < 20 ? 1 : exif_orientation(std::string_view(good).substr(begin, length)));
}

TEST(DecodeImage, RefusesEveryFileThatEndsEarlyAndPrintsNothing) {
  ::testing::internal::CaptureStderr();
  for (const std::string& file : all_picture_files()) {
    const ImageSize size = read_image_size(file);
    int decoded = 0;
    for (size_t length = 0; length < file.size(); length += length < 64 ? 1 : 7) {
      try {
        const Image image = decode_image(std::string_view(file).substr(0, length));
        EXPECT_EQ(image.height, size.height);
        EXPECT_EQ(image.width, size.width);
        ++decoded;
      } catch (const Error&) {
      }
    }
    // Only what follows the picture itself may be missing (padding, other frames, the end mark).
    if (read_image_header(file).format == ImageFormat::jpeg) {
      EXPECT_EQ(decoded, 0);
    }
    EXPECT_EQ(decode_image(file).height, size.height);
  }
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST(DecodeImage, FillsATruncatedJpegWithGreyWhereThatIsAllowed) {
  const std::string file = picture_file("image_decode_jpeg_420", "x.jpg");
  const Image whole = decode_image(file);
  const auto half = std::string_view(file).substr(0, file.size() - 200);
  EXPECT_THROW(decode_image(half), Error);
  DecodeOptions options;
  options.truncated = true;
  const Image image = decode_image(half, options);
  ASSERT_EQ(image.pixels.size(), whole.pixels.size());
  EXPECT_TRUE(std::equal(image.row(0), image.row(4), whole.row(0)));
  const uint8_t* last = pixel(image, image.height - 1, image.width - 1);
  for (int c = 0; c < 3; ++c) EXPECT_EQ(last[c], 128);
}

TEST(DecodeImage, SurvivesDamagedBytes) {
  SplitMix64 random(11);
  ::testing::internal::CaptureStderr();
  for (const std::string& file : all_picture_files()) {
    for (int trial = 0; trial < 60; ++trial) {
      std::string damaged = file;
      for (int k = 0; k < 1 + trial % 4; ++k) damaged[random.below(damaged.size())] = static_cast<char>(random.next());
      try {
        const DecodeOptions options{trial % 2 ? Exif::apply : Exif::ignore, trial % 3 ? Alpha::keep : Alpha::drop, 4'000'000, trial % 5 == 0, DepthRule::high_byte};
        const Image image = decode_image(damaged, options);
        EXPECT_EQ(image.pixels.size(), size_t(image.height) * size_t(image.width) * size_t(image.channels));
      } catch (const Error&) {
      }
    }
  }
  ::testing::internal::GetCapturedStderr();  // a damaged compressed stream may make a codec speak
}

TEST(DecodeImage, RefusesAHugePictureByItsHeaderAlone) {
  const auto patched = [](std::string file, size_t at, const std::string& bytes) { return file.replace(at, bytes.size(), bytes); };
  const std::string jpeg = picture_file("image_decode_jpeg_420", "x.jpg");
  const size_t frame = jpeg.find("\xFF\xC0"s);
  std::vector<std::string> bombs = {
      patched(jpeg, frame + 5, "\xEA\x60\xEA\x60"s),
      patched(picture_file("image_decode_png_rgb", "x.png"), 16, "\0\x01\0\0\0\x01\0\0"s),
      patched(picture_file("image_decode_webp_lossy", "x.webp"), 26, "\xFF\x3F\xFF\x3F"s),
      patched(picture_file("image_decode_gif_animated", "x.gif"), 6, "\xFF\xFF\xFF\xFF"s),
  };
  for (const auto& bomb : bombs) {
    EXPECT_GT(int64_t(read_image_size(bomb).height) * read_image_size(bomb).width, DecodeOptions().max_pixels);
    try {
      decode_image(bomb);
      ADD_FAILURE() << "decoded";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("more than the"), std::string::npos) << error.what();
    }
  }
  // Below the limit, but without the data for it.
  EXPECT_THROW(decode_image(patched(picture_file("image_decode_bmp_rgb", "x.bmp"), 18, "\0\x10\0\0\0\x10\0\0"s)), Error);
  EXPECT_THROW(decode_image(png_file(7000, 7000, 8, 2, {std::string(21000, 'x')})), Error);
  DecodeOptions small;
  small.max_pixels = 39 * 29 - 1;
  for (const auto& file : all_picture_files()) EXPECT_THROW(decode_image(file, small), Error);
}

TEST(DecodeImage, SaysThatTextIsNoPicture) {
  for (const std::string& bytes : {""s, "BM"s, "<html>"s, "RIFF"s, "\xFF\xD8"s, "GIF89a"s, "version https://git-lfs"s}) {
    EXPECT_THROW(decode_image(bytes), Error) << bytes;
    EXPECT_THROW(read_image_size(bytes), Error) << bytes;
  }
}

TEST(DecodeImage, KeepsAlphaOrCompositesIt) {
  // Columns: opaque, half transparent, transparent.
  const std::string file = png_file(3, 1, 8, 6, {"\x0A\x14\x1E\xFF\x0A\x14\x1E\x80\x0A\x14\x1E\0"s});
  const std::vector<uint8_t> dropped = {10, 20, 30, 10, 20, 30, 10, 20, 30};
  EXPECT_EQ(decode_image(file).pixels, dropped);
  const Image kept = decode_image(file, with_alpha(Alpha::keep));
  EXPECT_EQ(kept.channels, 4);
  EXPECT_EQ(kept.pixels, (std::vector<uint8_t>{10, 20, 30, 255, 10, 20, 30, 128, 10, 20, 30, 0}));
  const auto over = [](int c, int a, int ground) { return static_cast<uint8_t>((c * a + ground * (255 - a) + 127) / 255); };
  const Image white = decode_image(file, with_alpha(Alpha::white)), black = decode_image(file, with_alpha(Alpha::black));
  EXPECT_EQ(white.channels, 3);
  EXPECT_EQ(white.pixels, (std::vector<uint8_t>{10, 20, 30, over(10, 128, 255), over(20, 128, 255), over(30, 128, 255), 255, 255, 255}));
  EXPECT_EQ(black.pixels, (std::vector<uint8_t>{10, 20, 30, over(10, 128, 0), over(20, 128, 0), over(30, 128, 0), 0, 0, 0}));
}

TEST(DecodeImage, TakesTransparentColoursAndIndicesForAlphaOnlyWhereAlphaIsKept) {
  const std::string palette = png_chunk("PLTE", "\x01\x02\x03\x04\x05\x06"s) + png_chunk("tRNS", "\x40"s);
  const std::string indexed = png_file(2, 1, 8, 3, {"\0\x01"s}, palette);
  EXPECT_EQ(decode_image(indexed).pixels, (std::vector<uint8_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(decode_image(indexed, with_alpha(Alpha::keep)).pixels, (std::vector<uint8_t>{1, 2, 3, 64, 4, 5, 6, 255}));
  const std::string gray = png_file(2, 1, 8, 0, {"\x07\x09"s}, png_chunk("tRNS", "\0\x09"s));
  EXPECT_EQ(decode_image(gray).pixels, (std::vector<uint8_t>{7, 7, 7, 9, 9, 9}));
  EXPECT_EQ(decode_image(gray, with_alpha(Alpha::keep)).pixels, (std::vector<uint8_t>{7, 7, 7, 255, 9, 9, 9, 0}));
  const std::string rgb = png_file(2, 1, 8, 2, {"\x01\x02\x03\x04\x05\x06"s}, png_chunk("tRNS", "\0\x01\0\x02\0\x03"s));
  EXPECT_EQ(decode_image(rgb).pixels, (std::vector<uint8_t>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(decode_image(rgb, with_alpha(Alpha::keep)).pixels, (std::vector<uint8_t>{1, 2, 3, 0, 4, 5, 6, 255}));
  const std::string gif = picture_file("image_decode_gif_transparent", "x.gif");
  const Image kept = decode_image(gif, with_alpha(Alpha::keep)), plain = decode_image(gif);
  int transparent = 0;
  for (size_t i = 0; i < plain.pixels.size() / 3; ++i) {
    transparent += kept.pixels[4 * i + 3] == 0;
    EXPECT_TRUE(std::equal(&plain.pixels[3 * i], &plain.pixels[3 * i] + 3, &kept.pixels[4 * i]));
  }
  EXPECT_GT(transparent, 0);
}

TEST(DecodeImage, GivesFourChannelsForEveryFileWhereAlphaIsKept) {
  for (const auto& file : all_picture_files()) {
    const Image plain = decode_image(file), kept = decode_image(file, with_alpha(Alpha::keep));
    ASSERT_EQ(kept.channels, 4);
    for (size_t i = 0; i < plain.pixels.size() / 3; ++i) ASSERT_TRUE(std::equal(&plain.pixels[3 * i], &plain.pixels[3 * i] + 3, &kept.pixels[4 * i]));
  }
}

TEST(DecodeImage, CutsSixteenBitsByTheRuleThatIsAskedFor) {
  // 0x01FF is 1 by its high byte; 511 / 257 is 1, 0x0100 / 257 is 0, 0xFF00 / 257 is 254.
  const std::string gray = png_file(3, 1, 16, 0, {"\x01\xFF\x01\0\xFF\0"s});
  EXPECT_EQ(decode_image(gray).pixels, (std::vector<uint8_t>{1, 1, 1, 1, 1, 1, 255, 255, 255}));
  EXPECT_EQ(decode_image(gray, with_alpha(Alpha::keep)).pixels, (std::vector<uint8_t>{1, 1, 1, 255, 1, 1, 1, 255, 255, 255, 255, 255}));
  DecodeOptions divide;
  divide.depth = DepthRule::divide_257;
  EXPECT_EQ(decode_image(gray, divide).pixels, (std::vector<uint8_t>{1, 1, 1, 0, 0, 0, 254, 254, 254}));
  const std::string rgba = png_file(1, 1, 16, 6, {"\x01\0\x01\x01\x02\x02\x80\x80"s});
  divide.alpha = Alpha::keep;
  EXPECT_EQ(decode_image(rgba, divide).pixels, (std::vector<uint8_t>{0, 1, 2, 128}));
  EXPECT_EQ(decode_image(rgba).pixels, (std::vector<uint8_t>{1, 1, 2}));
}

TEST(DecodeImage, PassesOverPngChunksThatAreNotThePicture) {
  ::testing::internal::CaptureStderr();
  const std::string noise = png_chunk("gAMA", "\0\0\0\x01"s) + png_chunk("iCCP", "not a profile") + png_chunk("tEXt", "a") + png_chunk("eXIf", "II");
  EXPECT_EQ(decode_image(png_file(2, 1, 8, 0, {"\x07\x09"s}, noise)).pixels, (std::vector<uint8_t>{7, 7, 7, 9, 9, 9}));
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
  std::string broken = png_file(2, 1, 8, 0, {"\x07\x09"s});
  broken[broken.size() - 12 - 7] ^= 1;  // inside the data chunk
  EXPECT_THROW(decode_image(broken), Error);
}

TEST(DecodeImage, TakesTheFirstFrameOfAnAnimatedWebp) {
  const std::string still = picture_file("image_decode_webp_lossy", "x.webp");
  const Image frame = decode_image(still);
  const auto le = [](uint64_t v, int bytes) {
    std::string out;
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(v >> (8 * i) & 0xFF);
    return out;
  };
  const std::string part = le(1, 3) + le(2, 3) + le(38, 3) + le(28, 3) + le(100, 3) + le(0, 1) + still.substr(12);  // at (2, 4)
  const std::string body = "WEBPVP8X" + le(10, 4) + le(0x02, 4) + le(49, 3) + le(39, 3) + "ANIM" + le(6, 4) + le(0, 6) + "ANMF" + le(static_cast<uint32_t>(part.size()), 4) + part;
  const Image image = decode_image("RIFF" + le(static_cast<uint32_t>(body.size()), 4) + body);
  ASSERT_EQ(image.height, 40);
  ASSERT_EQ(image.width, 50);
  for (int y = 0; y < 29; ++y) EXPECT_TRUE(std::equal(frame.row(y), frame.row(y) + 39 * 3, pixel(image, y + 4, 2)));
  EXPECT_EQ(*pixel(image, 0, 0), 0);
}

}  // namespace image_decode
}  // namespace vlm::test
