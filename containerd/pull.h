#pragma once

#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/progress.h"
#include "containerd/client.h"
#include "oci/digest.h"
#include "oci/image_store.h"
#include "oci/reference.h"

namespace starling::containerd {

struct PullOptions {
  oci::Reference reference;  // what to ask a registry for, and the image's name in containerd
  oci::Platform platform;
  std::string snapshotter = "stargz";
  /// Ends the pull with kCancelled between two steps, or when the source gives up; the lease goes,
  /// and with it all that was begun.
  std::stop_token stop;
};

/// Bringing an image's layers, without its name and documents.
struct LayersOptions {
  /// Where the snapshotter finds them; absent when no registry has them, and all are unpacked.
  std::optional<oci::Reference> reference;
  std::string snapshotter = "stargz";
  /// Of the snapshots, too.
  Labels labels;
  std::stop_token stop;
};

/// Labels of snapshots that steps of builds read: the snapshotter fetches nothing of a lazy layer
/// but that, until a container is started on it.
Labels LabelsForBuild();

/// Layers that another pull of the same image brings at the same time count as the topmost of them.
struct PullReport {
  oci::Digest target;  // what the image's name stands for now
  size_t lazy_layers = 0;
  size_t whole_layers = 0;       // plain ones that the snapshotter fetched itself
  size_t present_layers = 0;     // unpacked or lazy before
  size_t downloaded_layers = 0;  // the snapshotter did not take them
};

/// Brings an image into containerd through the remote snapshotter protocol: manifest and
/// configuration go to the content store, each layer is offered to the snapshotter first, and only
/// what it does not take is downloaded and unpacked. Works with every containerd since 1.6,
/// whose own pull does so only in some versions and configurations. Source: containerd core/unpack
/// and core/snapshots, "remote snapshotter".
StatusOr<PullReport> PullImage(Client& client, oci::ImageSource& source, const PullOptions& options,
                               Progress& progress);

/// The same for the snapshots of an image's layers alone: no image gets a name. What is new is held
/// by the client's lease. `diff_ids` are those of the image's layers: kDataLoss for another number.
StatusOr<PullReport> PullLayers(Client& client, oci::ImageSource& source,
                                const oci::SelectedImage& image,
                                const std::vector<oci::Digest>& diff_ids,
                                const LayersOptions& options, Progress& progress);

}  // namespace starling::containerd
