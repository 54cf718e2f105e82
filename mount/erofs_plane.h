#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "base/status.h"
#include "mount/erofs_mount.h"

namespace starling::mount {

/// How the kernel reads layers; measured in docs/decisions/0012-erofs-data-planes.md. Over FUSE
/// exactly what is needed: a file that is held must not wait for a neighbour that is fetched.
inline constexpr ErofsOptions kReadsOverFuse = {.read_ahead_kib = 512,
                                                .device_reads = ErofsOptions::DeviceReads::kExact};
inline constexpr ErofsOptions kReadsOfStored = {.read_ahead_kib = 512,
                                                .device_reads = ErofsOptions::DeviceReads::kCached};

/// Layers as mounts of their own: the kernel reads the index itself and asks for file contents
/// only.
///
/// A layer that is being fetched has its data device on a FUSE mount of ours; a complete one is on
/// the stored files alone and needs no process. The layer's path stays when the first becomes the
/// second. Threads: safe. Calls block for the disk and for our FUSE threads, never for the network.
class ErofsPlane {
 public:
  enum class Data { kOverFuse, kStored };

  /// Shows layers at `directory`/NUMBER. Takes away what a killed process left there; nobody else
  /// uses the directory.
  static StatusOr<std::unique_ptr<ErofsPlane>> Start(std::filesystem::path directory);
  /// The same, but keeps the layers that a process which has died shows there: its successor goes
  /// on with them.
  static StatusOr<std::unique_ptr<ErofsPlane>> Adopt(std::filesystem::path directory);
  /// Hides everything.
  ~ErofsPlane();
  /// Leaves everything as it is, for a successor to adopt. Comes last.
  void Leave();

  /// The layer's root directory, if the layer is shown here.
  std::optional<std::filesystem::path> Find(uint64_t number) const;
  /// Whether it is shown from the stored files: then they must stay.
  bool UsesStored(uint64_t number) const;
  std::vector<uint64_t> Numbers() const;

  /// The layer's root directory.
  StatusOr<std::filesystem::path> Show(uint64_t number, const ErofsImage& image, Data data);
  /// Goes over to the stored files. Fine if the layer has done so, or is not shown here.
  Status UseStored(uint64_t number, const ErofsImage& image);
  /// Goes over to another index, over FUSE. Fine if the layer is not shown here.
  Status Replace(uint64_t number, const ErofsImage& image);
  /// Fine if the layer is not shown here. Who uses the mount keeps it.
  void Hide(uint64_t number);

 private:
  explicit ErofsPlane(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path PathOf(uint64_t number) const;
  Status GoOver(std::pair<const uint64_t, Data>& shown, const ErofsImage& image, Data data)
      EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::filesystem::path directory_;
  mutable Mutex mutex_;  // held over mount calls: only others of them wait for it
  std::map<uint64_t, Data> shown_ GUARDED_BY(mutex_);
};

}  // namespace starling::mount
