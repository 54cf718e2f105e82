/// Archives that ADD unpacks: tars, whichever way they are compressed. And zips, one file of them.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string_view>

#include "base/status.h"
#include "dockerfile/files/users.h"
#include "dockerfile/syntax/values.h"

namespace starling::dockerfile::files {

struct UnpackOptions {
  /// The archive is a layer's: whiteouts in it remove what is there and is not of the archive, and
  /// the root's owner and mode are the archive's to set. Source: OCI image specification, layer.md.
  bool is_layer = false;
  std::optional<Owner> owner;  // absent: those of the archive
  std::optional<syntax::ModeChange> chmod;
  uint64_t max_bytes = uint64_t{1} << 40;
  uint64_t max_files = 20'000'000;
};

struct UnpackReport {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

/// Whether the file begins as a tar (ustar, pax, GNU) that is plain or compressed by gzip, bzip2,
/// xz or zstd, with an entry in it. Moves the file's position back to its start.
StatusOr<bool> IsArchive(int file);

/// Unpacks an archive, untrusted, into a directory: links in it and in the directory lead nowhere
/// else, as if that were the root. An entry replaces what has its name, a file a whole directory
/// and a directory a link to one, as BuildKit's ADD does; only directories are merged. Errors:
/// kDataLoss for a broken archive, kInvalidArgument for a name that leads out, kResourceExhausted
/// past the limits; each names the entry.
StatusOr<UnpackReport> UnpackArchive(int file, int directory, const UnpackOptions& options,
                                     const std::stop_token& stop);

/// Writes the content of the file `name` in a zip, untrusted, to the descriptor `to`. Errors:
/// kNotFound, kDataLoss for a broken archive, kResourceExhausted for more than `max_bytes`.
Status ExtractFromZip(int file, std::string_view name, int to, uint64_t max_bytes,
                      const std::stop_token& stop);

}  // namespace starling::dockerfile::files
