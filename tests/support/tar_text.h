/// Small tars made by hand, also ones that no tool would write.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace starling::testing_support {

struct TarMember {
  std::string name;
  std::string content;
  char type = '0';     // '1' hard link, '2' symbolic link, '5' directory
  std::string target;  // of a link
};

/// Header and padded content of one ustar member. `size_bytes` defaults to the content's.
inline std::string TarText(const TarMember& member, int64_t size_bytes = -1) {
  std::string header(512, '\0');
  const auto put = [&header](size_t at, std::string_view text) {
    std::memcpy(header.data() + at, text.data(), text.size());
  };
  const uint64_t stated =
      size_bytes < 0 ? member.content.size() : static_cast<uint64_t>(size_bytes);
  put(0, std::string_view(member.name).substr(0, 100));
  put(100, "0000644");
  put(108, "0000000");
  put(116, "0000000");
  put(124, fmt::format("{:011o}", stated));
  put(136, "00000000000");
  put(148, "        ");
  header[156] = member.type;
  put(157, std::string_view(member.target).substr(0, 100));
  put(257, std::string_view("ustar\0"
                            "00",
                            8));
  unsigned checksum = 0;
  for (const char c : header) {
    checksum += static_cast<unsigned char>(c);
  }
  put(148, fmt::format("{:06o}", checksum));
  header[154] = '\0';
  std::string text = header + member.content;
  text.resize((text.size() + 511) / 512 * 512, '\0');
  return text;
}

inline const std::string& TarEnd() {
  static const std::string end(1024, '\0');
  return end;
}

}  // namespace starling::testing_support
