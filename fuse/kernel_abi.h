/// The few parts of the kernel's protocol that libfuse does not export.
/// Source: Linux include/uapi/linux/fuse.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace starling::fuse::kernel_abi {

inline constexpr uint32_t kOpInit = 26;
inline constexpr int32_t kNotifyResend = 7;  // since Linux 6.9
/// Set in `unique` of a request that the kernel sends again.
inline constexpr uint64_t kResentBit = 1ULL << 63;

struct InHeader {
  uint32_t size_bytes = 0;
  uint32_t opcode = 0;
  uint64_t unique = 0;
  uint64_t node_id = 0;
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint32_t pid = 0;
  uint32_t extension_and_padding = 0;
};
static_assert(sizeof(InHeader) == 40);

struct OutHeader {
  uint32_t size_bytes = 0;
  int32_t error = 0;  // or the code of a notification, when `unique` is 0
  uint64_t unique = 0;
};
static_assert(sizeof(OutHeader) == 16);

/// The ends of both INIT structures, which grew with the years, are left out.
struct InitIn {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t max_readahead = 0;
  uint32_t flags = 0;
  uint32_t more_flags = 0;  // the bits from 32 on; there with kInitExtended
};
static_assert(sizeof(InitIn) == 20);

struct InitOut {
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t max_readahead = 0;
  uint32_t flags = 0;
  uint16_t max_background = 0;
  uint16_t congestion_threshold = 0;
  uint32_t max_write = 0;
  uint32_t time_granularity = 0;
  uint16_t max_pages = 0;
  uint16_t map_alignment = 0;
  uint32_t more_flags = 0;
};
static_assert(sizeof(InitOut) == 36);

inline constexpr uint32_t kInitExtended = 1U << 30;
/// Of `more_flags`: bit 40, since Linux 6.12.
inline constexpr uint32_t kAllowIdMapping = 1U << 8;

}  // namespace starling::fuse::kernel_abi
