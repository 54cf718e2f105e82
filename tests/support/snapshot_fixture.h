/// A snapshotter on a directory of its own, which can be restarted.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/temp_dir.h"
#include "snapshotter/labels.h"
#include "snapshotter/metadata_store.h"
#include "snapshotter/snapshotter.h"
#include "tests/support/fake_layer_mounter.h"

namespace starling::testing_support {

inline const std::string kLayerDigest = "sha256:" + std::string(64, 'a');
inline const std::string kTocDigest = "sha256:" + std::string(64, 'b');

/// What an extraction Prepare of containerd carries for one lazy layer.
inline snapshotter::Labels LazyLabels(const std::string& ref) {
  return {{"containerd.io/snapshot.ref", ref},
          {"containerd.io/snapshot/cri.image-ref", "docker.io/library/x:1"},
          {"containerd.io/snapshot/cri.layer-digest", kLayerDigest},
          {"containerd.io/snapshot/cri.image-layers", kLayerDigest},
          {"containerd.io/snapshot/stargz/toc.digest", kTocDigest}};
}

class SnapshotterLife {
 public:
  explicit SnapshotterLife(std::filesystem::path root, Clock& clock = SystemClock())
      : root_(std::move(root)), clock_(clock), layers_(root_) {
    std::filesystem::create_directories(root_);
    Start();
  }

  /// Ends this life without any farewell and begins another on the same directory.
  void Restart() {
    snapshotter_.reset();
    metadata_.reset();
    Start();
  }
  /// From the next start on IDs cannot be mapped.
  void RefuseIdMapping(Status why) { id_mapping_ = std::move(why); }
  void Start() {
    auto metadata = snapshotter::MetadataStore::Open(root_ / "metadata.db", clock_);
    ASSERT_TRUE(metadata.ok()) << metadata.status();
    metadata_ = *std::move(metadata);
    auto opened =
        snapshotter::Snapshotter::Open({.root = root_,
                                        .overlay = {.has_index = true, .needs_userxattr = false},
                                        .id_mapping = id_mapping_},
                                       {.metadata = *metadata_, .layers = layers_});
    ASSERT_TRUE(opened.ok()) << opened.status();
    snapshotter_ = *std::move(opened);
  }

  snapshotter::Snapshotter& operator*() { return *snapshotter_; }
  snapshotter::Snapshotter* operator->() { return snapshotter_.get(); }
  snapshotter::MetadataStore& metadata() { return *metadata_; }
  FakeLayerMounter& layers() { return layers_; }
  const std::filesystem::path& root() const { return root_; }

 private:
  const std::filesystem::path root_;
  Clock& clock_;
  FakeLayerMounter layers_;
  Status id_mapping_ = OkStatus();
  std::unique_ptr<snapshotter::MetadataStore> metadata_;
  std::unique_ptr<snapshotter::Snapshotter> snapshotter_;
};

}  // namespace starling::testing_support
