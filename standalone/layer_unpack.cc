#include "standalone/layer_unpack.h"

#include <unistd.h>

#include <cerrno>

#include "dockerfile/build/private_mounts.h"
#include "dockerfile/build/snapshot_mount.h"
#include "dockerfile/files/archive.h"
#include "dockerfile/files/root_walk.h"
#include "estargz/decompress.h"

namespace starling::standalone {

StatusOr<oci::Digest> UnpackLayer(ByteSource& layer, const UniqueFd& scratch,
                                  const std::vector<containerd::Mount>& mounts,
                                  const std::filesystem::path& work_directory) {
  FdSink file(scratch.get());
  oci::DigestingSink tar(file);
  estargz::DecompressedTar decompressed(layer);
  RETURN_IF_ERROR(CopyAll(decompressed, tar).status());
  if (::lseek(scratch.get(), 0, SEEK_SET) != 0) {
    return ErrnoError(errno, "layer");
  }
  const auto unpack = [&]() -> Status {
    ASSIGN_OR_RETURN(auto mount,
                     dockerfile::build::SnapshotMount::Make(mounts, work_directory / "layer"));
    ASSIGN_OR_RETURN(UniqueFd root, dockerfile::files::OpenRoot(mount.path()));
    RETURN_IF_ERROR(
        dockerfile::files::UnpackArchive(scratch.get(), root.get(), {.is_layer = true}, {})
            .status());
    root.Reset();
    return mount.Unmount();
  };
  RETURN_IF_ERROR(dockerfile::build::RunWithPrivateMounts(work_directory, unpack));
  return tar.Finish();
}

}  // namespace starling::standalone
