/// Files as they are moved from tree to tree.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <map>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "base/unique_fd.h"
#include "dockerfile/files/selection.h"

namespace starling::dockerfile::files {

/// Opens what the entry is; nothing waits, no link is followed.
StatusOr<UniqueFd> OpenEntry(const Entry& entry, int flags);

/// What a link says. kResourceExhausted past PATH_MAX.
StatusOr<std::string> ReadLinkOf(const Entry& entry);

/// The attributes that a copy keeps, by name: not those of overlayfs and of security modules, which
/// belong to this machine. Empty where the file system has none.
using Xattrs = std::map<std::string, Bytes>;
StatusOr<Xattrs> ReadXattrs(const Entry& entry);

/// Copies the content of `from` to the empty file `to`; blocks are shared where they can be and
/// holes stay holes. Returns the bytes.
StatusOr<uint64_t> CopyContent(int from, int to, uint64_t size_bytes);

}  // namespace starling::dockerfile::files
