#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "layer/blob_sources.h"
#include "layer/fetch_decision.h"
#include "layer/image_start.h"
#include "layer/layer_tally.h"
#include "layer/slow_reads.h"
#include "store/layer_store.h"

namespace starling::layer {

/// A read that waits, with the name of what is read.
struct NamedWait {
  LayerUse::WaitingRead read;
  std::string file;  // as NamedRead's
  uint64_t more_files = 0;

  friend bool operator==(const NamedWait&, const NamedWait&) = default;
};

/// One layer that is shown.
struct LayerStatus {
  store::LayerKey key;
  uint64_t number = 0;  // lower ones are below in an image
  std::vector<std::string> images;
  bool is_whole = false;     // it cannot be had in pieces
  bool is_complete = false;  // all of it is held
  /// The kernel reads it without us, so that we do not know of later reads.
  bool is_unseen = false;
  /// This process took it from its registry, so that the use tells all that came.
  bool is_new = false;
  std::optional<FetchDecision> decision;
  LayerUse use;
  std::vector<NamedRead> worst_reads;  // those of `use`
  std::vector<NamedWait> waits;        // the longest of those in `use`
  std::vector<BlobSources::Health> places;
  /// Where the credentials for each of its images came from, if they were asked for.
  std::map<std::string, std::string> credentials;

  /// Compressed bytes that its use has cost: what came in this process, or what is held of an
  /// earlier one's.
  uint64_t cost_bytes() const {
    return is_new ? use.fetched_bytes() : std::max(use.fetched_bytes(), use.held_blob_bytes);
  }
  friend bool operator==(const LayerStatus&, const LayerStatus&) = default;
};

/// The layers of one image, lowest first.
struct ImageStatus {
  std::string name;                        // empty: of layers whose images nobody named
  std::optional<std::string> credentials;  // where they came from, if they were asked for
  std::vector<LayerStatus> layers;

  uint64_t complete_layers() const;
  uint64_t cost_bytes() const;
  /// What becomes of all their bytes. Its single reads are empty.
  LayerUse Sum() const;
  /// The worst of all, longest first.
  std::vector<NamedRead> WorstReads() const;
  /// The reads that wait longest, longest first.
  std::vector<NamedWait> LongestWaits() const;

  friend bool operator==(const ImageStatus&, const ImageStatus&) = default;
};

/// A layer that several images have is in each of them. By name.
std::vector<ImageStatus> ByImage(const std::vector<LayerStatus>& layers);

/// The share of what came ahead of its readers, by prefetch or read-ahead, that somebody read;
/// nothing when nothing came so.
std::optional<double> AheadHitRate(const LayerUse& use);

/// A layer that could not be shown, and was left to the client that asked for it.
struct Fallback {
  std::string image;
  oci::Digest layer;
  Status reason;
  std::chrono::system_clock::time_point time;

  friend bool operator==(const Fallback&, const Fallback&) = default;
};

struct TracedReads {
  std::vector<NamedRead> reads;             // oldest first
  uint64_t forgotten = 0;                   // earlier ones
  std::vector<ContainerStalls> containers;  // whose reads waited, also shortly
  std::vector<Fallback> fallbacks;          // the latest, oldest first

  friend bool operator==(const TracedReads&, const TracedReads&) = default;
};

/// Tells how a process fares with its layers, whichever process that is. Threads: safe. Calls may
/// block for the disk.
class StatusSource {
 public:
  virtual ~StatusSource() = default;
  /// Of all layers that are shown, by number.
  virtual StatusOr<std::vector<LayerStatus>> Layers() = 0;
  /// The latest reads that had to wait long.
  virtual StatusOr<TracedReads> SlowReads() = 0;
  /// The latest starts of images that were recorded, oldest first.
  virtual StatusOr<std::vector<ImageStart>> Starts() = 0;
};

}  // namespace starling::layer
