#pragma once
/// CRC-32C (Castagnoli, reflected polynomial 0x82f63b78), the checksum of TFRecord files.

#include <cstdint>
#include <string_view>

namespace vlm {

/// crc32c("123456789") is 0xe3069283.
uint32_t crc32c(std::string_view bytes);

}  // namespace vlm
