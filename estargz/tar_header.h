/// Headers of tar archives, written as ustar with PAX records where that has no room.
#pragma once

#include <string_view>

#include "base/bytes.h"
#include "base/status.h"
#include "estargz/tar.h"

namespace starling::estargz {

/// What stands in the tar before the payload of `entry`: whole blocks. Names of users and groups,
/// and all times but that of the last change, are left out: they mean nothing on another machine.
/// Deterministic, and read back by TarReader and Go's archive/tar alike. `entry` must not be a
/// global header. kInvalidArgument for a name, a link's target or an attribute's name that no tar
/// can hold.
/// Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; star(5) for
/// SCHILY.xattr.
StatusOr<Bytes> MakeTarHeader(const TarEntry& entry);

/// The ustar header of a regular file that belongs to root, has mode 0444 and no time. `name` is of
/// up to 100 bytes of ASCII.
Bytes MakeTarHeader(std::string_view name, uint64_t size_bytes);

}  // namespace starling::estargz
