#include "mount/erofs_probe.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "base/bytes.h"
#include "base/io.h"
#include "base/temp_dir.h"
#include "erofs/image_writer.h"
#include "fuse/operations.h"
#include "mount/erofs_mount.h"
#include "mount/erofs_plane.h"

namespace starling::mount {
namespace {

constexpr const char* kFileName = "file";

/// An image of one file, with all of a data device as its content.
StatusOr<Bytes> MakeImage(uint64_t data_bytes) {
  const erofs::ChildSpec child{.name = kFileName, .inode = 1};
  const erofs::InodeSpec inodes[] = {
      {.mode = S_IFDIR | 0755, .nlink = 2, .children = std::span(&child, 1)},
      {.mode = S_IFREG | 0644, .size_bytes = data_bytes, .data_address = 0}};
  return erofs::WriteImage(inodes, data_bytes);
}

/// One try in a directory of its own, which it leaves with nothing mounted.
class Probe {
 public:
  Probe(const std::filesystem::path& directory, FileSystem& files)
      : directory_(directory), files_(files) {}
  ~Probe() { (void)DetachMountsBelow(directory_); }

  Status Prepare() {
    for (const char* name : {"mount", "empty", "overlay", "nested"}) {
      RETURN_IF_ERROR(MakeDirectories(Path(name), 0700));
    }
    ASSIGN_OR_RETURN(const Bytes image, MakeImage(fuse::ProbeContent().size()));
    RETURN_IF_ERROR(WriteFileAtomically(files_, Path("index"), image, 0600));
    return WriteFileAtomically(files_, Path("data"), OtherContent(), 0600);
  }

  Status TryOverFuse(const std::filesystem::path& fuse_file) {
    ASSIGN_OR_RETURN(const UniqueFd mount,
                     MakeErofsMount({.index = Path("index"), .data = {fuse_file}}, kReadsOverFuse));
    RETURN_IF_ERROR(AttachMount(mount.get(), Path("mount")));
    RETURN_IF_ERROR(Overlay("mount", "overlay"));
    RETURN_IF_ERROR(Overlay("overlay", "nested"));
    return ExpectContent(Path("nested"), fuse::ProbeContent());
  }

  Status TryReplacing() {
    ASSIGN_OR_RETURN(
        const UniqueFd mount,
        MakeErofsMount({.index = Path("index"), .data = {Path("data")}}, kReadsOfStored));
    RETURN_IF_ERROR(ReplaceMount(mount.get(), Path("mount")));
    return ExpectContent(Path("mount"), OtherContent());
  }

 private:
  std::filesystem::path Path(const std::string& name) const { return directory_ / name; }

  /// Differs from what the FUSE file shows.
  static Bytes OtherContent() { return Bytes(fuse::ProbeContent().size(), std::byte{0x5a}); }

  Status Overlay(const std::string& lower, const std::string& target) const {
    const std::string options =
        fmt::format("lowerdir={}:{}", Path(lower).native(), Path("empty").native());
    if (::mount("starling", Path(target).c_str(), "overlay", MS_RDONLY, options.c_str()) != 0) {
      return ErrnoError(errno, fmt::format("an overlay over {}", lower));
    }
    return OkStatus();
  }

  Status ExpectContent(const std::filesystem::path& tree, ByteSpan wanted) const {
    ASSIGN_OR_RETURN(const Bytes got, ReadFile(files_, tree / kFileName, wanted.size()));
    if (AsText(got) != AsText(wanted)) {
      return MakeError(StatusCode::kInternal, "the mounted file has other bytes than its device");
    }
    return OkStatus();
  }

  const std::filesystem::path directory_;
  FileSystem& files_;
};

}  // namespace

ErofsSupport ProbeErofs(const std::filesystem::path& directory,
                        const std::filesystem::path& fuse_file, FileSystem& files) {
  const StatusOr<TempDir> scratch = TempDir::Make(directory, "probe-");
  if (!scratch.ok()) {
    return {.over_fuse = scratch.status(), .replacing = scratch.status()};
  }
  Probe probe(scratch->path(), files);
  Status over_fuse = probe.Prepare();
  if (over_fuse.ok()) {
    over_fuse = probe.TryOverFuse(fuse_file);
  }
  return {.over_fuse = over_fuse, .replacing = over_fuse.ok() ? probe.TryReplacing() : over_fuse};
}

}  // namespace starling::mount
