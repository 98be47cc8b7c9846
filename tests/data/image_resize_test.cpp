#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "image_files.h"
#include "vlm/core/error.h"
#include "vlm/data/image.h"
#include "vlm/data/image_resample.h"

namespace vlm::test {
namespace image_resize {

/// The definition, one output at a time.
double weight(Filter filter, double x) {
  x = std::abs(x);
  if (filter == Filter::bilinear) return x < 1 ? 1 - x : 0;
  const auto sinc = [](double v) { return v == 0 ? 1 : std::sin(v * M_PI) / (v * M_PI); };
  if (filter == Filter::lanczos) return x < 3 ? sinc(x) * sinc(x / 3) : 0;
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

/// One line of `n` samples, `stride` apart, to `out_n`.
std::vector<int> resize_line(const std::function<int(int)>& in, int n, int out_n, Filter filter) {
  std::vector<int> out;
  const double support_of[] = {0, 1, 2, 3}, scale = double(n) / out_n, fs = std::max(scale, 1.0), support = support_of[int(filter)] * fs;
  for (int o = 0; o < out_n; ++o) {
    const double center = (o + 0.5) * scale;
    const int low = std::max(int(center - support + 0.5), 0), high = std::min(int(center + support + 0.5), n);
    double total = 0;
    for (int i = low; i < high; ++i) total += weight(filter, (i - center + 0.5) / fs);
    int64_t sum = 1 << 21;
    for (int i = low; i < high; ++i) {
      const double k = weight(filter, (i - center + 0.5) / fs) / total * (1 << 22);
      sum += in(i) * static_cast<int64_t>(k < 0 ? k - 0.5 : k + 0.5);
    }
    out.push_back(static_cast<int>(std::clamp<int64_t>(sum >> 22, 0, 255)));
  }
  return out;
}

Image model(const Image& image, int height, int width, Filter filter) {
  Image across = image;
  if (width != image.width) {
    across = Image(image.height, width, image.channels);
    for (int y = 0; y < image.height; ++y) {
      for (int c = 0; c < image.channels; ++c) {
        const auto line = resize_line([&](int x) { return image.row(y)[x * image.channels + c]; }, image.width, width, filter);
        for (int x = 0; x < width; ++x) across.row(y)[x * image.channels + c] = static_cast<uint8_t>(line[size_t(x)]);
      }
    }
  }
  if (height == image.height) return across;
  Image out(height, width, image.channels);
  for (int k = 0; k < width * image.channels; ++k) {
    const auto line = resize_line([&](int y) { return across.row(y)[k]; }, image.height, height, filter);
    for (int y = 0; y < height; ++y) out.row(y)[k] = static_cast<uint8_t>(line[size_t(y)]);
  }
  return out;
}

int size_of(SplitMix64& random, int most) { return 1 + static_cast<int>(random.below(static_cast<uint64_t>(most))); }

TEST(ResizeImage, MatchesTheDefinitionToTheBitOnRandomShapes) {
  SplitMix64 random(5);
  for (int trial = 0; trial < 240; ++trial) {
    const int channels = 3 + trial % 2;
    const Filter filter = trial % 5 == 0 ? Filter::bilinear : trial % 7 == 0 ? Filter::lanczos : Filter::bicubic;
    const Image image = random_image(size_of(random, trial % 3 ? 40 : 200), size_of(random, trial % 4 ? 60 : 300), channels, random);
    const int height = trial % 11 == 0 ? image.height : size_of(random, 70), width = trial % 13 == 0 ? image.width : size_of(random, 70);
    ASSERT_EQ(resize_image(image, height, width, filter).pixels, model(image, height, width, filter).pixels)
        << image.height << " x " << image.width << " x " << channels << " to " << height << " x " << width;
  }
}

TEST(ResizeImage, KeepsBlackWhiteEdgesInsideTheLevels) {
  Image image(64, 64);
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) std::fill_n(image.row(y) + 3 * x, 3, uint8_t((x / 5 + y / 7) % 2 ? 255 : 0));
  }
  for (const int n : {13, 31, 64, 97, 200}) EXPECT_EQ(resize_image(image, n, n + 3, Filter::lanczos).pixels, model(image, n, n + 3, Filter::lanczos).pixels);
}

TEST(ResizeImage, GivesTheSameBitsWithAndWithoutAvx2) {
  if (!resample::have_avx2()) GTEST_SKIP() << "this machine has no AVX2";
  SplitMix64 random(6);
  for (int trial = 0; trial < 60; ++trial) {
    const int channels = 3 + trial % 2, n = 10 + size_of(random, 90);
    resample::Taps taps;
    taps.stride = 4 * size_of(random, 5);
    const int outputs = size_of(random, 50);
    for (int o = 0; o < outputs; ++o) {
      const int used = std::min(size_of(random, taps.stride), n), first = static_cast<int>(random.below(static_cast<uint64_t>(n - used + 1)));
      taps.first.push_back(first), taps.used.push_back(used);
      // In sum less than 2, as those of every filter: sums of 32 bits hold no more.
      for (int i = 0; i < taps.stride; ++i) {
        taps.weights.push_back(i < used ? static_cast<int32_t>(random.uniform(-0.3, 1.0) * (1 << 23) / (used + 1)) : 0);
      }
    }
    resample::widen(taps), resample::pair(taps);
    const size_t in_bytes = size_t(n * channels + resample::read_beyond), out_bytes = size_t(outputs * channels + 4);
    std::vector<std::vector<uint8_t>> in(4, std::vector<uint8_t>(in_bytes)), plain(4, std::vector<uint8_t>(out_bytes)), fast = plain;
    for (auto& row : in) {
      for (auto& level : row) level = static_cast<uint8_t>(random.next() >> 56);
    }
    const uint8_t* ins[4] = {in[0].data(), in[1].data(), in[2].data(), in[3].data()};
    uint8_t* plains[4] = {plain[0].data(), plain[1].data(), plain[2].data(), plain[3].data()};
    uint8_t* fasts[4] = {fast[0].data(), fast[1].data(), fast[2].data(), fast[3].data()};
    resample::horizontal_plain(ins, plains, channels, taps);
    resample::horizontal_avx2(ins, fasts, channels, taps);
    for (size_t r = 0; r < 4; ++r) ASSERT_TRUE(std::equal(plain[r].begin(), plain[r].end() - 4, fast[r].begin()));

    std::vector<std::vector<uint8_t>> lines(size_t(taps.stride), std::vector<uint8_t>(size_t(size_of(random, 200))));
    for (auto& line : lines) line.resize(lines[0].size());
    std::vector<const uint8_t*> rows;
    for (auto& line : lines) {
      for (auto& level : line) level = static_cast<uint8_t>(random.next() >> 56);
      rows.push_back(line.data());
    }
    const size_t o = random.below(static_cast<uint64_t>(outputs));
    std::vector<uint8_t> a(lines[0].size()), b(lines[0].size());
    resample::vertical_plain(rows.data(), taps, o, static_cast<int64_t>(a.size()), a.data());
    resample::vertical_avx2(rows.data(), taps, o, static_cast<int64_t>(b.size()), b.data());
    ASSERT_EQ(a, b);
  }
}

TEST(ResizeImage, OfACropOrAWindowEqualsCroppingBeforeOrAfter) {
  SplitMix64 random(7);
  for (int trial = 0; trial < 60; ++trial) {
    const Filter filter = trial % 4 == 0 ? Filter::nearest : Filter::bicubic;
    const Image image = random_image(size_of(random, 80), size_of(random, 80), 3 + trial % 2, random);
    const int h = size_of(random, image.height), w = size_of(random, image.width);
    const int top = static_cast<int>(random.below(uint64_t(image.height - h + 1))), left = static_cast<int>(random.below(uint64_t(image.width - w + 1)));
    const int height = size_of(random, 60), width = size_of(random, 60);
    const Image cropped = crop_image(image, top, left, h, w);
    ASSERT_EQ(resize_crop(image, {top, left, h, w}, height, width, filter).pixels, resize_image(cropped, height, width, filter).pixels);
    const Image whole = resize_image(image, height, width, filter);
    const int wh = size_of(random, height), ww = size_of(random, width);
    const int wt = static_cast<int>(random.below(uint64_t(height - wh + 1))), wl = static_cast<int>(random.below(uint64_t(width - ww + 1)));
    ASSERT_EQ(resize_window(image, height, width, {wt, wl, wh, ww}, filter).pixels, crop_image(whole, wt, wl, wh, ww).pixels);
  }
}

TEST(ResizeImage, ComputesAWindowOfAPictureThatWouldNotFitMemory) {
  SplitMix64 random(8);
  const Image strip = random_image(1, 5000, 3, random);
  for (const Filter filter : {Filter::bicubic, Filter::nearest}) {
    const Image window = resize_window(strip, 200'000, 1'000'000'000, {100'000, 500'000'000, 24, 24}, filter);
    EXPECT_EQ(window.pixels.size(), size_t(24 * 24 * 3));
    EXPECT_TRUE(std::equal(window.row(0), window.row(1), window.row(23)));
  }
}

TEST(ResizeImage, DividesByAlphaAgainWhereItWasMultipliedByIt) {
  Image image(8, 8, 4);
  for (size_t i = 0; i < image.pixels.size(); i += 4) {
    const bool seen = (i / 4) % 8 < 4;
    const std::vector<uint8_t> pixel = seen ? std::vector<uint8_t>{200, 100, 50, 255} : std::vector<uint8_t>{0, 255, 255, 0};
    std::copy(pixel.begin(), pixel.end(), &image.pixels[i]);
  }
  const Image out = resize_window_rgba(image, 4, 7, {0, 0, 4, 7}, Filter::bilinear);
  for (size_t i = 0; i < out.pixels.size(); i += 4) {
    if (out.pixels[i + 3] < 60) continue;
    EXPECT_NEAR(out.pixels[i], 200, 4);  // the colour under transparent pixels does not bleed
    EXPECT_NEAR(out.pixels[i + 1], 100, 4);
  }
  EXPECT_THROW(resize_window_rgba(Image(2, 2, 3), 1, 1, {0, 0, 1, 1}), Error);
}

TEST(ResizeImage, RefusesSizesAndBoxesThatDoNotExist) {
  const Image image(5, 6);
  EXPECT_THROW(resize_image(image, 0, 3), Error);
  EXPECT_THROW(resize_image(image, 3, -1), Error);
  EXPECT_THROW(resize_image(Image(), 3, 3), Error);
  EXPECT_THROW(resize_crop(image, {0, 0, 6, 6}, 3, 3), Error);
  EXPECT_THROW(resize_crop(image, {-1, 0, 3, 3}, 3, 3), Error);
  EXPECT_THROW(resize_window(image, 10, 10, {5, 5, 6, 5}), Error);
  EXPECT_THROW(crop_image(image, 0, 4, 2, 3), Error);
  EXPECT_THROW(filter_by_name("cubic"), Error);
}

TEST(CropOrPad, FillsWhatLiesOutside) {
  SplitMix64 random(9);
  const Image image = random_image(4, 5, 3, random);
  const Image out = crop_or_pad(image, {-2, -1, 9, 4}, 77);
  for (int y = 0; y < 9; ++y) {
    for (int x = 0; x < 4; ++x) {
      const bool inside = y - 2 >= 0 && y - 2 < 4 && x - 1 >= 0;
      for (int c = 0; c < 3; ++c) EXPECT_EQ(out.row(y)[3 * x + c], inside ? image.row(y - 2)[3 * (x - 1) + c] : 77);
    }
  }
  EXPECT_EQ(crop_or_pad(image, {10, 10, 2, 2}, 9).pixels, std::vector<uint8_t>(12, 9));
}

}  // namespace image_resize
}  // namespace vlm::test
