#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace starling {

/// Lower-case hexadecimal.
std::string HexEncode(ByteSpan bytes);
/// Nothing unless `text` is an even number of lower-case hexadecimal digits.
std::optional<Bytes> HexDecode(std::string_view text);
/// RFC 4648 base64 with padding.
std::string Base64Encode(ByteSpan bytes);
/// Nothing for anything but canonical base64; missing padding is accepted.
std::optional<Bytes> Base64Decode(std::string_view text);

}  // namespace starling
