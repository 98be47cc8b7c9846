#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "image_files.h"
#include "vlm/core/error.h"
#include "vlm/data/transforms_train.h"

namespace vlm::test {
namespace transforms {

std::vector<float> numbers(const at::Tensor& t) { return {t.const_data_ptr<float>(), t.const_data_ptr<float>() + t.numel()}; }

TEST(Preprocess, NormalisesInFloat32AsTheReferencesDo) {
  const Normalizer normalizer(openai_mean, openai_std, 1.0 / 255, true);
  Image image(1, 256);
  for (size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<uint8_t>(i / 3);
  std::vector<float> out(3 * 256);
  normalizer.write(image, out.data());
  for (size_t c = 0; c < 3; ++c) {
    for (size_t v = 0; v < 256; ++v) EXPECT_EQ(out[c * 256 + v], (float(v) / 255.0f - float(openai_mean[c])) / float(openai_std[c]));
  }
}

TEST(Preprocess, GivesTheSizeItPromisesForEveryModeAndShape) {
  SplitMix64 random(1);
  for (const char* mode : {"shortest", "longest", "squash", "none"}) {
    for (const char* crop : {"torchvision", "hf", "none"}) {
      for (const std::vector<int64_t>& size : std::vector<std::vector<int64_t>>{{24}, {24, 33}, {40, 7}}) {
        PreprocessOptions options;
        options.resize_mode = mode, options.crop = crop, options.size = size;
        const Preprocess transform(options);
        for (const auto& [h, w] : std::vector<std::pair<int, int>>{{1, 1}, {1, 200}, {200, 1}, {24, 24}, {27, 24}, {60, 80}, {5, 9}}) {
          const Image image = random_image(h, w, 3, random);
          const ImageSize promised = transform.output_size({h, w});
          const at::Tensor out = transform(image);
          ASSERT_EQ(out.sizes(), (at::IntArrayRef{3, promised.height, promised.width})) << mode << crop << h << "x" << w;
          if (transform.fixed_size()) {
            EXPECT_EQ(promised.height, size.front());
            EXPECT_EQ(promised.width, size.back());
          }
          std::vector<float> row(size_t(out.numel()));
          transform.write(image, row.data());
          EXPECT_EQ(row, numbers(out));
        }
      }
    }
  }
}

TEST(Preprocess, ResizesOnlyWhatTheCropOfALongStripNeeds) {
  SplitMix64 random(2);
  const Image strip = random_image(1, 60'000, 3, random);  // 224 x 13,440,000 pixels when resized
  EXPECT_EQ(Preprocess(PreprocessOptions())(strip).numel(), 3 * 224 * 224);
  PreprocessOptions uncropped;
  uncropped.crop = "none";
  EXPECT_THROW(Preprocess{uncropped}(strip), Error);
}

TEST(Preprocess, PlacesTheCropOfAnOddRestAsEachReferenceDoes) {
  for (const int64_t n : {1, 2, 7, 24}) {
    for (int64_t length = 1; length < 60; ++length) {
      const int64_t torchvision = torchvision_crop_offset(length, n), hf = hf_crop_offset(length, n);
      if (length >= n) {
        EXPECT_EQ(hf, (length - n) / 2);
        EXPECT_EQ(torchvision - hf, (length - n) % 4 == 3 ? 1 : 0);
      } else {
        EXPECT_EQ(torchvision, -((n - length) / 2));
        EXPECT_EQ(hf, -((n - length + 1) / 2));
      }
    }
  }
}

TEST(Preprocess, ConvertsIndexedPicturesAfterANearestResize) {
  const std::string file = picture_file("image_decode_png_palette_trns", "x.png");
  PreprocessOptions options;
  options.size = {16};
  options.resize_mode = "squash";
  const Image before = Preprocess(options).resize(file, {});
  options.convert = "after";
  const Image after = Preprocess(options).resize(file, {});
  EXPECT_EQ(before.pixels, resize_image(decode_image(file), 16, 16).pixels);
  EXPECT_EQ(after.pixels, resize_image(decode_image(file), 16, 16, Filter::nearest).pixels);
  for (const std::string& every : all_picture_files()) EXPECT_EQ(Preprocess(options)(every, {}).numel(), 3 * 16 * 16);
}

TEST(Preprocess, ReadsWhatReleasedModelsSay) {
  const auto clip = read_hf_preprocessor(nlohmann::json::parse(R"({"size": 224, "crop_size": 224, "resample": 3, "do_center_crop": true, "feature_extractor_type": "CLIPFeatureExtractor"})"));
  EXPECT_EQ(clip.resize_mode, "shortest");
  EXPECT_EQ(clip.crop, "hf");
  const auto siglip = read_hf_preprocessor(nlohmann::json::parse(R"({"size": {"height": 384, "width": 256}, "resample": 2, "image_processor_type": "SiglipImageProcessor"})"));
  EXPECT_EQ(siglip.resize_mode, "squash");
  EXPECT_EQ(siglip.crop, "none");
  EXPECT_EQ(siglip.interpolation, "bilinear");
  EXPECT_EQ(siglip.size, (std::vector<int64_t>{384, 256}));
  EXPECT_EQ(siglip.mean, (std::vector<double>{0.5, 0.5, 0.5}));
  const auto blip = read_hf_preprocessor(nlohmann::json::parse(R"({"image_processor_type": "BlipImageProcessor"})"));
  EXPECT_EQ(blip.size, std::vector<int64_t>{384});
  EXPECT_EQ(blip.mean, openai_mean);
  const auto raw = read_hf_preprocessor(nlohmann::json::parse(R"({"do_resize": false, "do_rescale": false, "do_normalize": false, "do_center_crop": false})"));
  const Image image = decode_image(picture_file("image_decode_png_rgb", "x.png"));
  EXPECT_EQ(numbers(Preprocess(raw)(image))[0], image.pixels[0]);
  const auto open_clip = read_open_clip_preprocess(nlohmann::json::parse(
      R"({"model_cfg": {}, "preprocess_cfg": {"size": [224, 288], "interpolation": "bilinear", "resize_mode": "squash", "fill_color": 3, "other": 1}})"));
  EXPECT_EQ(open_clip.size, (std::vector<int64_t>{224, 288}));
  EXPECT_EQ(open_clip.resize_mode, "squash");
  EXPECT_EQ(open_clip.fill_color, 3);
  EXPECT_THROW(read_hf_preprocessor(nlohmann::json::parse(R"({"size": {"longest_edge": 5}})")), Error);
  EXPECT_THROW(read_hf_preprocessor(nlohmann::json::parse(R"({"resample": 4})")), Error);
  EXPECT_THROW(read_hf_preprocessor(nlohmann::json::parse(R"({"size": "big"})")), Error);
  EXPECT_THROW(read_open_clip_preprocess(nlohmann::json::parse(R"([1])")), Error);
}

TEST(Preprocess, RefusesOptionsThatDoNotExist) {
  const auto refused = [](auto change) {
    PreprocessOptions options;
    change(options);
    EXPECT_THROW(Preprocess{options}, Error);
  };
  refused([](auto& o) { o.resize_mode = "short"; });
  refused([](auto& o) { o.size = {}; });
  refused([](auto& o) { o.size = {0}; });
  refused([](auto& o) { o.mean = {1}; });
  refused([](auto& o) { o.std = {1, 0, 1}; });
  refused([](auto& o) { o.interpolation = "cubic"; });
  refused([](auto& o) { o.mode = "L"; });
  refused([](auto& o) { o.fill_color = 256; });
}

TEST(Preprocess, ReadsARecipe) {
  PreprocessOptions options;
  Config::parse("size: 96\nmean: [0, 0, 0]\nresize_mode: longest\nfill_color: 255\n", "recipe").read(options);
  EXPECT_EQ(options.size, std::vector<int64_t>{96});
  EXPECT_EQ(options.mean, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(options.resize_mode, "longest");
  TrainTransformOptions train;
  Config::parse("scale: [0.2, 1]\nhflip_prob: 0.5\npad_square: true\nshift: 8\n", "recipe").read(train);
  EXPECT_EQ(train.scale, (std::vector<double>{0.2, 1}));
  EXPECT_TRUE(train.pad_square);
}

TEST(TrainTransform, DrawsCropsInsideThePictureWithTheAreaAndShapeAskedFor) {
  SplitMix64 random(3);
  const ImageSize picture{300, 400};
  double smallest = 1, largest = 0;
  for (int i = 0; i < 2000; ++i) {
    const Box box = draw_crop(picture, {0.2, 0.5}, {0.75, 4.0 / 3}, random);
    ASSERT_GE(box.top, 0);
    ASSERT_GE(box.left, 0);
    ASSERT_LE(box.top + box.height, 300);
    ASSERT_LE(box.left + box.width, 400);
    const double share = double(box.height * box.width) / (300 * 400), shape = double(box.width) / double(box.height);
    ASSERT_GT(share, 0.19);
    ASSERT_LT(share, 0.51);
    ASSERT_GT(shape, 0.74);
    ASSERT_LT(shape, 1.35);
    smallest = std::min(smallest, share), largest = std::max(largest, share);
  }
  EXPECT_LT(smallest, 0.22);
  EXPECT_GT(largest, 0.48);
}

TEST(TrainTransform, FallsBackToTheCentreOfAPictureThatIsTooLong) {
  SplitMix64 random(4);
  const Box wide = draw_crop({30, 3000}, {0.9, 1}, {0.75, 4.0 / 3}, random);
  EXPECT_EQ(wide.height, 30);
  EXPECT_EQ(wide.width, 40);
  EXPECT_EQ(wide.left, (3000 - 40) / 2);
  const Box tall = draw_crop({3000, 30}, {0.9, 1}, {0.75, 4.0 / 3}, random);
  EXPECT_EQ(tall.width, 30);
  EXPECT_EQ(tall.height, 40);
  EXPECT_EQ(draw_crop({1, 1}, {0.9, 1}, {0.75, 4.0 / 3}, random).height, 1);
}

TEST(TrainTransform, RepeatsItselfForTheSameStream) {
  SplitMix64 random(5);
  const Image image = random_image(70, 90, 3, random);
  TrainTransformOptions options;
  options.size = {32};
  options.scale = {0.3, 1};
  options.hflip_prob = 0.5;
  options.color_jitter = {0.4, 0.4, 0.4, 0.1};
  options.color_jitter_prob = 0.8;
  options.gray_scale_prob = 0.2;
  options.blur_prob = 0.5;
  options.rand_augment = 2;
  options.shift = 3;
  const TrainTransform transform(options, {});
  SplitMix64 a(7), b(7), c(8);
  EXPECT_EQ(numbers(transform(image, a)), numbers(transform(image, b)));
  EXPECT_NE(numbers(transform(image, a)), numbers(transform(image, c)));
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SplitMix64 stream(seed);
    EXPECT_EQ(transform.augment(image, stream).pixels.size(), size_t(32 * 32 * 3));
  }
}

TEST(TrainTransform, IsTheCropAloneByDefault) {
  SplitMix64 random(6);
  const Image image = random_image(70, 90, 3, random);
  const TrainTransform transform({}, {});
  SplitMix64 a(9), b(9);
  const Box box = draw_crop({70, 90}, {0.9, 1}, {3.0 / 4, 4.0 / 3}, a);
  EXPECT_EQ(transform.augment(image, b).pixels, resize_crop(image, box, 224, 224).pixels);
}

TEST(TrainTransform, PadsToAWhiteSquareAndShifts) {
  Image black(10, 30);
  TrainTransformOptions options;
  options.size = {30};
  options.scale = options.ratio = {1, 1};
  options.pad_square = true;
  SplitMix64 random(1);
  const Image out = TrainTransform(options, {}).augment(black, random);
  for (int y = 0; y < 30; ++y) EXPECT_EQ(out.row(y)[45], y < 10 || y >= 20 ? 255 : 0);
  options.shift = 5;
  std::set<int> tops;
  for (int i = 0; i < 200; ++i) {
    const Image moved = TrainTransform(options, {}).augment(black, random);
    int top = 0;
    while (moved.row(top)[45] != 0) ++top;
    tops.insert(top);
  }
  EXPECT_EQ(tops.size(), 11u);
  EXPECT_EQ(*tops.begin(), 5);
}

TEST(TrainTransform, FlipsAndGreysAsOftenAsAskedFor) {
  Image image(8, 8);
  for (int y = 0; y < 8; ++y) image.row(y)[0] = 255;  // a red line on the left
  TrainTransformOptions options;
  options.size = {8};
  options.scale = options.ratio = {1, 1};
  options.hflip_prob = 0.25;
  options.gray_scale_prob = 0.5;
  const TrainTransform transform(options, {});
  SplitMix64 random(2);
  int flipped = 0, gray = 0;
  for (int i = 0; i < 1000; ++i) {
    const Image out = transform.augment(image, random);
    flipped += out.row(0)[21] > 0;
    gray += out.row(0)[1] > 0 || out.row(0)[22] > 0;
  }
  EXPECT_NEAR(flipped, 250, 60);
  EXPECT_NEAR(gray, 500, 70);
}

TEST(TrainTransform, ReadsAugCfgAndRefusesNonsense) {
  const auto options = read_open_clip_augmentation(nlohmann::json::parse(R"({"scale": [0.4, 1.0], "color_jitter": [0.32, 0.32, 0.32, 0.08], "color_jitter_prob": 0.8, "use_timm": false})"));
  EXPECT_EQ(options.scale, (std::vector<double>{0.4, 1.0}));
  EXPECT_EQ(options.color_jitter.size(), 4u);
  EXPECT_EQ(read_open_clip_augmentation(nlohmann::json::parse(R"({"color_jitter": 0.4})")).color_jitter, (std::vector<double>{0.4, 0.4, 0.4, 0}));
  TrainTransformOptions bad;
  bad.scale = {1, 0.5};
  EXPECT_THROW((TrainTransform{bad, {}}), Error);
  bad = {};
  bad.color_jitter = {1, 1};
  EXPECT_THROW((TrainTransform{bad, {}}), Error);
  bad = {};
  bad.hflip_prob = 1.5;
  EXPECT_THROW((TrainTransform{bad, {}}), Error);
}

}  // namespace transforms
TEST(Preprocess, SaysWhereAPictureComesToLie) {
  PreprocessOptions options;
  options.size = {32};
  options.resize_mode = "longest";
  const PicturePlacement padded = Preprocess(options).placement({48, 64});
  EXPECT_FLOAT_EQ(padded.width_ratio, 0.5f);
  EXPECT_FLOAT_EQ(padded.top, -4) << "a border above";
  EXPECT_FLOAT_EQ(padded.left, 0);
  options.resize_mode = "shortest";
  EXPECT_FLOAT_EQ(Preprocess(options).placement({64, 128}).left, 16) << "a crop";
  options = instructed_preprocess();
  options.size = {32};
  const PicturePlacement squashed = Preprocess(options).placement({64, 128});
  EXPECT_FLOAT_EQ(squashed.height_ratio, 0.5f);
  EXPECT_FLOAT_EQ(squashed.width_ratio, 0.25f);
  EXPECT_EQ(squashed.picture.width, 128);
}

}  // namespace vlm::test
