#pragma once
/// Colour and shape changes of training pictures, on 8-bit RGB, as Pillow and torchvision define them (specs: clip, 11.4).
/// All functions take and return pictures of three channels.

#include <array>
#include <string>
#include <vector>

#include "vlm/data/image.h"

namespace vlm {

/// blend(a, b) = a + factor (b - a), where a is black, the mean grey or the grey picture. factor 1: unchanged.
Image adjust_brightness(const Image& image, double factor);
Image adjust_contrast(const Image& image, double factor);
Image adjust_saturation(const Image& image, double factor);
/// Turns the hue by `turn` of a full circle, -0.5 to 0.5.
Image adjust_hue(const Image& image, double turn);
/// Blend with the picture smoothed by (1 1 1 / 1 5 1 / 1 1 1) / 13; the outermost pixels stay.
Image adjust_sharpness(const Image& image, double factor);

/// Three equal channels L = (19595 R + 38470 G + 7471 B + 32768) >> 16.
Image to_grayscale(const Image& image);
Image flip_horizontal(const Image& image);
/// Smoothed by three boxes that have a Gaussian's variance together, as Pillow does; pixels at the edges repeat beyond them. sigma: in
/// pixels; 0: unchanged.
Image gaussian_blur(const Image& image, double sigma);

/// Keeps the `bits` high bits, 0 to 8.
Image posterize(const Image& image, int bits);
/// Inverts levels of at least `threshold`.
Image solarize(const Image& image, double threshold);
/// Stretches each channel to the full range.
Image autocontrast(const Image& image);
/// Makes each channel's histogram flat.
Image equalize(const Image& image);

/// How pictures are moved: pixels that come from outside get `fill`.
struct WarpOptions {
  Filter interpolation = Filter::nearest;  ///< nearest or bilinear
  std::array<uint8_t, 3> fill = {0, 0, 0};
};

/// Output pixel (x, y) takes the input at (c0 X + c1 Y + c2, c3 X + c4 Y + c5) with X = x + 1/2, Y = y + 1/2. Nearest
/// works in 16.16 fixed point.
Image warp_affine(const Image& image, const std::array<double, 6>& c, const WarpOptions& options = {});
/// Moves the content right and down by whole pixels.
Image translate(const Image& image, int right, int down, const WarpOptions& options = {});
/// u = X + amount Y, about the top left corner; and v = Y + amount X.
Image shear_x(const Image& image, double amount, const WarpOptions& options = {});
Image shear_y(const Image& image, double amount, const WarpOptions& options = {});
/// Counter-clockwise about the centre.
Image rotate(const Image& image, double degrees, const WarpOptions& options = {});

/// One operation of RandAugment by torchvision's name. The magnitude is bits for Posterize, the threshold for Solarize,
/// pixels for TranslateX and TranslateY, degrees for Rotate, factor - 1 for Brightness, Color, Contrast and Sharpness.
Image augment_by_name(const Image& image, const std::string& name, double magnitude, const WarpOptions& options = {});
std::vector<std::string> augment_names();

}  // namespace vlm
