#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/io.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace starling::diff {

struct UpperTarOptions {
  /// No time in the tar is later, in seconds since 1970. Source: reproducible-builds.org,
  /// SOURCE_DATE_EPOCH.
  std::optional<int64_t> latest_modified_seconds;
  /// Paths, without a leading slash, that are no part of the layer, nor is what lies below.
  std::set<std::string> left_out;
  /// Whether the layers below have something at a path. A directory that hides nothing needs no
  /// mark for it; without this, each that overlayfs has made gets one.
  std::function<bool(const std::string& path)> is_below;
};

/// The upper directory of an overlay mount as the tar of a layer: what was changed on top of the
/// layers below, with OCI whiteouts. Names are sorted, directories stand before what they hold, and
/// times are whole seconds, so that the same files give the same bytes on every machine. Left out
/// are sockets and what belongs to this machine: overlayfs' own attributes and those of its
/// security modules (security.capability is kept). Memory grows with the names in the directories
/// on the way to the current one, and with the number of files that have several names.
/// Nothing may change the directory meanwhile: a file that does is kAborted.
/// Errors name the path. kFailedPrecondition for what a layer cannot say: names that are whiteouts
/// there, and directories and files that only make sense together with the layers below (overlayfs
/// options redirect_dir and metacopy). kResourceExhausted for directories deeper than kMaxDepth.
/// Threads: one at a time. Blocks for the disk.
/// Source: OCI image specification, "Representing Changes"; Linux, Documentation/filesystems/
/// overlayfs.rst.
class UpperTar : public ByteSource {
 public:
  /// Each level keeps a descriptor open.
  static constexpr size_t kMaxDepth = 500;

  static StatusOr<std::unique_ptr<UpperTar>> Open(const std::filesystem::path& upper,
                                                  UpperTarOptions options);
  StatusOr<size_t> Read(std::span<std::byte> out) override;

 private:
  struct Directory {
    UniqueFd fd;
    std::string path;  // ends in a slash; empty for the root
    std::vector<std::string> names;
    size_t next = 0;
    bool is_opaque = false;  // and its mark is still to be written
  };
  using Inode = std::pair<dev_t, ino_t>;

  explicit UpperTar(UpperTarOptions options) : options_(std::move(options)) {}
  Status Enter(UniqueFd fd, std::string path);
  Status Advance();
  Status Add(const Directory& in, const std::string& name);
  Status AddWhiteout(const Directory& in, std::string_view name);
  StatusOr<size_t> ReadContent(std::span<std::byte> out);

  const UpperTarOptions options_;
  std::vector<Directory> path_;
  std::map<Inode, std::string> linked_;  // the first name of files that have several
  Bytes pending_;                        // of the tar, comes next
  size_t pending_taken_ = 0;
  UniqueFd content_;  // comes then
  std::string content_path_;
  uint64_t content_left_ = 0;
  uint64_t padding_left_ = 0;
  bool ended_ = false;
};

}  // namespace starling::diff
