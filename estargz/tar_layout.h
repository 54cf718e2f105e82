/// Where what stands in a tar's header block.
/// Source: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual, "Basic Tar Format".
#pragma once

#include <cstddef>

namespace starling::estargz::tar_layout {

struct Field {
  size_t at;
  size_t size;
};
inline constexpr Field kName{0, 100};
inline constexpr Field kMode{100, 8};
inline constexpr Field kUid{108, 8};
inline constexpr Field kGid{116, 8};
inline constexpr Field kSize{124, 12};
inline constexpr Field kModified{136, 12};
inline constexpr Field kChecksum{148, 8};
inline constexpr size_t kTypeAt = 156;
inline constexpr Field kLinkName{157, 100};
inline constexpr Field kMagic{257, 6};
inline constexpr Field kMagicWithVersion{257, 8};
inline constexpr Field kUserName{265, 32};
inline constexpr Field kGroupName{297, 32};
inline constexpr Field kDeviceMajor{329, 8};
inline constexpr Field kDeviceMinor{337, 8};
inline constexpr Field kPrefix{345, 155};
inline constexpr Field kGnuAccessed{345, 12};
inline constexpr Field kGnuChanged{357, 12};
inline constexpr Field kStarPrefix{345, 131};
inline constexpr Field kStarTrailer{508, 4};

}  // namespace starling::estargz::tar_layout
