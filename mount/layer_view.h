#pragma once

#include <filesystem>
#include <memory>
#include <utility>

#include "base/status.h"
#include "fuse/layer_table.h"
#include "fuse/operations.h"
#include "fuse/session.h"

namespace starling::mount {

/// One FUSE mount with the layers in it. Threads: Start and Adopt belong to one; the rest is safe.
class LayerView {
 public:
  struct Settings {
    std::filesystem::path fuse_device;
    size_t threads = 2;
  };

  LayerView(std::filesystem::path mount_point, fuse::Operations::Xattrs xattrs)
      : path_(std::move(mount_point)), operations_(layers_, xattrs) {}

  /// Mounts. Errors: those of fuse::Session::Mount.
  Status Start(const Settings& settings);
  /// Answers for a mount that another process has left.
  Status Adopt(const Settings& settings, fuse::Session::Device device);
  /// Leaves the mount to whoever adopts it.
  Status Release();
  /// Unmounts.
  void Stop() { session_.reset(); }

  const std::filesystem::path& path() const { return path_; }
  fuse::LayerTable& layers() { return layers_; }
  /// Null before Start or Adopt.
  fuse::Session* session() const { return session_.get(); }

 private:
  fuse::Session::Options OptionsOf(const Settings& settings) const {
    return {.mount_point = path_, .device = settings.fuse_device, .threads = settings.threads};
  }

  const std::filesystem::path path_;
  fuse::LayerTable layers_;
  const fuse::Operations operations_;
  std::unique_ptr<fuse::Session> session_;
};

}  // namespace starling::mount
