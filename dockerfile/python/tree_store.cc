#include "dockerfile/python/tree_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "base/file_system.h"
#include "base/io.h"
#include "base/unique_fd.h"
#include "dockerfile/context/download.h"
#include "dockerfile/files/archive.h"
#include "dockerfile/python/repair.h"
#include "dockerfile/syntax/git_reference.h"

namespace starling::dockerfile::python {
namespace {

/// Full archives have about 150 MB, and objects to link with in them.
constexpr uint64_t kMaxArchiveBytes = uint64_t{2} << 30;
constexpr uint64_t kMaxTreeBytes = uint64_t{8} << 30;
constexpr uint64_t kMaxTreeFiles = 1'000'000;
constexpr size_t kPieceBytes = 1 << 20;

/// `+` is a blank to some servers.
std::string EscapedForUrl(std::string_view file) {
  std::string escaped;
  for (const char c : file) {
    escaped += c == '+' ? "%2B" : std::string(1, c);
  }
  return escaped;
}

Status CopyChecked(int from, const std::filesystem::path& to, const oci::Digest& wanted,
                   const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const UniqueFd file,
                   RealFileSystem().Open(to, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  FdSource source(from);
  FdSink sink(file.get());
  oci::DigestingSink digesting(sink);
  Bytes piece(kPieceBytes);
  for (;;) {
    if (stop.stop_requested()) {
      return MakeError(StatusCode::kCancelled, "stopped");
    }
    ASSIGN_OR_RETURN(const size_t size, source.Read(piece));
    if (size == 0) {
      break;
    }
    if (digesting.size_bytes() + size > kMaxArchiveBytes) {
      return MakeError(StatusCode::kResourceExhausted,
                       fmt::format("more than {} bytes", kMaxArchiveBytes));
    }
    RETURN_IF_ERROR(digesting.Write(ByteSpan(piece).first(size)));
  }
  if (const oci::Digest digest = digesting.Finish(); digest != wanted) {
    return MakeError(StatusCode::kDataLoss,
                     fmt::format("its digest is {}, not {}", digest.ToString(), wanted.ToString()));
  }
  return OkStatus();
}

/// Unpacks the verified archive and returns the directory with bin/ and lib/.
StatusOr<std::filesystem::path> Unpack(const std::filesystem::path& archive,
                                       const std::filesystem::path& directory,
                                       const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const UniqueFd file, RealFileSystem().Open(archive, O_RDONLY, 0));
  RETURN_IF_ERROR(MakeDirectories(directory, 0755));
  ASSIGN_OR_RETURN(const UniqueFd into,
                   RealFileSystem().Open(directory, O_RDONLY | O_DIRECTORY, 0));
  RETURN_IF_ERROR(files::UnpackArchive(file.get(), into.get(),
                                       {.owner = files::Owner(),
                                        .chmod = {},
                                        .max_bytes = kMaxTreeBytes,
                                        .max_files = kMaxTreeFiles},
                                       stop)
                      .status());
  // The full archives have more beside it.
  for (const char* tree : {"python/install", "python"}) {
    std::error_code error;
    if (std::filesystem::is_directory(directory / tree / "bin", error)) {
      return directory / tree;
    }
  }
  return MakeError(StatusCode::kFailedPrecondition, "there is no python/bin in it");
}

}  // namespace

bool ReleaseSource::is_directory() const { return !syntax::IsHttpUrl(place_); }

std::string ReleaseSource::PlaceOf(const ReleasedFile& released) const {
  if (is_directory()) {
    const std::filesystem::path directory = place_;
    std::error_code error;
    const std::filesystem::path below = directory / released.directory / released.file;
    return std::filesystem::exists(below, error) ? below : directory / released.file;
  }
  return fmt::format(
      "{}/{}{}{}", std::string_view(place_).substr(0, place_.find_last_not_of('/') + 1),
      released.directory, released.directory.empty() ? "" : "/", EscapedForUrl(released.file));
}

bool ReleaseSource::Has(const ReleasedFile& released) const {
  std::error_code error;
  return !is_directory() || std::filesystem::exists(PlaceOf(released), error);
}

Status ReleaseSource::Fetch(const ReleasedFile& released, const std::filesystem::path& to,
                            const std::stop_token& stop) const {
  const std::string place = PlaceOf(released);
  if (!is_directory()) {
    return context::Download(place, to,
                             {.checksum = released.digest, .max_bytes = kMaxArchiveBytes}, stop)
        .status();
  }
  ASSIGN_OR_RETURN(const UniqueFd file, RealFileSystem().Open(place, O_RDONLY, 0));
  const Status copied = CopyChecked(file.get(), to, released.digest, stop);
  if (!copied.ok()) {
    ::unlink(to.c_str());
  }
  return Annotate(copied, place);
}

StatusOr<std::filesystem::path> KeepReleased(const std::filesystem::path& kept,
                                             const ReleasedFile& released,
                                             const ReleaseSource& source,
                                             const std::filesystem::path& scratch,
                                             const OnFetch& on_fetch, const MakeReady& make,
                                             const std::stop_token& stop) {
  std::error_code error;
  if (std::filesystem::is_directory(kept, error)) {
    return kept;
  }
  on_fetch(source.PlaceOf(released));
  const std::filesystem::path file = scratch / released.file;
  RETURN_IF_ERROR(source.Fetch(released, file, stop));
  const std::filesystem::path ready = scratch / (released.file + ".ready");
  const auto made = [&]() -> Status {
    RETURN_IF_ERROR(MakeDirectories(ready, 0755));
    RETURN_IF_ERROR(make(file, ready));
    ASSIGN_OR_RETURN(const UniqueFd opened,
                     RealFileSystem().Open(ready, O_RDONLY | O_DIRECTORY, 0));
    if (::syncfs(opened.get()) != 0) {
      return ErrnoError(errno, ready.native());
    }
    RETURN_IF_ERROR(MakeDirectories(kept.parent_path(), 0700));
    const Status renamed = RealFileSystem().Rename(ready, kept);
    // Another build was faster.
    return std::filesystem::is_directory(kept, error) ? OkStatus() : renamed;
  }();
  std::filesystem::remove(file, error);
  std::filesystem::remove_all(ready, error);
  if (!made.ok()) {
    return Annotate(made, released.file);
  }
  return kept;
}

StatusOr<std::filesystem::path> TreeStore::Provide(const Release& release,
                                                   const ReleaseSource& source,
                                                   const std::filesystem::path& scratch,
                                                   const OnFetch& on_fetch,
                                                   const std::stop_token& stop) const {
  const auto make = [&](const std::filesystem::path& archive,
                        const std::filesystem::path& ready) -> Status {
    const std::filesystem::path unpacked = scratch / (release.file + ".tree");
    const auto moved = [&]() -> Status {
      ASSIGN_OR_RETURN(const std::filesystem::path tree, Unpack(archive, unpacked, stop));
      RETURN_IF_ERROR(RepairTree(tree, release.minor, kPrefix));
      return RealFileSystem().Rename(tree, ready / "python");
    }();
    std::error_code error;
    std::filesystem::remove_all(unpacked, error);
    return moved;
  };
  return KeepReleased(directory_ / fmt::format("{}-{}", release.digest.Hex(), kRepairVersion),
                      release.Released(), source, scratch, on_fetch, make, stop);
}

StatusOr<TreeStore::Removed> TreeStore::Clear() const {
  Removed removed;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, error)) {
    std::filesystem::remove_all(entry.path(), error);
    if (error) {
      return ErrnoError(error.value(), entry.path().native());
    }
    ++removed.trees;
  }
  return removed;
}

}  // namespace starling::dockerfile::python
