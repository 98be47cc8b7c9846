#pragma once
/// Frames of a video file, decoded by the programs ffprobe and ffmpeg (5.1 or later) where they are installed. Their arguments never
/// pass a shell, and they open no file but this one, nor the network.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace vlm {

/// The frames of the first video stream, counted by decoding them. Throws an Error with what ffprobe says of a file that is none, and a
/// usage error that says how to mend it where there is no ffprobe.
int64_t count_video_frames(const std::filesystem::path& file);

/// Frames number `indices` (ascending, each once, from 0) as PNG files, upright, at full size. Throws as count_video_frames() does, and
/// if a frame does not come.
std::vector<std::string> read_video_frames(const std::filesystem::path& file, const std::vector<int64_t>& indices);

}  // namespace vlm
