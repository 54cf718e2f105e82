/// What the flags of RUN say: mounts and devices.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dockerfile/syntax/checked.h"

namespace starling::dockerfile::syntax {

enum class MountType { kBind, kCache, kTmpfs, kSecret, kSsh };
enum class CacheSharing { kShared, kPrivate, kLocked };

/// One --mount. Which members a type may have is checked; the others keep their defaults.
struct Mount {
  /// As written, with variables.
  Text written;
  MountType type = MountType::kBind;
  std::string id;      // cache, secret, ssh
  std::string from;    // bind, cache: a stage or an image; empty is the build context
  std::string source;  // bind, cache: path in `from`
  std::string target;
  std::string variable;  // secret: the environment variable that holds it
  bool read_only = false;
  bool required = false;  // secret, ssh
  CacheSharing sharing = CacheSharing::kShared;
  std::optional<uint32_t> mode;  // cache, secret, ssh
  std::optional<uint32_t> uid;
  std::optional<uint32_t> gid;
  std::optional<uint64_t> size_bytes;  // tmpfs
};

/// Replaces variables in a value.
using Expander = std::function<StatusOr<std::string>(std::string_view text)>;

/// Reads a --mount: KEY=VALUE, comma-separated, quoted as in CSV. `expand` is applied to each
/// value. Without it values with a `$` are left as they are, unchecked, until their variables are
/// known; all else is checked already.
Checked<Mount> ParseMount(const Text& written, const Expander& expand = nullptr);

/// One --device: a CDI device, such as vendor.com/class=name.
struct Device {
  std::string name;
  bool required = false;
};
Checked<Device> ParseDevice(const Text& written);

}  // namespace starling::dockerfile::syntax
